#!/bin/sh
# Make the virtual environment VENV with what LOCK says, and the `guardian` command in it, from a wheel: what runs there
# does not change under it, and its data path is compiled where that can be done. Called by `make setup`.
set -eu
: "${PYTHON:=python3}" "${VENV:=.venv}" "${LOCK:=requirements-dev.lock}"
WHEELS=build/wheel

say() { echo "setup: $*" >&2; }

with_uv() {
    command -v uv >/dev/null 2>&1 || return 1
    uv venv --quiet --allow-existing --python "$("$PYTHON" -c 'import sys; print(sys.executable)')" "$VENV" || return 1
    install_with_uv || install_with_uv --offline
}

install_with_uv() {
    uv pip install --quiet --python "$VENV/bin/python" --require-hashes -r "$LOCK" "$@" &&
        build && uv pip install --quiet --python "$VENV/bin/python" --no-deps --reinstall "$WHEELS"/*.whl "$@"
}

build() {
    rm -rf "$WHEELS" && mkdir -p "$WHEELS" &&
        "$VENV/bin/python" -c 'import sys; from hatchling.build import build_wheel; build_wheel(sys.argv[1])' "$WHEELS"
}

with_pip() {
    "$PYTHON" -m venv "$VENV" || {
        say "python's venv module does not work; on Debian: apt-get install python3-venv"
        return 1
    }
    "$VENV/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes -r "$LOCK" &&
        build &&
        "$VENV/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --force-reinstall "$WHEELS"/*.whl
}

if ! with_uv; then
    say "installing with pip into $VENV; this takes a minute"
    with_pip
fi
