"""What the pbs plugin requests: its section beside the common keys, lines of scripts, commands."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from contract.fakes import FakePavConfig, active
from pavilion.errors import PavilionError
from pavilion.jobs import Job
from pavilion.schedulers import validate_config
from pavilion.schedulers.batch import CommandResult, Submission
from pavilion.schedulers.kickoff import compose_stub
from pavilion.schedulers.plugins.pbs import Pbs, PbsVars

TOKEN = "pav-0123456789abcdef"
USUAL = ["#PBS -j oe", "#PBS -r n", "#PBS -W umask=022"]
ONE = "#PBS -l select=1:ncpus=1:mpiprocs=1"


@pytest.fixture
def plugin() -> Iterator[Pbs]:
    made = Pbs()
    with active(made):
        yield made


def lines(plugin: Pbs, schedule: dict[str, Any], nodes: Any = None, most: Any = 1) -> list[str]:
    """The lines of options for a job with this schedule section."""
    config = plugin._validated(schedule)
    problem = plugin._section_problem(config)
    if problem is not None:
        raise problem
    count = config["nodes"] or most
    node_range = None if nodes else (1 if count is None else count, count)
    header = plugin._get_kickoff_script_header("a.test: of 1", config, nodes, node_range)
    return header._kickoff_lines()


def test_a_job_of_one_task(plugin: Pbs) -> None:
    assert lines(plugin, {}) == [
        "#PBS -N a_test__of_1",
        *USUAL,
        ONE,
        "#PBS -l walltime=00:01:00",
        "#PBS -l place=scatter",
    ]


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        # The section's own keys, as in suites for Pavilion's own plugin.
        ({"pbs": {"walltime": "10:00"}}, ["-l walltime=00:10:00"]),
        ({"pbs": {"walltime": "90"}}, ["-l walltime=00:01:30"]),
        ({"pbs": {"walltime": "100:00:00"}}, ["-l walltime=100:00:00"]),
        ({"pbs": {"queue": "debug"}}, ["-q debug"]),
        ({"pbs": {"nodes": "3"}}, ["-l select=3:ncpus=1:mpiprocs=1"]),
        ({"pbs": {"nodes": "2", "tasks": "6"}}, ["-l select=2:ncpus=3:mpiprocs=3"]),
        ({"pbs": {"mpiprocs": "4", "nodes": "2"}}, ["-l select=2:ncpus=4:mpiprocs=4"]),
        ({"pbs": {"model": "bro"}}, ["-l select=1:ncpus=1:mpiprocs=1:model=bro"]),
        ({"pbs": {"exclusive": "True"}}, ["-l place=scatter:exclhost"]),
        ({"pbs": {"qsub_extra": ["-m n", "-W group_list=a,b"]}}, ["-m n", "-W group_list=a,b"]),
        ({"pbs": {"qsub_extra": ["#PBS -P x", "-h"]}}, ["-P x", "-h"]),
        # The common keys.
        ({"time_limit": "1"}, ["-l walltime=01:00:00"]),
        ({"time_limit": "90m"}, ["-l walltime=01:30:00"]),
        ({"partition": "debug"}, ["-q debug"]),
        ({"reservation": "R17"}, ["-q R17"]),
        ({"reservation": "R17.server1"}, ["-q R17"]),
        ({"account": "phys-12"}, ["-A phys-12"]),
        ({"tasks_per_node": "4"}, ["-l select=1:ncpus=4:mpiprocs=4"]),
        ({"nodes": "2", "tasks": "5"}, ["-l select=2:ncpus=3:mpiprocs=3"]),
        # Both, in agreement.
        ({"nodes": "2", "pbs": {"nodes": "2"}}, ["-l select=2:ncpus=1:mpiprocs=1"]),
        ({"time_limit": "90m", "pbs": {"walltime": "1:30:00"}}, ["-l walltime=01:30:00"]),
        # One of each.
        ({"tasks": "4", "pbs": {"nodes": "2"}}, ["-l select=2:ncpus=2:mpiprocs=2"]),
        # Options that are like keys.
        ({"pbs": {"qsub_extra": ["-q debug"]}}, ["-q debug"]),
        ({"pbs": {"qsub_extra": ["-A x y"]}}, None),
        ({"pbs": {"qsub_extra": ["-l walltime=5:00"]}}, ["-l walltime=00:05:00"]),
        ({"pbs": {"qsub_extra": ["-l walltime=60,place=pack"]}}, ["-l place=pack"]),
        # Options in place of ours.
        ({"pbs": {"qsub_extra": ["-l place=free:excl"]}}, ["-l place=free:excl"]),
        ({"pbs": {"qsub_extra": ["-N mine"]}}, ["-N mine"]),
        ({"pbs": {"qsub_extra": ["-r y"]}}, ["-r y"]),
        ({"pbs": {"qsub_extra": ["-W umask=077"]}}, ["-W umask=077"]),
    ],
)
def test_lines_of_options(
    plugin: Pbs, schedule: dict[str, Any], expected: list[str] | None
) -> None:
    if expected is None:
        with pytest.raises(PavilionError):
            lines(plugin, schedule)
        return
    made = lines(plugin, schedule)
    assert [line for line in made if line[5:] in expected] == [f"#PBS {line}" for line in expected]
    # Nothing is said twice.
    options = [re.sub("=.*", "", line) if " -l " in line else line[:7] for line in made]
    assert len(set(options)) == len([*options]) - options.count("#PBS -W") + ("#PBS -W" in options)


def test_chosen_hosts(plugin: Pbs) -> None:
    made = lines(plugin, {"nodes": "2", "tasks_per_node": "2"}, ["n1", "n2.site"])
    chunk = "ncpus=2:mpiprocs=2"
    assert f"#PBS -l select=1:{chunk}:host=n1+1:{chunk}:host=n2.site" in made
    # Some of them, and any others.
    config = {"nodes": "3", "include_nodes": "n[7-8]"}
    chunk = "ncpus=1:mpiprocs=1"
    assert f"#PBS -l select=1:{chunk}:host=n7+1:{chunk}:host=n8+1:{chunk}" in lines(plugin, config)
    # The section's own word for it.
    assert f"#PBS -l select=1:{chunk}:host=n7" in lines(plugin, {"pbs": {"target": "n7"}})
    both = lines(plugin, {"pbs": {"target": "n[7-8]", "nodes": "2"}})
    assert f"#PBS -l select=1:{chunk}:host=n7+1:{chunk}:host=n8" in both


def test_all_nodes_of_a_queue(plugin: Pbs) -> None:
    config = plugin._validated({"pbs": {"all_queue_nodes": "true", "queue": "debug"}})
    assert (config["nodes"], config["partition"]) == (1.0, "debug")
    assert plugin._validated({"pbs": {"all_queue_nodes": "false"}})["nodes"] is None


@pytest.mark.parametrize(
    ("schedule", "words"),
    [
        ({"nodes": "3", "pbs": {"nodes": "2"}}, ["schedule.nodes", "schedule.pbs.nodes"]),
        ({"tasks": "3", "pbs": {"tasks": "2"}}, ["schedule.tasks", "schedule.pbs.tasks"]),
        (
            {"time_limit": "1", "pbs": {"walltime": "5:00"}},
            ["schedule.time_limit", "schedule.pbs.walltime"],
        ),
        ({"partition": "a", "pbs": {"queue": "b"}}, ["schedule.partition", "schedule.pbs.queue"]),
        (
            {"pbs": {"queue": "b", "qsub_extra": ["-q c"]}},
            ["schedule.pbs.queue", "schedule.pbs.qsub_extra"],
        ),
        ({"nodes": "1", "pbs": {"all_queue_nodes": "true"}}, ["all_queue_nodes", "schedule.nodes"]),
        ({"pbs": {"target": "n1", "all_queue_nodes": "true"}}, ["pbs.target", "all_queue_nodes"]),
        ({"include_nodes": "n1", "pbs": {"target": "n2"}}, ["include_nodes", "pbs.target"]),
        ({"pbs": {"walltime": "0"}}, ["[[H:]M:]S", "'0'"]),
        ({"pbs": {"walltime": "1h"}}, ["[[H:]M:]S", "'1h'"]),
        ({"pbs": {"exclusive": "maybe"}}, ["'maybe'", "exclusive"]),
        ({"pbs": {"mpiprocs": "0"}}, ["pbs.mpiprocs"]),
        ({"pbs": {"model": "a:b"}}, ["pbs.model"]),
        ({"pbs": {"queue": "a@other"}}, ["partition", "'@'"]),
        ({"partition": "a", "reservation": "R1"}, ["schedule.reservation", "no partition"]),
        ({"reservation": "any"}, ["schedule.reservation"]),
        ({"qos": "high"}, ["schedule.qos", "no effect"]),
        ({"nodes": "2", "min_nodes": "1"}, ["schedule.min_nodes", "no effect"]),
        *(
            ({"pbs": {"qsub_extra": [option]}}, ["schedule.pbs.qsub_extra", shown])
            for option, shown in (
                ("-J 1-4", "-J"),
                ("-I", "-I"),
                ("-z", "-z"),
                ("-o /tmp/x", "-o"),
                ("-W block=true", "-W block"),
                ("-l select=4", "-l select"),
                ("-l place=pack,ncpus=3", "-l ncpus"),
                ("-l nodes=2:ppn=4", "-l nodes"),
                ("script.sh", "'script.sh'"),
                ("-m n\n#PBS -q x", "not an option"),
            )
        ),
    ],
)
def test_what_contradicts_or_cannot_be(
    plugin: Pbs, schedule: dict[str, Any], words: list[str]
) -> None:
    with pytest.raises(PavilionError) as raised:
        lines(plugin, schedule)
    for word in words:
        assert word in str(raised.value)


def test_values_that_could_be_more_than_a_value(plugin: Pbs) -> None:
    for key in ("partition", "account", "reservation"):
        for value in ("a\nb", 'a"b', "a b", "a'", "x" * 5000):
            with pytest.raises(PavilionError, match=key):
                lines(plugin, {key: value})
    with pytest.raises(PavilionError, match="include_nodes"):
        lines(plugin, {}, ["n1+2:ncpus=9"])


def test_what_keeps_tests_out_of_a_common_job(plugin: Pbs) -> None:
    keys = {
        plugin.gen_job_share_key(plugin._validated({"pbs": own}), 1, 1)
        for own in (
            {},
            {"qsub_extra": ["-m n"]},
            {"exclusive": "true"},
            {"mpiprocs": "2"},
            {"model": "bro"},
            {"queue": "debug"},
            {"walltime": "5:00"},
        )
    }
    # Time limits are compared elsewhere.
    assert len(keys) == 6
    same = [plugin._validated(section) for section in ({}, {"pbs": {"walltime": "60"}})]
    assert len({plugin.gen_job_share_key(config, 1, 1) for config in same}) == 1


# --- Commands ---


def submit(plugin: Pbs, script: str = "/a b/kickoff.sh", **own: Any) -> list[str]:
    log = str(Path(script).parent / "sched.log")
    config = plugin._validated({"pbs": own})
    return plugin.submit_command(Submission(Path(script), Path(log), TOKEN, "n", config))


def test_jobs_that_a_test_submits_do_not_inherit_its_token(plugin: Pbs, tmp_path: Path) -> None:
    header = plugin._get_kickoff_script_header("a.test", plugin._validated({}), None, (1, 1))
    script = compose_stub(FakePavConfig(tmp_path, tmp_path), header, tmp_path / "kickoff.log")  # type: ignore[arg-type]
    script.write(tmp_path / "kickoff.sh")
    text = (tmp_path / "kickoff.sh").read_text()
    assert "\nunset PAV_TOKEN\n" in text
    assert text.index("exec >") < text.index("unset PAV_TOKEN") < text.index("export PATH")


def test_the_submit_command(plugin: Pbs) -> None:
    assert submit(plugin) == [
        *("qsub", "-f", "-v", f"PAV_TOKEN={TOKEN}", "-o", "/a b/sched.log", "/a b/kickoff.sh")
    ]
    # Beside a -v in the command, one in the script has no effect.
    given = submit(plugin, qsub_extra=["-v A=1,B", '-v C="x y"', "-m n"])
    assert given[3] == f"PAV_TOKEN={TOKEN},A=1,B,C=x y"
    assert "-v" not in " ".join(lines(plugin, {"pbs": {"qsub_extra": ["-v A=1"]}}))
    with pytest.raises(PavilionError, match="ASCII characters only in paths: '/ü/sched"):
        submit(plugin, "/ü/kickoff.sh")


@pytest.mark.parametrize(
    ("printed", "job_id"),
    [
        ("123.server1\n", "123"),
        ("0.server1\n", "0"),
        ("12[].server1.site.org\n", "12[]"),
        ("Welcome to 4.site\n\nYour budget: 5.2 h\n123.server1\n", "123"),
        # Cut off.
        ("123.server", None),
        ("123", None),
        ("", None),
        ("Warning: 5\n", None),
    ],
)
def test_ids_of_submitted_jobs(plugin: Pbs, printed: str, job_id: str | None) -> None:
    assert plugin.parse_submission(CommandResult(("qsub",), 0, printed)) == job_id


def test_one_job_for_each_cancel_command(plugin: Pbs) -> None:
    assert (plugin.CANCEL_BATCH, plugin.cancel_command(["5"])) == (1, ["qdel", "5"])


def test_variables_of_a_job_we_are_in_are_dropped(
    plugin: Pbs, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("PBS_O_WORKDIR", "PBS_JOBID", "PBS_DPREFIX", "PBS_SERVER", "PBS_CONF_FILE"):
        monkeypatch.setenv(name, "x")
    seen = plugin._client.querying.environment()
    assert {name for name in seen if name.startswith("PBS_")} == {"PBS_SERVER", "PBS_CONF_FILE"}
    assert (seen["LC_ALL"], seen["TZ"]) == ("C", "UTC")


# --- Inside a job ---


def test_the_hosts_of_a_job(plugin: Pbs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PBS_NODEFILE", "PBS_JOBID"):
        monkeypatch.delenv(name, raising=False)
    job = Job(tmp_path)
    with pytest.raises(PavilionError, match="not a job of PBS"):
        plugin._get_alloc_nodes(job)
    assert plugin._get_alloc_job_id(job) is None
    # A line for each MPI process.
    (tmp_path / "nodes").write_text("n2\nn2\nn1\nn1\n")
    monkeypatch.setenv("PBS_NODEFILE", str(tmp_path / "nodes"))
    monkeypatch.setenv("PBS_JOBID", "17.server1")
    assert plugin._get_alloc_nodes(job) == ["n2", "n1"]
    assert plugin._get_alloc_job_id(job) == "17"


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ({}, ("mpirun -n 2", "00:01:00", "", "")),
        ({"tasks_per_node": "2", "time_limit": "2"}, ("mpirun -n 4", "02:00:00", "", "")),
        (
            {"pbs": {"mpi_cmd": "mpiexec", "tasks": "6", "queue": "q", "mpiprocs": "3"}},
            ("mpiexec -n 6", "00:01:00", "q", "3"),
        ),
        (
            {"wrapper": "perf", "mpirun_opts": {"extra": ["-x"]}},
            ("mpirun -n 2 -x perf", "00:01:00", "", ""),
        ),
    ],
)
def test_variables(plugin: Pbs, schedule: dict[str, Any], expected: tuple[str, ...]) -> None:
    nodes: Any = {name: {"name": name} for name in ("n1", "n2")}
    made = PbsVars(plugin._validated(schedule), nodes=nodes, deferred=False)
    assert tuple(made[key] for key in ("test_cmd", "walltime", "queue", "mpiprocs")) == expected
    assert made["srun_args"] == "" and made["errors"] == []


def test_the_section_of_pavilions_own_plugin(plugin: Pbs) -> None:
    assert validate_config({})["pbs"] == {
        "up_states": ["job-exclusive", "job-busy", "free", "busy", "resv-exclusive"],
        "avail_states": ["free"],
        "reserved_states": ["resv-exclusive"],
        "nodes": 1,
        "tasks": 1,
        "walltime": validate_config({"time_limit": "1m"})["time_limit"],
        "queue": None,
        "target": None,
        "all_queue_nodes": None,
        "mpiprocs": None,
        "model": None,
        "exclusive": False,
        "qsub_extra": [],
        "mpi_cmd": "mpirun",
    }
