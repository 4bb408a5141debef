//! The `tidegate` binary: arguments in, exit code out. Everything else is in the library, where tests reach it.

/// A transfer allocates the same few sizes over and over; the system's allocator hands out cold memory for them.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> std::process::ExitCode {
    tidegate::cli::main()
}
