#!/bin/sh
# Installs the real parts that tests and the demo run against, on Debian 12+ or Ubuntu 22.04+: registries, clients, hops.
# What is there already is left alone, so running it again costs a second. Everything built by this script goes to
# ${TIDEGATE_PARTS:-$HOME/.cache/tidegate/parts}/bin, which the tests put on their PATH by themselves.
set -eu

parts=${TIDEGATE_PARTS:-$HOME/.cache/tidegate/parts}
bin=$parts/bin
go_wanted=go1.26.8
go_least=25 # of Go 1.x: what distribution 3.1 needs

say() { printf 'parts: %s\n' "$*"; }
die() { printf 'parts: %s\n' "$*" >&2; exit 1; }
has() { PATH="$PATH:/usr/sbin:/sbin" command -v "$1" >/dev/null 2>&1; }
as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"
  elif has sudo; then sudo "$@" || die "needs root for: $*"
  else die "needs root for: $* (no sudo here)"
  fi
}

# --- Packages: program, then the package that brings it.
packages='docker docker-cli
dockerd docker.io
containerd containerd
ctr containerd
docker-registry docker-registry
skopeo skopeo
podman podman
buildah buildah
nginx nginx-light
haproxy haproxy
redis-server redis-server
ip iproute2
tc iproute2
iptables iptables
faketime faketime
curl curl
unshare util-linux
setpriv util-linux
nsenter util-linux
gzip gzip
tar tar
openssl openssl
python3 python3
gcc gcc'

install_packages() {
  missing=$(echo "$packages" | while read -r program package; do has "$program" || echo "$package"; done | sort -u)
  [ -n "$missing" ] || { say 'packages: all there'; return; }
  has apt-get || die "missing: $(echo $missing); install them by this system's own means (it has no apt-get)"
  as_root apt-get update -qq || say 'package lists could not be renewed; trying with what is known'
  # Before Debian 13 the engine's package brings the command line too.
  case $missing in *docker-cli*)
    [ -n "$(apt-cache policy docker-cli 2>/dev/null | grep Candidate: | grep -v none)" ] ||
      missing=$(echo "$missing" | sed 's/^docker-cli$/docker.io/' | sort -u) ;;
  esac
  say "packages: installing" $missing
  # Services that packages would start (nginx takes port 80) are not wanted: tests start their own.
  if [ ! -e /usr/sbin/policy-rc.d ]; then
    printf '#!/bin/sh\nexit 101\n' | as_root tee /usr/sbin/policy-rc.d >/dev/null
    as_root chmod +x /usr/sbin/policy-rc.d
    remove_policy=yes
  fi
  done_well=yes
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >"$parts/apt.log" 2>&1 || done_well=no
  [ -z "${remove_policy:-}" ] || as_root rm -f /usr/sbin/policy-rc.d
  [ "$done_well" = yes ] || { tail -n 20 "$parts/apt.log" >&2; die "apt-get could not install: $(echo $missing)"; }
  echo "$packages" | while read -r program package; do
    has "$program" || die "$program is still missing after installing $package"
  done
}

# --- Go: any that is new enough; an older one fetches a newer one as a module, by its own checksummed means.
minor() { "$1" version 2>/dev/null | sed -n 's/^go version go1\.\([0-9]*\).*/\1/p'; }

find_go() {
  for go in go /usr/local/go/bin/go "$parts/go/bin/go" /usr/lib/go/bin/go; do
    [ "$(minor "$go" || true)" ] || continue
    newest=$(minor "$go")
    if [ "$newest" -ge "$go_least" ]; then say "go: $("$go" version)"; return; fi
    [ -n "${old_go:-}" ] || old_go=$go
  done
  if [ -z "${old_go:-}" ]; then
    has apt-get || die "no Go here: install Go 1.$go_least or newer and run this again"
    say 'go: installing the package, to fetch a newer one with it'
    as_root apt-get install -y -qq --no-install-recommends golang-go >"$parts/apt.log" 2>&1 ||
      { tail -n 20 "$parts/apt.log" >&2; die "no Go here: install Go 1.$go_least or newer and run this again"; }
    old_go=go
  fi
  fetch_go
}

