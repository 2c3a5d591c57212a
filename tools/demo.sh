#!/bin/sh
# Run the example suites: tools/demo.sh WORKING_DIR
# On raw; on a fake Slurm of 16 nodes; and on the real one, where this machine has one.
set -eu
cd "$(dirname "$0")/.."
working_dir=$1
mkdir -p "$working_dir"
sched="pav-sched --config-dir examples --working-dir $working_dir"
fake="python -m pavilion.schedulers.testkit fake-slurm --nodes 16 --"

echo "== Raw: jobs are processes of this host"
$sched run hello
echo
echo "== A fake Slurm of 16 nodes: jobs that share an allocation, and chunks of four nodes each"
$fake $sched run slurm
echo
$fake $sched map slurm.everywhere --seed 1
if command -v sinfo >/dev/null 2>&1 && sinfo >/dev/null 2>&1; then
    echo
    echo "== The Slurm of this machine"
    $sched run slurm
fi
