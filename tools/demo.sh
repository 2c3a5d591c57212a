#!/bin/sh
# Run the example suites: tools/demo.sh WORKING_DIR
# On raw; on a fake Slurm of 16 nodes; and on the real one, where this machine has one.
set -eu
cd "$(dirname "$0")/.."
working_dir=$1
mkdir -p "$working_dir"
sched="pav-sched --config-dir examples --working-dir $working_dir"
fake="python -m pavilion.testkit fake-slurm --nodes 16 --"

echo "Running the example suites (about ten seconds)."
echo
echo "== Raw: jobs are processes of this host"
$sched run hello </dev/null
echo
echo "== A fake Slurm of 16 nodes: jobs that share an allocation, and chunks of four nodes each"
$fake $sched run slurm </dev/null
echo
$fake $sched map slurm.everywhere --seed 1 </dev/null
if command -v sinfo >/dev/null 2>&1 && sinfo >/dev/null 2>&1; then
    echo
    echo "== The Slurm of this machine"
    $sched run slurm </dev/null
fi
echo
echo "The command is $(command -v pav-sched); what ran is in $working_dir. To look at it again:"
echo "  .venv/bin/pav-sched --working-dir $working_dir status"