# From 1.21 on, Go does this by itself when told to; before that the same module is fetched by hand. The archive may hold no
# go.mod and no executable files, which is put right as Go itself would.
fetch_go() {
  version=$(minor "$old_go")
  say "go: 1.$version is older than 1.$go_least, fetching $go_wanted through GOPROXY=$("$old_go" env GOPROXY)"
  how="set GOPROXY to a module proxy that can be reached, or install Go 1.$go_least or newer and run this again"
  if [ "$version" -ge 21 ]; then
    go=$old_go
    GOTOOLCHAIN=$go_wanted
    export GOTOOLCHAIN
    "$go" version >/dev/null || die "Go could not fetch $go_wanted: $how"
  else
    module="golang.org/toolchain@v0.0.1-$go_wanted.$("$old_go" env GOOS)-$("$old_go" env GOARCH)"
    (cd "$parts" && GO111MODULE=on GOFLAGS=-modcacherw "$old_go" mod download "$module") || die "Go could not fetch $module: $how"
    rm -rf "$parts/go"
    cp -R "$("$old_go" env GOMODCACHE)/$module" "$parts/go"
    chmod -R u+w "$parts/go"
    chmod +x "$parts"/go/bin/* "$parts"/go/pkg/tool/*/*
    find "$parts/go" -name _go.mod | while read -r file; do mv "$file" "${file%_go.mod}go.mod"; done
    go=$parts/go/bin/go
  fi
  say "go: $("$go" version)"
}

# --- What no distribution packages, or only old: package path, version, program.
programs='github.com/distribution/distribution/v3/cmd/registry v3.1.2 registry
github.com/google/go-containerregistry/cmd/crane v0.22.1 crane
oras.land/oras/cmd/oras v1.3.2 oras
github.com/regclient/regclient/cmd/regctl v0.11.3 regctl
github.com/opencontainers/distribution-spec/conformance v0.0.0-20260831232431-97274622c111 conformance'

# A stamp beside the program says what it was built from, so that checking needs no Go.
install_programs() {
  wanted=$(echo "$programs" | while read -r path version program; do
    [ -x "$bin/$program" ] && [ "$(cat "$bin/.$program" 2>/dev/null)" = "$path@$version" ] || echo "$path@$version $program"
  done)
  [ -n "$wanted" ] || { say "programs: all there, in $bin"; return; }
  find_go
  echo "$wanted" | while read -r source program; do
    if "$go" version -m "$bin/$program" 2>/dev/null | awk '$1 == "mod" { print $3 }' | grep -qx "${source#*@}"; then
      say "$program: ${source#*@} is there"
    else
      say "$program: building $source"
      GOBIN=$bin GOFLAGS='-trimpath -buildvcs=false' "$go" install "$source" || die "$source was not built"
    fi
    echo "$source" >"$bin/.$program"
  done
}

# --- h2spec names no versions of what it needs, so they are pinned in a module made for it.
h2spec=v2.2.1+incompatible
h2spec_module='module tidegate.invalid/h2spec

go 1.24.0

require (
	github.com/fatih/color v1.18.0
	github.com/spf13/cobra v1.10.2
	github.com/summerwind/h2spec '$h2spec'
	golang.org/x/net v0.47.0
)'

install_h2spec() {
  [ -x "$bin/h2spec" ] && [ "$(cat "$bin/.h2spec" 2>/dev/null)" = "$h2spec_module" ] && return
  [ -n "${go:-}" ] || find_go
  say "h2spec: building $h2spec"
  mkdir -p "$parts/h2spec"
  echo "$h2spec_module" >"$parts/h2spec/go.mod"
  (cd "$parts/h2spec" && GOFLAGS='-mod=mod -trimpath -buildvcs=false' "$go" build -o "$bin/h2spec" \
    github.com/summerwind/h2spec/cmd/h2spec) || die "h2spec $h2spec was not built"
  echo "$h2spec_module" >"$bin/.h2spec"
}

mkdir -p "$bin"
install_packages
install_programs
install_h2spec
say 'done'
