"""The fake PBS prints what OpenPBS 23.06.06 printed, and refuses what it does not know."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from batch.waiting import until
from pavilion.schedulers.batch import read_attributes
from pavilion.testkit import FakePbs, FakePbsError
from pavilion.testkit.description import parse
from pavilion.testkit.fakes.pbs import output

DATA = Path(__file__).parents[1] / "data" / "pbs" / "23.06.06"
HEAD = r"Job Id: (\S+)"
LONG = "#!/bin/bash\nsleep 1000\n"


def text_of(name: str) -> str:
    return (DATA / name).read_text(encoding="utf-8", errors="backslashreplace")


# --- The form of answers ---


def test_text_is_wrapped_as_by_the_real_one() -> None:
    captured = text_of("qstat_f_wrapped.txt")
    things = read_attributes(captured, "Jobs", HEAD)
    made = ""
    for job_id, about in things.items():
        made += output.as_text(f"Job Id: {job_id}", {k: v for k, v in about.items() if k})
    assert made == captured


def test_wide_text() -> None:
    [(job_id, about)] = read_attributes(text_of("qstat_fw_v_odd.txt"), "Jobs", HEAD).items()
    about = {name: value.replace("\\n", "\n") for name, value in about.items() if name}
    assert output.as_text(f"Job Id: {job_id}", about, wide=True) == text_of("qstat_fw_v_odd.txt")


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("qstat_xfFjson_all_ends.json", "Jobs"),
        ("qstat_xfFjson_node_lost.json", "Jobs"),
        ("pbsnodes_avFjson_busy.json", "nodes"),
        ("pbsnodes_avFjson_queue_qlist.json", "nodes"),
    ],
)
def test_json_has_the_form_of_the_real_one(name: str, key: str) -> None:
    captured = text_of(name)
    answer = json.loads(captured)
    things = answer[key].items()
    assert output.as_json(key, things, answer["pbs_server"], answer["timestamp"]) == captured


def test_json_has_the_defects_of_the_real_one() -> None:
    captured = text_of("qstat_fFjson_vars_invalid.json")
    variables = {"A": "x y", "C": "005", "D": "true", "E": "", "F": "1e5", "Z": "inf"}
    made = output.as_json("Jobs", [("20.server1", {"Variable_List": variables})], "server1", 0)
    for line in ('"A":"x y"', '"C":"005"', '"D":"true"', '"E":",F=1e5"', '"Z":inf'):
        assert line in captured and line in made
    # A backslash is not escaped there.
    arguments = {"Submit_arguments": "a\\d"}
    assert '"a\\d"' in output.as_json("Jobs", [("1.s", arguments)], "s", 0)


# --- What it answers ---


@pytest.fixture
def pbs(tmp_path: Path) -> Iterator[FakePbs]:
    with FakePbs(tmp_path / "pbs", nodes=2, cpus=8, kill_wait=1) as made:
        yield made


def submit(pbs: FakePbs, script: str, *options: str) -> str:
    path = pbs.folder / "script.sh"
    path.write_text(script)
    printed = pbs.ok("qsub", *options, str(path), cwd=pbs.folder)
    assert re.fullmatch(r"[0-9]+\.server1\n", printed)
    return printed.strip()


def shown(pbs: FakePbs, job: str) -> dict[str, Any]:
    answer = json.loads(pbs.ok("qstat", "-x", "-f", "-F", "json", job))
    found: dict[str, Any] = answer["Jobs"][job]
    return found


def wait_state(pbs: FakePbs, job: str, letter: str) -> dict[str, Any]:
    found: dict[str, Any] = {}

    def there() -> bool:
        found.clear()  # in the order of the last answer
        found.update(shown(pbs, job))
        return bool(found["job_state"] == letter)

    until(there, f"{job} is {letter}")
    return found


def test_what_a_job_is_told_of_the_environment_of_qsub(
    pbs: FakePbs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As seen with OpenPBS 23.06."""
    for name in ("HOME", "SHELL", "LANG", "MAIL"):
        monkeypatch.delenv(name, raising=False)
    found = shown(pbs, submit(pbs, "#!/bin/sh\n", "-h"))["Variable_List"]
    assert found["PBS_O_HOME"] == "/"
    assert not {"PBS_O_SHELL", "PBS_O_LANG", "PBS_O_MAIL"} & set(found)


