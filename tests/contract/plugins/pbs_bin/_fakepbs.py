"""A fake PBS on one host: qsub, qstat, qdel and pbsnodes, on the batch system of the examples.

Its jobs really run, as processes of this host.  Everything is kept in $MINIBATCH_SPOOL.  What PBS
adds to that batch system is here: #PBS lines, $PBS_NODEFILE, job ids with a server's name, and
the forms that its commands print.
"""

from __future__ import annotations

import argparse
import json
import re
import shlex
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[4] / "examples" / "minibatch" / "bin"))

import _minibatch as mb

SERVER = "fakepbs"
STATES = {
    "QUEUED": "Q",
    "RUNNING": "R",
    "CANCELLED": "F",
    "DONE": "F",
    "FAILED": "F",
    "TIMEOUT": "F",
}
# What the real one gives for a job that was deleted: 256 and the signal's number.
DELETED = 271
RUN = """\
export PBS_JOBID="$MB_JOB_ID.{server}" PBS_JOBNAME={name} PBS_ENVIRONMENT=PBS_BATCH
export PBS_NODEFILE="$MINIBATCH_SPOOL/jobs/$MB_JOB_ID/nodes"
tr , '\\n' <<<"$MB_NODES" >"$PBS_NODEFILE"
{script}
"""


class PbsError(Exception):
    """What a command says before it fails: text and exit code."""


def directives(script: Path) -> list[tuple[str, str]]:
    """The options in a script's #PBS lines; those after the first command are not read."""
    found = []
    for line in script.read_text().splitlines()[1:]:
        if line.startswith("#PBS "):
            option, _, value = line[len("#PBS ") :].strip().partition(" ")
            found.append((option, value.strip()))
        elif line.strip() and not line.startswith("#"):
            break
    return found


def selection(text: str) -> tuple[int, list[str]]:
    """How many nodes '1:host=a+2:ncpus=4' is, and which of them are named."""
    count, names = 0, []
    for chunk in text.split("+"):
        number, *resources = chunk.split(":")
        if not number.isdigit() or int(number) < 1:
            raise PbsError(f"qsub: Illegal attribute or resource value: select={text}", 1)
        count += int(number)
        names += [word.partition("=")[2] for word in resources if word.startswith("host=")]
    return count, names


def options_of(script: Path) -> dict[str, str]:
    """What a script asks for, in the words of the batch system below."""
    found = {"--name": script.name, "--time": "1", "--nodes": "1"}
    for option, value in directives(script):
        if option == "-N":
            if not re.fullmatch(r"[A-Za-z0-9_.+-]{1,230}", value):
                raise PbsError(f"qsub: illegal -N value {value!r}", 2)
            found["--name"] = value
        elif option == "-q":
            if value not in {
                queue for node in mb.load_nodes().values() for queue in node["partitions"]
            }:
                raise PbsError("qsub: Unknown queue", 170)
            found["--partition"] = value
        elif option == "-A":
            found["--account"] = value
        elif option == "-l":
            key, _, text = value.partition("=")
            if key == "walltime":
                found["--time"] = str(int(text.split(":")[0]))
            elif key == "select":
                count, names = selection(text)
                found["--nodes"] = str(count)
                found["--nodelist"] = ",".join(names)
            elif key != "place":
                raise PbsError(f"qsub: Unknown resource: {key}", 188)
        elif option not in ("-j", "-m", "-r"):
            raise PbsError(f"qsub: invalid option {option}", 2)
    return found


