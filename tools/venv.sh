#!/bin/sh
# Make a virtual environment and install this package into it, unless that is done already:
# tools/venv.sh PYTHON DIRECTORY REQUIREMENT
# The file DIRECTORY/ready says what it was made from, and is written last.
set -eu
python=$1 directory=$2 requirement=$3
log=$directory/setup.log

if ! made_from=$("$python" -c 'import sys
sys.exit(1) if sys.version_info < (3, 9) else print(sys.executable, sys.version.split()[0])' 2>/dev/null); then
    echo "'$python' does not run, or is older than Python 3.9, which is needed." \
        "Name another one: make PYTHON=/path/to/python3 ..." >&2
    exit 1
fi
version=${made_from##* }
# The checkout's place too: programs of the environment have it in their first line.
made_from="$made_from $requirement in $(pwd)"
if [ "$(cat "$directory/ready" 2>/dev/null)" = "$made_from" ] &&
    [ ! pyproject.toml -nt "$directory/ready" ] && "$directory/bin/python" -c '' 2>/dev/null; then
    exit 0
fi

# A dot every few seconds while a step takes longer.
ticker=
stop_ticker() { [ -z "$ticker" ] || kill "$ticker" 2>/dev/null || true; ticker=; }
trap 'stop_ticker; echo; echo "$directory is not complete; the next call starts anew." >&2; exit 130' INT TERM
trap stop_ticker EXIT
began=$(date +%s)

# step WHAT ADVICE COMMAND...: run a command, its output into the log.
step() {
    printf '  %s ' "$1"
    # It ends with this script, even with one that is killed.
    (while sleep 3 >/dev/null 2>&1 && kill -0 $$ 2>/dev/null; do printf .; done) &
    ticker=$!
    advice=$2
    shift 2
    code=0
    "$@" >>"$log" 2>&1 </dev/null || code=$?
    stop_ticker
    echo
    [ "$code" != 0 ] || return 0
    echo "It failed: $*" >&2
    sed 's/^/    /' "$log" | tail -n 20 >&2
    echo "$advice" >&2
    echo "All output is in $log. The next call starts anew." >&2
    exit 1
}
pip() {
    step "$1" "pip needs a network or a package index that it can reach (variables https_proxy, PIP_INDEX_URL)." \
        "$directory/bin/python" -m pip install --disable-pip-version-check --no-input \
        --progress-bar off "$2" ${3:+"$3"} ${4:+"$4"}
}

echo "Setting up $directory with Python $version (once, about half a minute):"
rm -rf "$directory"
mkdir -p "$directory"
step "making the environment" "On Debian: apt-get install python3-venv" "$python" -m venv "$directory"
pip "upgrading pip" --upgrade pip wheel
case $requirement in
    *test*lint* | *lint*test*) what="the package, the tools for checks and tests" ;;
    *test*) what="the package and the tools for tests" ;;
    *lint*) what="the package and the tools for checks" ;;
    *) what="the package and what it needs" ;;
esac
pip "installing $what" --editable "$requirement"
# A package that is used where it stands has no compiled files, and some set-ups write none.
"$directory/bin/python" -m compileall -q src >/dev/null 2>&1 </dev/null || true
echo "$made_from" >"$directory/ready"
echo "  ready, after $(($(date +%s) - began)) seconds"
