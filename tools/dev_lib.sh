# shellcheck shell=bash
# What ./dev needs and how it gets it: Debian packages, model runtimes, Python environments, Prometheus. Sourced by ./dev.

CACHE="${LEADSMAN_CACHE:-$HOME/.cache/leadsman}"
VENV="$CACHE/venv"
BENCH_VENV="$CACHE/venv-bench"
MODELS_VENV="$CACHE/venv-models"
# Debian's own, by full name: a python3 found through PATH may be another one without venv or with other versions.
SYSTEM_PYTHON=/usr/bin/python3
export LEADSMAN_CACHE="$CACHE" LEADSMAN_RUNTIMES="$CACHE/runtimes"

# The one list of Debian 12 packages. Reasons: docs/dependencies.md.
# Used through a name reference in need_packages.
# shellcheck disable=SC2034
PACKAGES_build=(
  g++ cmake ninja-build ccache mold pkg-config ca-certificates unzip git
  libboost1.81-dev libssl-dev zlib1g-dev libnghttp2-dev libre2-dev
  libsimdjson-dev nlohmann-json3-dev libyaml-cpp-dev
  libcurl4-openssl-dev libarchive-dev libpugixml-dev
  libspdlog-dev libfmt-dev libsqlite3-dev libhiredis-dev libcli11-dev
  libprotobuf-dev protobuf-compiler libgrpc++-dev
  libgtest-dev libbenchmark-dev redis-tools
  python3 python3-venv python3-pip
)
# shellcheck disable=SC2034
PACKAGES_sanitizers=(clang-16 libclang-rt-16-dev llvm-16)
# shellcheck disable=SC2034
PACKAGES_test=(maven openjdk-17-jdk-headless glusterfs-client logrotate)
# shellcheck disable=SC2034
PACKAGES_lint=(clang-16 clang-format-16 shellcheck)
# shellcheck disable=SC2034
PACKAGES_bench=(wrk mtail)

say() { printf '%s\n' "$*"; }
die() {
  printf './dev: %s\n' "$*" >&2
  exit 1
}

as_root() {
  if [[ $(id -u) -eq 0 ]]; then
    "$@"
  elif command -v sudo >/dev/null; then
    sudo "$@"
  else
    die "this needs root, and sudo is not installed: $*"
  fi
}

apt_update_once() {
  # Package lists younger than a day are good enough; a fresh container has none.
  local lists=/var/lib/apt/lists
  if [[ -n "$(find "$lists" -maxdepth 1 -name '*_Packages*' -mtime -1 -print -quit 2>/dev/null)" ]]; then return; fi
  say "updating the package lists"
  as_root apt-get update -qq || die "apt-get update failed; is the Debian mirror reachable?"
}

