#!/bin/sh
# Print supported Pythons (3.9 and newer) of this machine, oldest first, a path a line:
# tools/pythons.sh [all|three|newest|default]
#   three    the oldest, the one in the middle, and the newest: what tests run on
#   default  python3, where it is new enough; otherwise the newest
# Looks in PATH, and at those of pyenv.
set -eu

# The version, as '3.13', if it is supported and can make virtual environments.
version_of() {
    # A pyenv shim of a version that is not activated is there, but does not run.
    "$1" -c 'import sys, venv, ensurepip
if sys.version_info >= (3, 9): print("%d.%d" % sys.version_info[:2])' 2>/dev/null </dev/null || true
}

# python3 itself, as 'MINOR PATH': in some installations there is no other name for it.
plain=
if path=$(command -v python3 2>/dev/null); then
    version=$(version_of "$path")
    [ -z "$version" ] || plain="${version#3.} $path"
fi

list() {
    for minor in $(seq 9 30); do
        for candidate in "python3.$minor" \
            "${PYENV_ROOT:-${HOME:-}/.pyenv}/versions/3.$minor".*/bin/python; do
            path=$(command -v "$candidate" 2>/dev/null) || continue
            [ "$(version_of "$path")" = "3.$minor" ] || continue
            echo "$path"
            continue 2
        done
        [ "${plain%% *}" != "$minor" ] || echo "${plain#* }"
    done
}

if [ "${1:-three}" = default ] && [ -n "$plain" ]; then
    echo "${plain#* }"
    exit
fi
found=$(list)
if [ -z "$found" ]; then
    echo "No Python 3.9 or newer that can make virtual environments was found, neither in PATH nor" \
        "among those of pyenv." >&2
    echo "Name one: make PYTHON=/path/to/python3 ... (On Debian: apt-get install python3-venv)" >&2
    exit 1
fi
count=$(echo "$found" | wc -l)
case "${1:-three}" in
    all) echo "$found" ;;
    three) echo "$found" | sed -n "1p; $(((count + 1) / 2))p; ${count}p" | uniq ;;
    newest | default) echo "$found" | tail -n 1 ;;
    *) echo "usage: tools/pythons.sh [all|three|newest|default]" >&2; exit 2 ;;
esac
