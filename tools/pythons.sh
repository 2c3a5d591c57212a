#!/bin/sh
# Print the oldest and the newest supported Python (3.9 and newer) of this machine, a line each,
# or one of them: tools/pythons.sh [oldest|newest]. Looks in PATH, and at those of pyenv.
set -eu
list() {
    for minor in $(seq 9 30); do
        for candidate in "python3.$minor" \
            "${PYENV_ROOT:-$HOME/.pyenv}/versions/3.$minor".*/bin/python; do
            path=$(command -v "$candidate" 2>/dev/null) || continue
            # A pyenv shim of a version that is not activated is there, but does not run.
            "$path" -c 'import sys, venv, ensurepip' 2>/dev/null || continue
            echo "$path"
            break
        done
    done
}
found=$(list)
if [ -z "$found" ]; then
    found=$(command -v python3) || { echo "There is no python3 in PATH." >&2; exit 1; }
fi
oldest=$(echo "$found" | head -n 1)
newest=$(echo "$found" | tail -n 1)
case "${1:-both}" in
    oldest) echo "$oldest" ;;
    newest) echo "$newest" ;;
    *) echo "$oldest"; [ "$oldest" = "$newest" ] || echo "$newest" ;;
esac
