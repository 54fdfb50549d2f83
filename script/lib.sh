# Sourced by the scripts: what is missing is installed, or named.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
arch=$(uname -m)-linux-gnu

say() { printf '%s\n' "$*" >&2; }

# present PROBE: is it there?
present() {
  case $1 in
    cmd:*) command -v "${1#cmd:}" >/dev/null ;;
    *) compgen -G "${1//ARCH/$arch}" >/dev/null ;;
  esac
}

# missing_packages GROUP...: those of the groups that are not there, one a line.
missing_packages() {
  local group package probe wanted
  grep -v '^ *#' "$root/script/packages" | while read -r group package probe; do
    for wanted in "$@"; do
      if [ "$group" = "$wanted" ] && ! present "$probe"; then printf '%s\n' "$package"; fi
    done
  done | sort -u
}

# as_root COMMAND...: as root, without asking for a password.
as_root() {
  if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo -n "$@"; fi
}

may_install() {
  command -v apt-get >/dev/null || return 1
  [ "$(id -u)" -eq 0 ] || { command -v sudo >/dev/null && sudo -n true 2>/dev/null; }
}

# install_missing GROUP...: installs what the groups lack; false, with `missing` set, when something still is.
install_missing() {
  # shellcheck disable=SC2207 # names of packages have no blanks
  missing=($(missing_packages "$@"))
  [ ${#missing[@]} -eq 0 ] && return 0
  may_install || return 1
  say "installing: ${missing[*]}"
  as_root apt-get update -q >/dev/null || true
  # Debian starts the daemons that a package brings, unless this says no: the tests start their own.
  local policy=
  [ -e /usr/sbin/policy-rc.d ] || { policy=/usr/sbin/policy-rc.d; printf '#!/bin/sh\nexit 101\n' | as_root install -m 755 /dev/stdin $policy; }
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "${missing[@]}" >&2 </dev/null
  [ -z "$policy" ] || as_root rm -f "$policy"
  # shellcheck disable=SC2207
  missing=($(missing_packages "$@"))
  [ ${#missing[@]} -eq 0 ]
}

# want GROUP...: as need, but goes on without them.
want() {
  local missing
  install_missing "$@" || say "missing, and done without: ${missing[*]}"
}

# need GROUP...: installs what the groups lack; where that cannot be, says what it is and exits with 2.
need() {
  local missing
  install_missing "$@" && return 0
  say "missing, and not to be installed from here (no apt-get, no root, or apt-get failed):"
  say "  ${missing[*]}"
  say "these are Debian's names; on Debian: sudo apt-get install ${missing[*]}"
  exit 2
}

# build PRESET [cmake option...]: configures and builds in build/PRESET; quiet unless it fails.
build() {
  local preset=$1 log=$root/build/$1.log
  shift
  mkdir -p "$root/build"
  say "building $preset in build/$preset"
  if ! (cd "$root" && cmake --preset "$preset" "$@" && cmake --build --preset "$preset") >"$log" 2>&1 </dev/null; then
    grep -E -A8 'error|FAILED|CMake Error' "$log" | head -n 60 >&2
    say "the build of $preset failed; all of it is in build/$preset.log"
    return 1
  fi
}
