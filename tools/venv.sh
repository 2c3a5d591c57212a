#!/bin/sh
# Make a virtual environment and install into it: tools/venv.sh PYTHON FOLDER REQUIREMENT
set -eu
python=$1 folder=$2 requirement=$3
rm -f "$folder/ready"
if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 9))'; then
    echo "$python is too old: Python 3.9 or newer is needed. Choose one with 'make PYTHON=...'." >&2
    exit 1
fi
if ! "$python" -m venv --clear "$folder"; then
    echo "$python cannot make virtual environments. On Debian: apt-get install python3-venv" >&2
    exit 1
fi
"$folder/bin/python" -m pip install -qq --disable-pip-version-check --upgrade pip wheel
"$folder/bin/python" -m pip install -qq --disable-pip-version-check --editable "$requirement"
# A package that is used where it stands has no compiled files, and some set-ups write none.
"$folder/bin/python" -m compileall -q src || true
touch "$folder/ready"
