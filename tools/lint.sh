#!/bin/sh
# Run one of the tools for checks: tools/lint.sh TOOL ARGUMENT...
set -eu
cd "$(dirname "$0")/.."
tools/venv.sh "${PYTHON:-$(tools/pythons.sh newest)}" .venv-lint '.[lint,test]'
tool=$1
shift
exec ".venv-lint/bin/$tool" "$@"
