#!/usr/bin/env bash
# Fetches the model runtimes that the plug-ins load, and the headers they are built with, into
#   ${LEADSMAN_RUNTIMES:-$HOME/.cache/leadsman/runtimes}/onnxruntime/{lib,include}
# Needs no root. Every version and checksum is pinned below; a second run ends at once.
#
#   library   the PyPI wheel of onnxruntime, of which only libonnxruntime.so is kept
#   headers   Debian 13's libonnxruntime-dev, read through a throw-away apt source list on this machine's own mirror
#             (an older header on a newer library is what ONNX Runtime promises to support); should that mirror not
#             carry it, the Go module onnxruntime_go, which ships the same C header
#
#   tools/fetch_runtimes.sh [--force]
set -euo pipefail

ort_version=1.31.1
ort_wheel_sha256=5752bd508126ae7c49894d3b9d2e83f0c3d487319246d04c444b393308d7ad7f
headers_package=libonnxruntime-dev
headers_version=1.21.0+dfsg-1
headers_deb_sha256=14f7d959d5deacbcf1504830d4189f91fc67382b399ed9ae9d3aa9c4050ced08
headers_suite=trixie
headers_go_module=github.com/yalue/onnxruntime_go
headers_go_version=v1.21.0
headers_go_sha256=d683537d0fdc29e977b5520f7f15d87a0ac212ae6d94fa9be8893a52655621ae

runtimes=${LEADSMAN_RUNTIMES:-$HOME/.cache/leadsman/runtimes}
target=$runtimes/onnxruntime
stamp="onnxruntime $ort_version, headers $headers_version"

say() { printf 'fetch_runtimes: %s\n' "$*" >&2; }
die() {
  say "$*"
  exit 1
}

if [[ ${1:-} != --force && -f $target/stamp && $(<"$target/stamp") == "$stamp" ]]; then
  exit 0
fi
[[ $(uname -m) == x86_64 ]] || die "only x86_64 is pinned here, this machine is $(uname -m); install libonnxruntime by hand and set LEADSMAN_ONNXRUNTIME"

mkdir -p "$runtimes"
# One fetch at a time, and nothing half-done under the final name.
exec 9>"$runtimes/.lock"
flock 9
if [[ ${1:-} != --force && -f $target/stamp && $(<"$target/stamp") == "$stamp" ]]; then
  exit 0
fi
rm -rf "$runtimes"/.fetch-* # of a run that was killed
work=$(mktemp -d "$runtimes/.fetch-XXXXXX")
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/new/lib" "$work/new/include"

check_sha256() { # file, expected
  [[ $(sha256sum "$1" | cut -d' ' -f1) == "$2" ]] || die "$(basename "$1"): the checksum is not the pinned one; nothing was installed"
}

fetch_library() {
  local python
  python=$(command -v python3.11 || command -v python3) || die "python3 with pip is needed (apt-get install python3-pip)"
  "$python" -m pip --version >/dev/null 2>&1 || die "pip is needed (apt-get install python3-pip)"
  say "fetching the library: onnxruntime $ort_version (24 MB)"
  "$python" -m pip --disable-pip-version-check download --quiet --no-deps --only-binary=:all: \
    --python-version 3.11 --implementation cp --platform manylinux_2_28_x86_64 \
    --dest "$work/wheel" "onnxruntime==$ort_version"
  local wheel=("$work"/wheel/onnxruntime-*.whl)
  check_sha256 "${wheel[0]}" "$ort_wheel_sha256"
  "$python" -c 'import sys, zipfile
with zipfile.ZipFile(sys.argv[1]) as wheel, open(sys.argv[3], "wb") as out:
    out.write(wheel.read(sys.argv[2]))' \
    "${wheel[0]}" "onnxruntime/capi/libonnxruntime.so.$ort_version" "$work/new/lib/libonnxruntime.so.$ort_version"
  chmod 755 "$work/new/lib/libonnxruntime.so.$ort_version"
  ln -s "libonnxruntime.so.$ort_version" "$work/new/lib/libonnxruntime.so"
}

headers_from_debian() {
  command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null || return 1
  local keyring=/usr/share/keyrings/debian-archive-keyring.gpg codename mirror
  [[ -f $keyring ]] || return 1
  codename=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
  # The mirror that this machine installs Debian itself from: never one that we would choose for it.
  mirror=$(apt-get indextargets --format '$(REPO_URI) $(RELEASE) $(COMPONENT)' 'Created-By: Packages' |
    awk -v codename="$codename" '$2 == codename && $3 == "main" { print $1; exit }')
  [[ -n $mirror ]] || return 1
  local apt=$work/apt
  mkdir -p "$apt/lists/partial" "$apt/cache/archives/partial"
  echo "deb [arch=amd64 signed-by=$keyring] $mirror $headers_suite main" >"$apt/sources.list"
  local options=(-qq -o "Dir::Etc::sourcelist=$apt/sources.list" -o Dir::Etc::sourceparts=-
    -o "Dir::State::lists=$apt/lists" -o "Dir::Cache=$apt/cache" -o "APT::Sandbox::User=$(id -un)"
    -o Acquire::Languages=none
    -o Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false
    -o Acquire::IndexTargets::deb::Contents-deb::DefaultEnabled=false)
  say "fetching the headers: $headers_package $headers_version of Debian $headers_suite"
  apt-get "${options[@]}" update >&2 || return 1
  (cd "$apt" && apt-get "${options[@]}" download "$headers_package=$headers_version" >&2) || return 1
  local deb=("$apt/$headers_package"_*.deb)
  check_sha256 "${deb[0]}" "$headers_deb_sha256"
  dpkg-deb -x "${deb[0]}" "$apt/root"
  cp "$apt/root/usr/include/onnxruntime/"*.h "$work/new/include/"
}

headers_from_go() {
  command -v go >/dev/null || return 1
  say "fetching the header: Go module $headers_go_module $headers_go_version"
  local folder
  folder=$(cd "$work" && GOFLAGS=-mod=mod GOTOOLCHAIN=local go mod download -json "$headers_go_module@$headers_go_version" |
    sed -n 's/^[[:space:]]*"Dir": "\(.*\)",*$/\1/p')
  [[ -n $folder && -f $folder/onnxruntime_c_api.h ]] || return 1
  check_sha256 "$folder/onnxruntime_c_api.h" "$headers_go_sha256"
  cp "$folder/onnxruntime_c_api.h" "$work/new/include/"
  chmod 644 "$work/new/include/"*.h
}

fetch_library
headers_from_debian || headers_from_go ||
  die "the headers are neither on this machine's Debian mirror ($headers_package $headers_version of $headers_suite) nor to be had as Go module $headers_go_module (is go installed?)"

echo "$stamp" >"$work/new/stamp"
rm -rf "$target"
mv "$work/new" "$target"
say "$target holds $stamp"
