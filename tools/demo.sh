#!/bin/sh
# Run the example suite: tools/demo.sh WORKING_DIR
set -eu
cd "$(dirname "$0")/.."
working_dir=$1
mkdir -p "$working_dir"
exec pav-sched --config-dir examples --working-dir "$working_dir" run hello
