"""The fake Flux says what a real one of its release was seen to say."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flux_answers import answer

import polling
from pavilion.schedulers import Flux
from pavilion.testkit import BadFault, DescriptionError, FakeFlux, FakeFluxError

LIST = ("-s", "all,free,allocated,down", "-no")
FIELDS = "{state}|{queue}|{properties}|{nnodes}|{ncores}|{nodelist}"


@pytest.fixture
def flux(tmp_path: Path) -> Iterator[FakeFlux]:
    with FakeFlux(tmp_path / "flux", cpus=16, kill_wait=1) as made:
        yield made


@pytest.fixture
def scripts(tmp_path: Path) -> Path:
    """A directory with scripts, which are submitted from there."""
    for name, text in {
        "ok.sh": "#!/bin/bash\ntrue\n",
        "long.sh": "#!/bin/bash\nsleep 600\n",
        "f3.sh": "#!/bin/bash\nexit 3\n",
        "nohash.sh": "true\n",
        "dir.sh": "#!/bin/bash\n#flux: -N1\n\ntrue\n\n#flux: -n1\n",
    }.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "latin.sh").write_bytes(b"#!/bin/bash\n# \xe4\n")
    return tmp_path


def submit(flux: FakeFlux, scripts: Path, *options: str) -> str:
    return flux.ok("flux", "batch", "--output=out", *options, cwd=scripts).strip()


def listed(flux: FakeFlux, *words: str) -> list[dict[str, Any]]:
    found = json.loads(flux.ok("flux", "jobs", "-a", "-c", "0", "--json", *words))["jobs"]
    assert isinstance(found, list)
    return found


def wait_state(flux: FakeFlux, name: str, state: str) -> dict[str, Any]:
    def found() -> Any:
        return next(
            (job for job in listed(flux) if (job["name"], job["state"]) == (name, state)), None
        )

    job: dict[str, Any] = polling.until(found, f"{name} is {state}")
    return job


# --- Messages ---


@pytest.mark.parametrize(
    "name",
    [
        *("batch_orphan", "batch_no_shebang", "batch_not_utf8", "batch_no_script"),
        *("batch_no_size", "batch_fewer_tasks", "batch_exclusive_without_nodes"),
        *("batch_bad_time", "batch_bad_hostlist", "batch_bad_urgency", "batch_bad_value"),
        *("batch_unsatisfiable", "batch_unknown_queue", "batch_unknown_host_validated"),
        *("batch_unknown_property", "cancel_unknown", "resource_bad_queue", "jobs_unknown_id"),
        *("jobs_none", "kvs_no_key"),
    ],
)
def test_it_says_what_the_real_one_said(flux: FakeFlux, scripts: Path, name: str) -> None:
    real = answer(name)
    made = flux.run(*real.argv, cwd=scripts)
    assert (made.returncode, made.stdout, made.stderr) == (
        real.returncode,
        real.stdout,
        real.stderr,
    )


@pytest.mark.parametrize("name", ["batch_bad_option", "jobs_bad_option", "cancel_no_id"])
def test_it_refuses_what_the_real_one_refuses(flux: FakeFlux, scripts: Path, name: str) -> None:
    """The usage texts were not captured whole."""
    real, made = answer(name), flux.run(*answer(name).argv, cwd=scripts)
    assert made.returncode == real.returncode == 2
    assert made.stderr.splitlines()[-1] == real.stderr.splitlines()[-1]
    assert made.stderr.startswith("usage: ")


def test_without_queues(scripts: Path, tmp_path: Path) -> None:
    with FakeFlux(tmp_path / "other", queues=False) as flux:
        real = answer("batch_no_queues")
        assert flux.run(*real.argv, cwd=scripts).stderr == real.stderr
        fields = "{queue}|{queuem}|{scheduling}"
        assert flux.ok("flux", "queue", "list", "-no", fields) == "||started\n"
        lines = flux.ok("flux", "resource", "list", *LIST, FIELDS).splitlines()
        assert lines[:2] == ["all|||3|12|node[1-3]", "all||big|1|4|node4"]


def test_a_queue_that_is_disabled(flux: FakeFlux, scripts: Path) -> None:
    real = answer("batch_queue_disabled")
    flux.disable_queue("debug", "going away")
    assert flux.run(*real.argv, cwd=scripts).stderr == real.stderr
    flux.start_queue("debug")
    assert flux.run(*real.argv, cwd=scripts).returncode == 0


def test_a_time_over_the_limit(flux: FakeFlux, scripts: Path) -> None:
    real = answer("batch_over_limit")
    made = flux.run(*real.argv[:-1], "-t30m", real.argv[-1], cwd=scripts)
    assert made.stderr == real.stderr


@pytest.mark.parametrize(
    ("variables", "prefix"),
    [({"FLUX_URI": "local:///tmp/nosuch/local-0"}, "run_missing"), ({"FLUX_URI": ""}, "no_")],
)
def test_no_instance(flux: FakeFlux, variables: dict[str, str], prefix: str) -> None:
    name = {"run_missing": "run_missing_instance", "no_": "no_instance_jobs"}[prefix]
    made = flux.run("flux", "jobs", "-a", "-c", "0", "--json", env=variables)
    assert (made.returncode, made.stderr) == (1, answer(name).stderr)
    made = flux.run("flux", "uptime", env=variables)
    assert (made.returncode, made.stderr) == (1, answer("no_instance_uptime").stderr)


def test_an_instance_that_is_gone(flux: FakeFlux, scripts: Path) -> None:
    flux.set_fault("down")
    for name in ("gone_jobs", "gone_uptime", "gone_batch"):
        made = flux.run(*answer(name).argv, cwd=scripts)
        assert (made.returncode, made.stderr) == (1, answer(name).stderr)


def test_a_frozen_broker_never_answers(flux: FakeFlux, scripts: Path) -> None:
    flux.set_fault("frozen")
    for name in ("frozen_jobs", "frozen_uptime", "frozen_batch", "frozen_cancel"):
        assert answer(name).timed_out
        with pytest.raises(subprocess.TimeoutExpired):
            flux.run(*answer(name).argv, cwd=scripts, timeout=1.0)
    flux.clear_fault("frozen")
    # What was sent meanwhile never arrives.
    assert listed(flux) == []


# --- Lists ---


def keys(jobs: list[dict[str, Any]], state: str, **more: object) -> set[str]:
    """The keys of the first job in a state."""
    for job in jobs:
        if job["status"] == state and all(job.get(key) == value for key, value in more.items()):
            return set(job)
    raise AssertionError((state, more))


def test_jobs_have_the_keys_that_the_real_ones_have(flux: FakeFlux, scripts: Path) -> None:
    waiting = json.loads(answer("jobs_waiting").stdout)["jobs"]
    cancelled = json.loads(answer("jobs_cancelled").stdout)["jobs"]
    submit(flux, scripts, "-N1", "--job-name=part", "long.sh")
    submit(flux, scripts, "-N1", "--job-name=held", "--urgency=0", "ok.sh")
    submit(flux, scripts, "-N1", "--job-name=later", "--begin-time=+1h", "ok.sh")
    wait_state(flux, "part", "RUN")
    made = listed(flux)
    for state, more in (("RUN", {}), ("SCHED", {"name": "held"}), ("DEPEND", {"name": "later"})):
        assert keys(made, state, **more) == keys(waiting, state, **more), state
    flux.ok("flux", "cancel", *(str(job["id"]) for job in made))
    submit(flux, scripts, "-N1", "--job-name=ok2", "ok.sh")
    for name in ("part", "held", "later", "ok2"):
        wait_state(flux, name, "INACTIVE")
    made = listed(flux)
    for name in ("part", "held", "later"):
        ours = next(job for job in made if job["name"] == name)
        real = next(job for job in cancelled if job["name"] == name)
        assert set(ours) == set(real), name
        for key in ("result", "success", "exception", "state", "status"):
            assert ours.get(key) == real.get(key), (name, key)
    ended = json.loads(answer("jobs_ends").stdout)["jobs"]
    codes = {job["name"]: (job["returncode"], job.get("waitstatus")) for job in made}
    assert codes["held"] == codes["later"] == (-128, None)
    [real] = [job for job in ended if job["name"] == "canc"]
    assert codes["part"] == (real["returncode"], real["waitstatus"])
    # That instance had no queues and no time limit.
    assert keys(made, "COMPLETED") - keys(ended, "COMPLETED") == {"queue", "expiration"}


def test_results(flux: FakeFlux, scripts: Path) -> None:
    ended = {job["name"]: job for job in json.loads(answer("jobs_ends").stdout)["jobs"]}
    (scripts / "sk.sh").write_text("#!/bin/bash\nkill -9 $$\n")
    submit(flux, scripts, "-N1", "--job-name=f3", "f3.sh")
    submit(flux, scripts, "-N1", "--job-name=sk", "sk.sh")
    submit(flux, scripts, "-N1", "--job-name=tmo", "-t1s", "long.sh")
    for name in ("f3", "sk", "tmo"):
        made = wait_state(flux, name, "INACTIVE")
        for key in ("result", "success", "returncode", "waitstatus", "exception"):
            assert made[key] == ended[name][key], (name, key)


def test_a_lost_node_and_a_missing_directory(flux: FakeFlux, scripts: Path) -> None:
    [real] = json.loads(answer("jobs_node_lost").stdout)["jobs"]
    submit(flux, scripts, "-N1", "--job-name=lost3", "--requires=host:node3", "long.sh")
    wait_state(flux, "lost3", "RUN")
    flux.lose_node("node3")
    made = wait_state(flux, "lost3", "INACTIVE")
    for key in ("result", "returncode", "waitstatus", "exception"):
        assert made[key] == real[key], key
    rows = {job["name"]: job for job in json.loads(answer("jobs_exceptions").stdout)["jobs"]}
    flux.ok(
        "flux", "batch", "-N1", "--job-name=badout", "--output=/nosuch/dir/x", "ok.sh", cwd=scripts
    )
    flux.ok("flux", "batch", "-N1", "--job-name=badcwd", "--cwd=/nosuch", "ok.sh", cwd=scripts)
    for name in ("badout", "badcwd"):
        made = wait_state(flux, name, "INACTIVE")
        for key in ("result", "returncode", "waitstatus", "exception", "cwd"):
            assert made[key] == rows[name][key] or (key == "cwd" and name == "badout"), (name, key)
    for path in Path("/tmp").glob("flux-ƒ*.out"):
        path.unlink()


def test_one_id_and_several(flux: FakeFlux, scripts: Path) -> None:
    spelled = submit(flux, scripts, "-N1", "ok.sh")
    assert re.fullmatch("f[1-9A-Za-z]+\n", answer("batch_taken").stdout)
    assert re.fullmatch("f[1-9A-Za-z]+", spelled)
    only = json.loads(flux.ok("flux", "jobs", "--json", spelled))
    assert set(json.loads(answer("jobs_one_id").stdout)) >= {"id", "jobid"} <= set(only)
    two = flux.run("flux", "jobs", "--json", spelled, "f1234")
    assert (two.returncode, two.stderr) == (0, answer("jobs_two_ids").stderr)
    assert [job["id"] for job in json.loads(two.stdout)["jobs"]] == [only["id"]]
    assert flux.ok("flux", "job", "id", "--to=dec", f"ƒ{spelled[1:]}") == f"{only['id']}\n"
    # In a locale of UTF-8.
    utf8 = flux.run("flux", "jobs", "-ano", "{id}", env={"LC_ALL": "C.UTF-8"}, cwd=scripts).stdout
    assert utf8 == f"ƒ{spelled[1:]}\n" and answer("batch_taken_utf8").stdout.startswith("ƒ")


def test_a_list_is_cut_at_a_thousand_without_a_word(flux: FakeFlux, scripts: Path) -> None:
    for _ in range(3):
        submit(flux, scripts, "-N1", "--urgency=0", "ok.sh")
    cut = flux.run("flux", "jobs", "--json", "-c", "2")
    assert (cut.returncode, cut.stderr, len(json.loads(cut.stdout)["jobs"])) == (0, "", 2)


def test_cancelling_twice_and_of_others(flux: FakeFlux, scripts: Path) -> None:
    ids = [submit(flux, scripts, "-N1", "--urgency=0", "ok.sh") for _ in range(2)]
    assert flux.run("flux", "cancel", *ids, user="nobody").stderr == "".join(
        answer("cancel_not_mine").stderr.replace("ƒwe7un3R", each) for each in ids
    )
    done = flux.run("flux", "cancel", *ids)
    assert (done.returncode, done.stdout, done.stderr) == (
        *(answer("cancel_many").returncode, answer("cancel_many").stdout),
        answer("cancel_many").stderr,
    )
    wording = answer("cancel_both_inactive").stderr
    real = re.findall(r"ERROR: (\S+):", wording)
    for spelled, own in zip(real, ids):
        wording = wording.replace(spelled, own)
    assert flux.run("flux", "cancel", *ids).stderr == wording


# --- Nodes ---


def test_nodes_and_queues_look_like_the_real_ones(flux: FakeFlux, scripts: Path) -> None:
    fields = "{state}|{nodelist}|{reason}"

    def nodes() -> str:
        return flux.ok("flux", "resource", "list", *LIST, FIELDS)

    assert nodes() == answer("resource_list_idle").stdout
    assert answer("resource_list_idle").argv[3:] == (*LIST, FIELDS)
    assert flux.ok("flux", "resource", "status", "-no", fields) == (
        answer("resource_status_idle").stdout
    )
    queues = answer("queue_list")
    assert flux.ok(*queues.argv) == queues.stdout
    assert flux.ok("flux", "queue", "status") == answer("queue_status").stdout
    submit(
        flux, scripts, "-N1", "--exclusive", "--job-name=drain", "--requires=host:node1", "long.sh"
    )
    wait_state(flux, "drain", "RUN")
    submit(flux, scripts, "-n2", "--job-name=part", "--requires=host:node2", "long.sh")
    wait_state(flux, "part", "RUN")
    flux.drain("node1", "busy node")
    flux.drain("node4", "testing | reason")
    assert nodes() == answer("resource_list_drained").stdout
    assert flux.ok("flux", "resource", "status", "-no", fields) == (
        answer("resource_status_drained").stdout
    )
    flux.stop_queue("debug", "maintenance")
    assert flux.ok(*queues.argv) == answer("queue_list_stopped").stdout
    assert "debug: Scheduling is stopped: maintenance\n" in flux.ok("flux", "queue", "status")


def test_lost_nodes_look_like_the_real_ones(flux: FakeFlux) -> None:
    flux.lose_node("node3")
    for name in ("resource_list_lost", "resource_status_lost"):
        assert flux.ok(*answer(name).argv) == answer(name).stdout


def test_its_R_is_read_like_a_real_one(flux: FakeFlux, scripts: Path) -> None:
    from pavilion.schedulers.plugins.flux import parse_cores

    made = json.loads(flux.ok("flux", "resource", "R"))
    real = json.loads(answer("resource_R").stdout)
    assert set(made) == set(real) and set(made["execution"]) == set(real["execution"])
    assert parse_cores(json.dumps(made)) == {f"node{number}": 16 for number in range(1, 5)}


def test_in_a_job_the_commands_talk_to_its_own_instance(flux: FakeFlux, scripts: Path) -> None:
    (scripts / "in.sh").write_text(
        "#!/bin/bash\nflux kvs get resource.R\nflux getattr instance-level\nflux getattr jobid\n"
        "flux getattr parent-uri\nflux jobs -a --json\nflux run -N2 -n3 sh -c 'echo task'\n"
        "flux run -n1 sh -c 'exit 7'; echo $?\nflux run -n1 nosuchcmd; echo $?\necho $FLUX_URI\n"
    )
    spelled = submit(flux, scripts, "-N2", "--job-name=in", "in.sh")
    wait_state(flux, "in", "INACTIVE")
    lines = (scripts / "out").read_text().splitlines()
    assert set(json.loads(lines[0])["execution"]) >= {"R_lite", "nodelist"}
    assert json.loads(lines[0])["execution"]["nodelist"] == ["node[1-2]"]
    assert lines[1:5] == ["1", f"ƒ{spelled[1:]}", flux.uri, '{"jobs": []}']
    assert lines[5:8] == ["task"] * 3
    rest = "\n".join(lines[8:])
    assert "task(s) exited with exit code 7\n7\n" in rest
    assert "FATAL: task 0 (host " in rest and "start failed: nosuchcmd: No such" in rest
    assert "exit code 127\n127\n" in rest
    # When it has ended, its instance is gone.
    gone = flux.run("flux", "jobs", env={"FLUX_URI": lines[-1]})
    assert gone.returncode == 1 and "was not found" in gone.stderr


# --- What it states of itself ---


def test_its_release(flux: FakeFlux) -> None:
    assert FakeFlux.RELEASE == "0.88.0"
    made, real = flux.ok("flux", "--version"), answer("version").stdout
    assert real.startswith(made.rstrip("\n"))
    uptime = r" [0-9:]{8} run \S+,  owner \S+,  depth 0,  size 4\n"
    assert re.fullmatch(uptime, answer("uptime").stdout)
    assert re.fullmatch(uptime, flux.ok("flux", "uptime"))


@pytest.mark.parametrize(
    "words",
    [
        "alloc -N1",
        "batch --dependency=afterok:f1 -N1 ok.sh",
        "batch -g1 -N1 ok.sh",
        "batch --requires=rank:0 -N1 ok.sh",
        "jobs",
        "jobs -f running --json",
        "resource drain node1",
        "resource list",
        "queue stop batch",
        "run -n1 true",
        "getattr",
    ],
)
def test_what_it_does_not_know_is_refused_aloud(flux: FakeFlux, scripts: Path, words: str) -> None:
    made = flux.run("flux", *words.split(), cwd=scripts)
    assert made.returncode == 2 and made.stderr.startswith("fake Flux: ")
    assert "not known to the fake" in made.stderr and listed(flux) == []


def test_faults_and_calls(flux: FakeFlux) -> None:
    flux.set_fault("transient", commands=["flux jobs"], at=[1])
    first = flux.run("flux", "jobs", "--json")
    assert first.returncode == 1 and first.stderr.startswith("flux-jobs: ERROR: Connection reset")
    assert flux.ok("flux", "jobs", "--json") == answer("jobs_none").stdout
    assert [call.command for call in flux.calls()] == ["flux jobs"] * 2
    with pytest.raises(BadFault):
        flux.set_fault("prolog_fails")
    with pytest.raises(FakeFluxError):
        flux.stop_queue("nosuch")
    with pytest.raises(DescriptionError):
        FakeFlux(flux.folder / "small", nodes=1)


def test_from_the_command_line(tmp_path: Path) -> None:
    argv = [sys.executable, "-m", "pavilion.testkit", "fake-flux", "--nodes", "8", "--cpus", "2"]
    done = subprocess.run(
        [*argv, "--", "flux", "resource", "list", "-s", "all", "-no", "{nodelist}|{ncores}"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )
    assert (done.stdout, done.stderr) == ("node[1-6]|12\nnode[7-8]|4\n", "")


def test_the_plugin_needs_no_command_that_it_lacks(flux: FakeFlux) -> None:
    plugin = Flux()
    for command in (plugin.ping_command(), plugin.nodes_command(), plugin.queues_command()):
        assert flux.run(*command).returncode == 0
    assert flux.run(*plugin.version_command()).returncode == 0
    assert flux.run(*plugin.jobs_command("root")).returncode == 0


def test_jobs_that_ended_before_a_time_are_left_out(flux: FakeFlux, scripts: Path) -> None:
    submit(flux, scripts, "-N1", "--job-name=old", "ok.sh")
    submit(flux, scripts, "-N1", "--job-name=waits", "--urgency=0", "ok.sh")
    wait_state(flux, "old", "INACTIVE")
    assert {job["name"] for job in listed(flux, "--since=-1h")} == {"old", "waits"}
    polling.until(
        lambda: {job["name"] for job in listed(flux, "--since=-1s")} == {"waits"}, "a second passed"
    )