def test_jobs_end_and_wait_as_captured(pbs: FakePbs, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HOME", "SHELL", "LANG", "MAIL"):
        monkeypatch.setenv(name, f"/{name}")
    captured = json.loads(text_of("qstat_xfFjson_all_ends.json"))["Jobs"]
    common = ("-j", "oe", "-m", "a")
    made = {
        "1161": submit(pbs, "exit 0\n".join(["#!/bin/sh\n", ""]), "-N", "ok", *common),
        "1162": submit(pbs, "#!/bin/sh\nexit 3\n", "-N", "fail3", *common),
        "1163": submit(pbs, "#!/bin/sh\nkill -9 $$\n", "-N", "kill9self", *common),
        "1165": submit(pbs, LONG, "-N", "walltime", *common, "-l", "walltime=1"),
        "1166": submit(pbs, LONG, "-N", "qdelrun", *common),
        "1167": submit(pbs, LONG, "-N", "qdelq", "-h"),
        "1169": submit(pbs, LONG, "-N", "never", "-l", "select=1:ncpus=99"),
        "1170": submit(pbs, LONG, "-N", "held", "-h"),
        "1173": submit(
            pbs,
            "#!/bin/sh\n",
            "-N",
            "two",
            *common,
            "-l",
            "select=2:ncpus=2:mpiprocs=2",
            "-l",
            "place=scatter",
        ),
    }
    wait_state(pbs, made["1166"], "R")
    for job in ("1166", "1167"):
        pbs.ok("qdel", made[job])
    for job, name in made.items():
        real = captured[f"{job}.server1"]
        fake = wait_state(pbs, name, real["job_state"])
        if job in ("1169",):
            until(lambda name=name: "comment" in shown(pbs, name), "it has been considered")
            fake = shown(pbs, name)
        # The real one notes sessions of jobs that it ends.
        real.pop("session_id", None)
        assert list(fake) == list(real), real["Job_Name"]
        for key in ("Exit_status", "substate", "job_state", "Hold_Types", "Join_Path", "run_count"):
            assert fake.get(key) == real.get(key), (real["Job_Name"], key)
        for key in ("resources_used", "Resource_List"):
            assert list(fake.get(key, {})) == list(real.get(key, {})), (real["Job_Name"], key)
        assert _anonymous(fake.get("comment", "")) == _anonymous(real.get("comment", ""))
        assert set(real["Variable_List"]) - {"PBS_O_LOGNAME"} <= set(fake["Variable_List"])
    log = (pbs.folder / f"walltime.o{made['1165'].partition('.')[0]}").read_text()
    assert re.search(r"^=>> PBS: job killed: walltime [0-9]+ exceeded limit 1$", log, re.M)


def _anonymous(comment: str) -> str:
    """A comment without times, hosts, users and numbers."""
    comment = re.sub(r"at \w+ \w+ +[0-9]+ at [0-9:]+", "at TIME", comment)
    comment = re.sub(r"by [\w.-]+@", "by USER@", comment)
    return re.sub(r"node[0-9]+|[0-9]+", "N", comment)


def test_nodes_are_shown_as_captured(pbs: FakePbs) -> None:
    job = submit(pbs, LONG, "-l", "select=1:ncpus=3")
    wait_state(pbs, job, "R")
    real = json.loads(text_of("pbsnodes_avFjson_busy.json"))["nodes"]["node001"]
    fake = json.loads(pbs.ok("pbsnodes", "-av", "-F", "json"))["nodes"]["node01"]
    assert list(fake) == [key for key in real if key != "last_used_time"]
    for key in ("resources_available", "resources_assigned"):
        assert list(fake[key]) == list(real[key])
    assert (fake["state"], fake["jobs"]) == ("free", [job])
    text = read_attributes(text_of("pbsnodes_a_busy.txt"), "nodes", r"(\S+)")["node001"]
    in_text = read_attributes(pbs.ok("pbsnodes", "-av"), "nodes", r"(\S+)")["node01"]
    assert list(in_text) == [key for key in text if key != "last_used_time"]
    whole = submit(pbs, LONG, "-l", "select=1:ncpus=1:host=node02", "-l", "place=scatter:exclhost")
    wait_state(pbs, whole, "R")
    pbs.drain("node02", "maint")
    states = {
        name: node["state"]
        for name, node in json.loads(pbs.ok("pbsnodes", "-av", "-F", "json"))["nodes"].items()
    }
    assert states == {"node01": "free", "node02": "offline,job-exclusive"}


def test_tables_have_the_captured_headers(pbs: FakePbs) -> None:
    job = submit(pbs, LONG, "-h", "-N", "heldu")
    real = text_of("qstat_default.txt").splitlines()
    fake = pbs.ok("qstat").splitlines()
    assert fake[:2] == real[:2]
    form = re.compile(rf"{re.escape(job)} +heldu +\w+ +0 H workq +")
    # Names of users were replaced by longer ones in what was captured.
    assert form.fullmatch(fake[2]) and len(fake[2]) == 80
    assert pbs.ok("qstat", "-Q").splitlines()[:2] == text_of("qstat_Q.txt").splitlines()[:2]
    stopped = text_of("qstat_Qf.txt").split("\n\n")[1]
    assert stopped in pbs.ok("qstat", "-Q", "-f").split("\n\n")
    assert pbs.ok("qstat", "--version") == text_of("version.txt")


@pytest.mark.parametrize(
    ("command", "captured"),
    [
        ("qstat 999", None),
        ("qstat -x 999", None),
        ("qstat -f -F json 999", "qstat -x -f -F json 999"),
        ("qstat nonsense", None),
        ("qstat -F json", None),
        ("qdel 999", None),
        ("qdel nonsense", None),
        ("qselect -x -N nosuch -u user1", None),
        ("pbsnodes node9", None),
        ("qsub -h -N err -l select=abc p_ok.sh", None),
        ("qsub -h -N err -l select=0:ncpus=1 p_ok.sh", None),
        ("qsub -h -N err -l select=1:nosuch=2 p_ok.sh", None),
        ("qsub -h -N err -l nosuch=2 p_ok.sh", None),
        ("qsub -h -N err -l walltime=abc p_ok.sh", None),
        ("qsub -h -N err -l walltime=1:2:3:4 p_ok.sh", None),
        ("qsub -h -N err -l place=nosuch p_ok.sh", None),
        ("qsub -h -N err -q nosuch p_ok.sh", None),
        ("qsub -h -N err -N a/b p_ok.sh", None),
        ("qsub -h -N err -l select=1:ncpus= p_ok.sh", None),
        ("qsub -h -N err -r x p_ok.sh", None),
        ("qsub -h -N err -Z p_ok.sh", None),
        ("qsub -h nosuchfile.sh", None),
        ("qsub -h p_bad.sh", None),
    ],
)
def test_errors_are_those_of_the_real_one(pbs: FakePbs, command: str, captured: str | None) -> None:
    (pbs.folder / "p_ok.sh").write_text("#!/bin/sh\n")
    (pbs.folder / "p_bad.sh").write_text("#!/bin/sh\n#PBS -Z nosuch\n")
    lines = [
        line.split("|")
        for line in text_of("errors.txt").splitlines()
        if line.startswith(f"{captured or command}|")
    ]
    # The first capture of some was without a history.
    wanted = next(line for line in lines if "configured" not in line[3])
    done = pbs.run(*command.split(), cwd=pbs.folder)
    assert done.returncode == int(wanted[1])
    # The usage that follows was cut there.
    real = "" if wanted[3] == "-" else wanted[3].partition("<NL>usage")[0].replace("<NL>", "\n")
    fake = done.stderr.partition("\nusage")[0].strip()
    assert fake == real.strip()


@pytest.mark.parametrize(
    "command",
    [
        "qsub -h p_ok.sh",
        "qstat -x -f -F json",
        "qdel 2",
        "pbsnodes -av -F json",
        "qselect -u user1",
    ],
)
def test_without_a_server_commands_fail_as_captured(pbs: FakePbs, command: str) -> None:
    (pbs.folder / "p_ok.sh").write_text("#!/bin/sh\n")
    pbs.set_fault("down")
    done = pbs.run(*command.split(), cwd=pbs.folder)
    wanted = next(
        line.split("|")
        for line in text_of("errors.txt").splitlines()
        if line.startswith(f"{command}|") and "server1" in line and "refused" in line
    )
    assert (done.returncode, done.stderr.strip()) == (
        int(wanted[1]),
        wanted[3].replace("<NL>", "\n"),
    )


def test_one_of_several_is_unknown(pbs: FakePbs) -> None:
    job = submit(pbs, LONG, "-h")
    done = pbs.run("qstat", "-f", "-F", "json", "999", job, "998")
    assert done.returncode == 153 and list(json.loads(done.stdout)["Jobs"]) == [job]
    assert done.stderr.splitlines() == [f"qstat: Unknown Job Id {n}.server1" for n in (999, 998)]
    done = pbs.run("qstat", "-E", "-f", "-F", "json", "999", job)
    assert (done.returncode, done.stderr) == (0, "")
    pbs.set_fault("one_of_several")
    other = submit(pbs, LONG, "-h")
    shown_now = json.loads(pbs.ok("qstat", "-f", "-F", "json", job, other))["Jobs"]
    assert list(shown_now) == [job]


def test_without_a_history(pbs: FakePbs) -> None:
    ended, held = submit(pbs, "#!/bin/sh\n"), submit(pbs, LONG, "-h")
    wait_state(pbs, ended, "F")
    pbs.set_history(False)
    done = pbs.run("qstat", "-x", "-f", "-F", "json", held)
    said = f"qstat: PBS is not configured to maintain job history {held}\n"
    assert (done.returncode, done.stderr) == (0, said) and "Jobs" not in json.loads(done.stdout)
    assert pbs.run("qselect", "-x").stdout == "" and pbs.ok("qselect") == f"{held}\n"
    assert pbs.run("qstat", "-f", ended).returncode == 153
    pbs.set_history(True)
    assert pbs.run("qstat", "-x", ended).returncode == 153
    assert pbs.ok("qselect", "-x") == f"{held}\n"


def test_variables_and_directives(pbs: FakePbs) -> None:
    script = (
        "#!/bin/sh\n#PBS -N named\n#PBS -v A=lost\n#PBS -l place=scatter -l walltime=5:00\n\n"
        'echo "$A-$B-$PBS_JOBID-$PBS_JOBNAME" "$(cat "$PBS_NODEFILE")" "$HERE"\n#PBS -N late\n'
    )
    job = submit(pbs, script, "-v", 'B=x y,C="a,b"', "-o", "out", "-j", "oe", "-l", "walltime=60")
    about = wait_state(pbs, job, "F")
    assert about["Job_Name"] == "named" and about["Resource_List"]["walltime"] == "00:01:00"
    assert (about["Resource_List"]["place"], about["Variable_List"]["C"]) == ("scatter", "a,b")
    assert (pbs.folder / "out").read_text() == f"-x y-{job}-named node01 \n"
    assert (pbs.folder / "out").stat().st_mode & 0o777 == 0o600


def test_a_qsub_that_is_killed_while_the_server_is_frozen_has_submitted(pbs: FakePbs) -> None:
    (pbs.folder / "script.sh").write_text(LONG)
    pbs.set_fault("frozen")
    hung = subprocess.Popen(["qsub", "-h", str(pbs.folder / "script.sh")], env=pbs.env())
    until(lambda: pbs.jobs(), "it was sent")
    assert hung.poll() is None
    hung.send_signal(signal.SIGKILL)
    hung.wait()
    pbs.clear_fault("frozen")
    assert pbs.ok("qselect") == "1.server1\n"


def test_a_node_that_is_lost(pbs: FakePbs) -> None:
    job = submit(pbs, LONG, "-r", "n", "-l", "select=1:ncpus=1:host=node02")
    wait_state(pbs, job, "R")
    pbs.fail_node("node02")
    about = wait_state(pbs, job, "F")
    assert (about["Exit_status"], about["substate"]) == (-20, 93)
    assert "down" in pbs.ok("pbsnodes", "-av")


def test_a_job_that_ignores_sigterm(pbs: FakePbs) -> None:
    job = submit(pbs, "#!/bin/bash\ntrap '' TERM\nwhile :; do sleep 0.1; done\n")
    wait_state(pbs, job, "R")
    pbs.ok("qdel", job)
    about = shown(pbs, job)
    assert about["job_state"] == "R" and " and terminated by " in about["comment"]
    about = wait_state(pbs, job, "F")
    # As it was measured.
    assert (about["Exit_status"], about["substate"]) == (0, 91)


def test_holding_and_releasing(pbs: FakePbs) -> None:
    job = submit(pbs, "#!/bin/sh\n", "-h")
    assert shown(pbs, job)["job_state"] == "H"
    pbs.ok("qrls", job)
    wait_state(pbs, job, "F")
    stopped = submit(pbs, LONG, "-q", "stopped")
    until(lambda: shown(pbs, stopped).get("comment"), "it has been considered")
    assert shown(pbs, stopped)["comment"] == "Not Running: Queue not started."
    pbs.ok("qhold", stopped)
    assert shown(pbs, stopped)["comment"].startswith("Job held by ")
    done = pbs.run("qhold", job)
    assert (done.returncode, done.stderr) == (35, "qhold: Job has finished\n")


@pytest.mark.skipif(os.getuid() != 0, reason="jobs of another user need root")
def test_jobs_of_others(pbs: FakePbs) -> None:
    job = submit(pbs, LONG, "-h")
    done = pbs.run("qdel", job, user="daemon")
    said = f"qdel: Unauthorized Request  {job}\n"
    assert (done.returncode, done.stderr) == (159, said)
    assert pbs.ok("qselect", "-u", "daemon") == ""


# --- What it does not know ---


@pytest.mark.parametrize(
    "command",
    [
        "qsub -J 1-4 p_ok.sh",
        "qsub -I",
        "qsub -W depend=afterok:1 p_ok.sh",
        "qsub -l select=1:mem=1gb p_ok.sh",
        "qsub -l nodes=2:ppn=2 p_ok.sh",
        "qsub -q workq@other p_ok.sh",
        "qsub -k oed p_ok.sh",
        "qstat -a",
        "qstat -t",
        "qstat -f -F dsv",
        "qstat -Q -f -F json",
        "qdel -W force 1",
        "qdel 1[]",
        "qselect -q workq",
        "pbsnodes -l",
    ],
)
def test_what_it_does_not_know_is_refused(pbs: FakePbs, command: str) -> None:
    (pbs.folder / "p_ok.sh").write_text("#!/bin/sh\n")
    done = pbs.run(*command.split(), cwd=pbs.folder)
    assert done.returncode == 2 and "not known to the fake" in done.stderr
    assert pbs.jobs() == {}


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"reservations": [{"nodes": "n1"}]}, "reservations"),
        ({"accounting": True}, "accounting"),
        ({"nodes": [{"names": "n1", "gres": "gpu:2"}]}, "GPUs"),
        ({"nodes": [{"names": "n1", "features": ["a"]}]}, "features"),
        ({"nodes": [{"names": "n1", "power": "down"}]}, "saves_power"),
    ],
)
def test_a_description_of_more_than_it_has(
    tmp_path: Path, more: dict[str, Any], words: str
) -> None:
    described = parse({"nodes": [{"names": "n1"}], **more})
    with pytest.raises(FakePbsError, match=words):
        FakePbs(tmp_path, description=described)
