#!/usr/bin/env bash
# Changes the code that decides access, one small change at a time (cargo-mutants), and sees that the unit tests of its
# module notice each. A change that went unnoticed must stand in docs/mutants.md with the reason why it may, and nothing
# else may.
#
#   tests/mutants.sh [FILE…]    these files, or all that decide
#
# A change of the whole crate takes a minute to compile and link. But src/lib.rs lists the modules so that each imports
# only those above it: so any head of that list is a crate by itself. The head that ends with the module in question is
# copied aside, with the same Cargo.toml and Cargo.lock, and mutated there; a change takes seconds, and the tree stays
# as it is.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

version='^27'
list=docs/mutants.md
work=${CARGO_TARGET_DIR:-target}/mutants
mkdir -p "$work"
work=$(cd "$work" && pwd)
# Apart from other builds: to wait for one of them would count as a change that runs without end.
export CARGO_TARGET_DIR=$work/target
# Nobody reads where a mutated test failed, and finding that out takes longer than the test.
export RUST_BACKTRACE=0 CARGO_PROFILE_DEV_DEBUG=0

# What decides access, and what it leans on for that.
deciding() {
  find src/policy src/token src/upload -name '*.rs' ! -path '*/tests/*' ! -name tests.rs ! -name testing.rs | sort
  printf '%s\n' src/oci/{access,name,route,scope}.rs src/oci/route/{mount,path}.rs
  printf '%s\n' src/issuance/{credentials,key,revocation}.rs src/gateway/renew.rs
}

die() { printf 'mutants: %s\n' "$*" >&2; exit 1; }

# The modules of src/lib.rs, from the first to the one named.
head_of_list() {
  sed -nE 's/^pub mod ([a-z_]+);$/\1/p' src/lib.rs | sed "/^$1\$/q"
}

# A crate of the head of the list that ends with this module, ready to be built.
crate() {
  local last=$1 tree=$2 module
  rm -rf -- "${tree:?}/src"
  mkdir -p "$tree/src"
  printf '//! The lower modules, to be mutated.\n' >"$tree/src/lib.rs"
  for module in $(head_of_list "$last"); do
    # Without the files' times: cargo must see what an interrupted run left behind as changed.
    cp -R "src/$module" "$tree/src/"
    printf 'pub mod %s;\n' "$module" >>"$tree/src/lib.rs"
  done
  # No binary, no tests beside the unit tests, and no part in any workspace around it.
  awk '/^\[/ { keep = !/^\[\[|^\[lints|^\[workspace/ } keep' Cargo.toml |
    # A name of its own: cargo may take two packages of one name and version for one, wherever they lie.
    sed "0,/^name = /s/^name = .*/name = \"tidegate-$last\"/" >"$tree/Cargo.toml"
  printf '\n[workspace]\n' >>"$tree/Cargo.toml"
  cp Cargo.lock README.md "$tree/"
}

# Mutates these files of one module; what went unnoticed is added to $work/survivors, the counts to $work/counts.
mutate() {
  local module=$1 tree=$work/$1 options=() file status=0
  shift
  for file in "$@"; do options+=(--file "$file"); done
  # The rest of `gateway` waits for peers: tests/it sees to that.
  [ "$module" != gateway ] || options+=(--re 'is_fresh|cache_key')
  crate "$module" "$tree"
  rm -rf -- "${tree:?}/mutants.out" "${tree:?}/mutants.out.old"
  cargo mutants --dir "$tree" --in-place --output "$tree" "${options[@]}" -- --lib "$module::" || status=$?
  # 2: some went unnoticed; 3: some ran without end.
  case $status in 0 | 2 | 3) ;; *) die "cargo-mutants ended with $status" ;; esac
  # Nothing to change in these files.
  [ -e "$tree/mutants.out/missed.txt" ] || return 0
  # The place in the line changes with every edit; the name of the change does not.
  cat "$tree"/mutants.out/{missed,timeout}.txt | sed -E 's/^([^:]+):[0-9]+:[0-9]+: /\1: /' >>"$work/survivors"
  local kind
  for kind in caught missed timeout unviable; do
    printf '%s %s\n' "$kind" "$(wc -l <"$tree/mutants.out/$kind.txt")"
  done >>"$work/counts"
}

command -v cargo-mutants >/dev/null || cargo install --locked --version "$version" cargo-mutants

if [ $# -gt 0 ]; then files=("$@"); else mapfile -t files < <(deciding); fi
for file in "${files[@]}"; do [ -f "$file" ] || die "no such file: $file"; done

: >"$work/survivors"
: >"$work/counts"
for module in $(printf '%s\n' "${files[@]}" | cut -d/ -f2 | uniq); do
  mapfile -t its < <(printf '%s\n' "${files[@]}" | grep "^src/$module/")
  mutate "$module" "${its[@]}"
done

awk '{ sum[$1] += $2 } END { for (kind in sum) print kind, sum[kind] }' "$work/counts" | sort

# What is listed of the files that were looked at.
sed -nE 's/^- `(src\/[^`]+)`$/\1/p' "$list" | while IFS= read -r row; do
  for file in "${files[@]}"; do
    if [ "${row%%: *}" = "$file" ]; then printf '%s\n' "$row"; fi
  done
done | sort >"$work/listed"
sort -o "$work/survivors" "$work/survivors"
if ! diff --label "$list" --label 'what went unnoticed' -U0 "$work/listed" "$work/survivors"; then
  die "a line with + needs a test, or a reason in $list; a line with - is noticed now, or gone: take it off the list"
fi
