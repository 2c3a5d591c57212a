#!/bin/sh
# Run the tests on the oldest and the newest supported Python of this machine.
# Arguments go to pytest.
set -eu
cd "$(dirname "$0")/.."
newest=$(tools/pythons.sh newest)
for python in $(tools/pythons.sh); do
    version=$("$python" -c 'import sys; print("%d%d" % sys.version_info[:2])')
    venv=.venv-$version
    if [ ! -e "$venv/ready" ] || [ pyproject.toml -nt "$venv/ready" ]; then
        tools/venv.sh "$python" "$venv" '.[test]'
    fi
    # A real Slurm is the same for every Python, so it is tried with the newest one only.
    if [ "$python" = "$newest" ]; then slurm=; else slurm=--slurm=fake; fi
    echo "== Tests on $("$venv/bin/python" --version) $slurm"
    "$venv/bin/python" -m pytest -n 2 --dist loadfile $slurm "$@"
done