def qsub(argv: list[str]) -> None:
    parser = argparse.ArgumentParser("qsub")
    parser.add_argument("-o", type=Path, default=Path("job.o"))
    parser.add_argument("script", type=Path)
    args = parser.parse_args(argv)
    options = options_of(args.script)
    with mb.locked() as spool:
        folder = spool / "scripts"
        folder.mkdir(exist_ok=True)
        # PBS keeps a copy, too.
        wrapper = folder / f"{len(list(folder.iterdir()))}.sh"
        lines = [f"#MB {key} {shlex.quote(value)}" for key, value in options.items() if value]
        wrapper.write_text(
            "\n".join(
                [
                    "#!/bin/bash",
                    *lines,
                    RUN.format(
                        server=SERVER,
                        name=shlex.quote(options["--name"]),
                        script=shlex.quote(str(args.script.absolute())),
                    ),
                ]
            )
        )
        wrapper.chmod(0o700)
        job = mb.new_job(spool, wrapper, args.o.absolute(), "")
        mb.update(spool)
    print(f"{job['id']}.{SERVER}")


def qstat(argv: list[str]) -> None:
    parser = argparse.ArgumentParser("qstat")
    parser.add_argument("-x", action="store_true")
    parser.add_argument("-f", action="store_true")
    parser.add_argument("-F", choices=["json"], required=True)
    parser.add_argument("ids", nargs="*")
    args = parser.parse_args(argv)
    with mb.locked() as spool:
        jobs = {f"{job['id']}.{SERVER}": job for job in mb.update(spool)}
    for job_id in args.ids:
        if job_id not in jobs:
            raise PbsError(f"qstat: Unknown Job Id {job_id}", 153)
    shown = {}
    for job_id, job in jobs.items():
        state = STATES[job["state"]]
        if (state == "F" and not args.x) or (args.ids and job_id not in args.ids):
            continue
        shown[job_id] = {
            "Job_Name": job["name"],
            "job_state": state,
            "Account_Name": job["account"],
            "queue": job["partition"],
            "comment": job["reason"],
            "exec_host": "+".join(f"{name}/0" for name in job["nodes"]),
        }
        if state == "F":
            deleted = job["state"] == "CANCELLED"
            shown[job_id]["Exit_status"] = DELETED if deleted else job["exit_code"]
    print(json.dumps({"pbs_version": "2022.1", "pbs_server": SERVER, "Jobs": shown}, indent=4))


def qdel(argv: list[str]) -> None:
    for job_id in argv:
        number, _, server = job_id.partition(".")
        with mb.locked() as spool:
            job = next((job for job in mb.update(spool) if job["id"] == number), None)
            if job is None or server != SERVER:
                raise PbsError(f"qdel: Unknown Job Id {job_id}", 153)
            if STATES[job["state"]] == "F":
                raise PbsError(f"qdel: Job has finished {job_id}", 35)
            mb.cancel(spool, number)


def pbsnodes(argv: list[str]) -> None:
    parser = argparse.ArgumentParser("pbsnodes")
    parser.add_argument("-a", action="store_true", required=True)
    parser.add_argument("-F", choices=["json"], required=True)
    parser.parse_args(argv)
    with mb.locked() as spool:
        busy = mb.busy_nodes(mb.update(spool))
        nodes = mb.load_nodes()
    shown = {}
    for name, node in nodes.items():
        state = (
            "offline,down"
            if node.get("state", "UP") != "UP"
            else ("job-exclusive" if name in busy else "free")
        )
        shown[name] = {
            "Mom": name,
            "ntype": "PBS",
            "state": state,
            "queue": ",".join(node["partitions"]),
            "resources_available": {
                "ncpus": node["cpus"],
                "mem": f"{node['mem_mb'] * 1024}kb",
                "host": name,
            },
        }
    print(json.dumps({"pbs_server": SERVER, "nodes": shown}, indent=4))


def main() -> None:
    command = Path(sys.argv[0]).name
    try:
        {"qsub": qsub, "qstat": qstat, "qdel": qdel, "pbsnodes": pbsnodes}[command](sys.argv[1:])
    except PbsError as exc:
        print(exc.args[0], file=sys.stderr)
        sys.exit(exc.args[1])
    except (mb.BatchError, OSError) as exc:
        print(f"{command}: {exc}", file=sys.stderr)
        sys.exit(1)
