#!/bin/sh
# Make map.svg, the picture in the README: sh docs/pictures/make.sh
# It needs pav-sched in PATH, as in .venv/bin.
set -eu
picture=$(cd "$(dirname "$0")" && pwd)/map.svg
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"

cat > cluster.yaml <<'END'
name: demo
nodes:
  - {names: 'n[01-11,13-39,41-64]', cpus: 4}
  - {names: 'n12', state: IDLE+DRAIN, reason: bad memory}
  - {names: 'n40', state: DOWN, reason: no answer}
partitions:
  - {name: main, nodes: 'n[01-64]', default: true}
END

# Node n23 is the bad one.  Two series, with other chunks each, find it.
cat > links.yaml <<'END'
every_node:
  scheduler: slurm
  schedule:
    nodes: all
    chunking: {size: 4}
  permute_on: chunk_ids
  chunk: '{{chunk_ids}}'
  run:
    cmds: ["{{test_cmd}} sh -c '[ $SLURMD_NODENAME != n23 ]'"]
END

cat > both.sh <<'END'
pav-sched --working-dir runs run links.yaml || true
pav-sched --working-dir runs run links.yaml --seed 1 -c schedule.chunking.node_selection=distributed || true
pav-sched --working-dir runs nodes s1 s2 --table || true
pav-sched --working-dir runs map s1 s2 --by result --svg "$1"
END
python -m pavilion.testkit fake-slurm --cluster cluster.yaml -- sh both.sh "$picture"