# need_packages <group>...: installs what is missing of the groups above.
need_packages() {
  local group package missing=()
  for group in "$@"; do
    local -n list="PACKAGES_$group"
    for package in ${list[@]+"${list[@]}"}; do
      if [[ "$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null)" != installed ]]; then
        missing+=("$package")
      fi
    done
    unset -n list
  done
  [[ ${#missing[@]} -gt 0 ]] || return 0
  command -v apt-get >/dev/null || die "this is not Debian; please install what corresponds to: ${missing[*]}"
  if [[ ${LEADSMAN_INSTALL:-1} == 0 ]]; then die "missing Debian packages: ${missing[*]}"; fi
  say "installing ${#missing[@]} Debian packages: ${missing[*]}"
  apt_update_once
  mkdir -p "$CACHE"
  local log="$CACHE/apt.log"
  if ! as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "${missing[@]}" \
    >"$log" 2>&1; then
    # Lists of yesterday may name packages that the mirror no longer has.
    as_root apt-get update -qq
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "${missing[@]}" \
      >"$log" 2>&1 || { tail -20 "$log" >&2; die "apt-get install failed (whole log: $log)"; }
  fi
}

# ONNX Runtime and its headers.
need_runtimes() {
  [[ -x tools/fetch_runtimes.sh ]] || die "tools/fetch_runtimes.sh is missing"
  tools/fetch_runtimes.sh
}

# make_venv <folder> <requirements file> [pip option...]: created anew whenever the file or the interpreter changes.
make_venv() {
  local folder="$1" requirements="$2" want have=""
  shift 2
  want="$({ cat "$requirements"; "$SYSTEM_PYTHON" --version; } | sha256sum | cut -d' ' -f1)"
  # One at a time: two builds on one machine share the cache.
  mkdir -p "$(dirname "$folder")"
  exec 8>"$folder.lock"
  flock 8
  [[ -f $folder/.stamp ]] && have="$(cat "$folder/.stamp")"
  if [[ $want != "$have" ]]; then
    say "creating the Python environment of $requirements in $folder"
    rm -rf "$folder"
    "$SYSTEM_PYTHON" -m venv "$folder" || die "cannot create a virtual environment; is python3-venv installed?"
    "$folder/bin/pip" install --quiet --disable-pip-version-check --no-input "$@" -r "$requirements" ||
      die "pip could not install $requirements; is PyPI (or your mirror, see 'pip config') reachable?"
    printf '%s' "$want" >"$folder/.stamp"
  fi
  exec 8>&-
}
need_venv() { make_venv "$VENV" demo/requirements.txt; }
# clang-tidy of today skips what system headers declare: half the time of Debian's.
need_lint_venv() { make_venv "$CACHE/venv-lint" tools/requirements-lint.txt; }
need_bench_venv() { make_venv "$BENCH_VENV" bench/requirements.txt; }
# MLServer and KServe's Python server.
need_peer_venvs() {
  make_venv "$CACHE/venv-mlserver" bench/requirements-mlserver.txt
  make_venv "$CACHE/venv-kserve" bench/requirements-kserve.txt
}
# What ./dev bench drift compares with.
need_drift_venvs() {
  make_venv "$CACHE/venv-evidently" bench/requirements-evidently.txt
  make_venv "$CACHE/venv-whylogs" bench/requirements-whylogs.txt
}
# The original runtimes of every model format, and the clients of the integration tests. Large: said before it starts.
need_models_venv() {
  if [[ ! -f $MODELS_VENV/.stamp ]]; then
    say "the models' Python environment (TensorFlow, XGBoost, LightGBM, MLflow) is 0.6 GB to fetch and 2.6 GB on disk"
  fi
  make_venv "$MODELS_VENV" tests/requirements-models.txt --no-deps
}

# Debian's Prometheus, without installing it: the package would start a service on port 9090. Taken from the system if
# it is there already; otherwise unpacked into the cache, where nothing starts by itself.
prometheus_binary() {
  if command -v prometheus >/dev/null; then
    command -v prometheus
  else
    printf '%s' "$CACHE/prometheus/usr/bin/prometheus"
  fi
}
# MinIO, fake-gcs-server, HDFS and nginx: real stores for the integration tests.
need_stores() { tools/fetch_stores.sh || die "the stores of the integration tests are not all here"; }
# etcd and kube-apiserver: the API of Kubernetes for the integration tests.
need_kubernetes() { tools/fetch_kubernetes.sh || die "the parts of Kubernetes of the integration tests are not all here"; }
# The same of its Alertmanager.
alertmanager_binary() {
  if command -v prometheus-alertmanager >/dev/null; then
    command -v prometheus-alertmanager
  else
    printf '%s' "$CACHE/alertmanager/usr/bin/prometheus-alertmanager"
  fi
}

# unpack_package <package> <folder in the cache> [library package...]: fetched, not installed, so that no service starts.
unpack_package() {
  local package="$1" folder="$CACHE/$2" work="$CACHE/$2.part" file
  shift 2
  say "fetching Debian's $package package (unpacked into the cache, not installed, so that no service starts)"
  apt_update_once
  rm -rf "$work"
  mkdir -p "$work/deb"
  # apt drops its rights to the user _apt for a download, which must be able to write here when root runs this.
  (cd "$work/deb" && apt-get -o APT::Sandbox::User="$(id -un)" download "$package" "$@" >/dev/null) ||
    die "apt-get download $package $* failed; is the Debian mirror reachable?"
  for file in "$work"/deb/*.deb; do dpkg-deb -x "$file" "$work"; done
  rm -rf "$folder" "$work/deb"
  mv "$work" "$folder"
}
# What ./dev bench gateway compares with. HAProxy's libraries lie beside it, as it is not installed.
need_proxies() {
  tools/fetch_stores.sh nginx envoy || die "nginx and Envoy are not here"
  [[ -x $CACHE/haproxy/usr/sbin/haproxy ]] ||
    unpack_package haproxy haproxy liblua5.3-0 libopentracing-c-wrapper0 libopentracing1
}
need_prometheus() { [[ -x "$(prometheus_binary)" ]] || unpack_package prometheus prometheus; }
need_alertmanager() {
  [[ -x "$(alertmanager_binary)" ]] || unpack_package prometheus-alertmanager alertmanager
  # Debian's reads its default templates from there, wherever it is itself.
  local templates=/usr/share/prometheus/alertmanager
  [[ -f $templates/default.tmpl ]] && return 0
  as_root mkdir -p "$templates"
  as_root cp -r "$CACHE/alertmanager$templates/." "$templates/"
}

cpp_sources() {
  git ls-files -z --cached --others --exclude-standard -- '*.h' '*.cc' '*.c' |
    while IFS= read -r -d '' file; do [[ -f $file ]] && printf '%s\0' "$file"; done
}

# is_configured <preset>: with these runtimes, and since anything that configuring reads was changed. It reads the
# sources too: which of them are compiled as one depends on what they name.
is_configured() {
  local made="build/$1/build.ninja"
  [[ -f $made ]] && grep -qx "LEADSMAN_RUNTIMES:[A-Z]*=$CACHE/runtimes" "build/$1/CMakeCache.txt" &&
    [[ -z "$(find CMakeLists.txt CMakePresets.json cmake src plugins bench proto tests tools -name __pycache__ -prune -o \
      -newer "$made" -print -quit)" ]]
}

# build_preset <preset> [targets...]
build_preset() {
  local preset="$1" log
  shift
  mkdir -p build
  log="build/configure-$preset.log"
  if ! is_configured "$preset"; then
    say "configuring $preset"
    cmake --preset "$preset" -DLEADSMAN_RUNTIMES="$CACHE/runtimes" >"$log" 2>&1 || {
      cat "$log" >&2
      die "cmake --preset $preset failed"
    }
  fi
  say "building $preset"
  local status=0
  if [[ -t 1 ]]; then
    NINJA_STATUS='[%f/%t, %es] ' ninja -C "build/$preset" -j "$(nproc)" "$@" || status=$?
  else
    # Without a terminal: a line each tenth of the way, and whatever is not progress.
    NINJA_STATUS='[%f/%t] ' ninja -C "build/$preset" -j "$(nproc)" "$@" | awk '
      match($0, /^\[[0-9]+\/[0-9]+\]/) {
        split(substr($0, 2, RLENGTH - 2), at, "/"); tenth = int(10 * at[1] / at[2])
        if (tenth != last) { print "  built " at[1] " of " at[2]; fflush(); last = tenth }
        next }
      /^ninja: (Entering|no work)/ { next }
      { print; fflush() }' || status=$?
  fi
  [[ $status -eq 0 ]] || die "the $preset build failed"
}
