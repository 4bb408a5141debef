#!/bin/sh
# Builds tidegate as it is shipped, into target/dist: built with counters, watched while it does the work of the benches,
# and built again for what was seen there (profile-guided optimisation, docs/decisions/0015-built-twice.md).
#
#   deploy/release.sh          some 20 minutes on two cores; when nothing changed, seconds
#
# It wants the toolchain's llvm-tools, which it installs where rustup can, and nothing that is not part of this repository.
set -eu
cd "$(dirname "$0")/.."

cargo=${CARGO:-cargo}

say() { printf 'release: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }

target=$($cargo metadata --format-version 1 --no-deps --locked | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')
host=$(rustc -vV | sed -n 's/^host: //p')
profdata=$(rustc --print sysroot)/lib/rustlib/$host/bin/llvm-profdata
work=$target/profiled
mkdir -p "$work" "$target/dist"

# The program, built with one more compiler flag, in a directory of its own. Told for which platform, cargo leaves build
# scripts and macros alone, which would be counted too. The flag may hold spaces, as a path may.
build() {
  flags=
  for flag in ${RUSTFLAGS:-}; do flags=$flags$flag$(printf '\037'); done
  CARGO_TARGET_DIR=$work/$1 CARGO_ENCODED_RUSTFLAGS=$flags$2 \
    $cargo build --release --locked --bin tidegate --target "$host"
}

watch() {
  before=$(ls "$raw" | wc -l)
  LLVM_PROFILE_FILE=$raw/%p.profraw \
    $cargo bench --locked --profile load --bench bench -- "$1" --tidegate "$counting" --without-peers --rounds 1
  # Written when the program ends in good order; a program that was killed leaves nothing.
  [ "$(ls "$raw" | wc -l)" -gt "$before" ] || die "no counts of it were written: it did not end in good order"
}

if [ ! -x "$profdata" ]; then
  say 'installing llvm-tools'
  command -v rustup >/dev/null && rustup component add llvm-tools ||
    die "llvm-profdata of this toolchain is missing ($profdata): install the llvm-tools of $(rustc --version)"
fi

say 'building with counters'
build counting -Cprofile-generate
counting=$work/counting/$host/release/tidegate

# Named after the program that was watched: cargo sees a new name, not new contents, and a program is watched once.
profile=$work/$(sha256sum "$counting" | cut -c1-16).profdata
if [ ! -e "$profile" ]; then
  raw=$(mktemp -d "$work/raw.XXXXXX")
  trap 'rm -rf "$raw"' EXIT
  say 'watching it at work'
  watch proxies
  watch tokens
  rm -f "$work"/*.profdata
  "$profdata" merge -o "$raw/merged" "$raw"/*.profraw
  mv "$raw/merged" "$profile"
fi

say 'building for what was seen'
build final "-Cprofile-use=$profile"
install -m 755 "$work/final/$host/release/tidegate" "$target/dist/tidegate"
say "$target/dist/tidegate"
