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
    # Without a choice pytest takes the fake Slurm too, and says aloud what it left out.
    slurm=
    if "$venv/bin/python" tests/slurm/real_slurm.py; then slurm=--slurm=fake; fi
    echo "== Tests on $("$venv/bin/python" --version) $slurm"
    "$venv/bin/python" -m pytest -n 2 --dist loadfile $slurm tests "$@"
    # These mostly wait, each process for a cluster of its own; and Slurm is the same for every
    # Python.
    if [ "$python" = "$newest" ] && [ -n "$slurm" ]; then
        echo "== Tests on a real Slurm, $("$venv/bin/python" --version)"
        "$venv/bin/python" -m pytest -n 3 --dist loadfile --slurm=real tests/slurm "$@"
    fi
done
