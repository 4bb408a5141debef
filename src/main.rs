//! The `tidegate` binary: arguments in, exit code out. Everything else is in the library, where tests reach it.

fn main() -> std::process::ExitCode {
    tidegate::cli::main()
}
