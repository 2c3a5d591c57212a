"""Options and variables of the commands that sites use: taken, shown, refused."""

from __future__ import annotations

import re

import pytest
from clusters import Slurm, wait_until

pytestmark = pytest.mark.usefixtures("early")

REFUSED = "sbatch: error: Batch job submission failed: "
UNAVAILABLE = "allocation failure: Requested node configuration is not available\n"
IGNORED = "since it's not allowed by configuration (AllowSpecResourcesUsage = No)\n"
_STAMP = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d"


def ids(slurm: Slurm, *options: str) -> list[str]:
    return slurm.ok("squeue", "-a", "-h", "-o", "%i", *options).split()


# -- --test-only ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "processors", "nodes", "partition"),
    [
        ([], 1, "node07", "secret"),
        (["-N2", "-n8"], 8, r"node\[07-08\]", "secret"),
        (["-H"], 1, "node07", "secret"),
        (["-p", "main", "-w", "node02", "-t", "300"], 1, "node02", "main"),
        (["--parsable"], 1, "node07", "secret"),
        (["--wait"], 1, "node07", "secret"),
        (["--array=0-3"], 1, "node07", "secret"),
        (["-N2", "--exclusive"], 8, r"node\[07-08\]", "secret"),
    ],
)
def test_where_a_job_would_start(
    slurm: Slurm, options: list[str], processors: int, nodes: str, partition: str
) -> None:
    slurm.wait_idle("node02", "node07", "node08")
    before = ids(slurm)
    result = slurm.run("sbatch", "--test-only", "-p", "secret", *options, "--wrap", "true")
    assert (result.returncode, result.stdout) == (0, "")
    assert re.fullmatch(
        rf"sbatch: Job \d+ to start at {_STAMP} using {processors} processors on nodes {nodes} "
        rf"in partition {partition}\n",
        result.stderr,
    )
    # Jobs of other tests may have ended meanwhile.
    assert set(ids(slurm)) <= set(before)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (["-N9"], UNAVAILABLE),
        (["-N1", "-n5"], UNAVAILABLE),
        (
            ["-p", "nosuch"],
            "sbatch: error: invalid partition specified: nosuch\n"
            "allocation failure: Invalid partition name specified\n",
        ),
        (["-C", "nosuch"], "allocation failure: Invalid feature specification\n"),
    ],
)
def test_a_job_that_could_never_start(slurm: Slurm, options: list[str], text: str) -> None:
    result = slurm.run("sbatch", "--test-only", *options, "--wrap", "true")
    assert (result.returncode, result.stdout, result.stderr) == (1, "", text)


def test_when_a_job_would_start(slurm: Slurm) -> None:
    slurm.wait_idle("node07", "node08")
    job_id = slurm.submit(
        "sleep 300", "-p", "secret", "-w", "node07,node08", "--exclusive", "-t", "10"
    )
    slurm.wait_state(job_id, "RUNNING")
    result = slurm.run("sbatch", "--test-only", "-p", "secret", "--wrap", "true")
    assert (
        f" to start at {slurm.show(job_id)['EndTime']} using 1 processors on nodes node07 "
        in result.stderr
    )
    later = slurm.run("sbatch", "--test-only", "-b", "2035-01-02", "--wrap", "true")
    assert " to start at 2035-01-02T00:00:00 using " in later.stderr
    assert slurm.run("sbatch", "--test-only", "-Q", "--wrap", "true").stderr == ""


def test_a_script_or_srun_may_ask_when(slurm: Slurm) -> None:
    (slurm.folder / "t.sh").write_text("#!/bin/bash\n#SBATCH --test-only\ntrue\n")
    result = slurm.run("sbatch", "t.sh")
    assert (result.returncode, result.stdout) == (0, "")
    assert result.stderr.startswith("sbatch: Job ")
    result = slurm.run("srun", "--test-only", "true")
    assert result.returncode == 0
    assert result.stderr.startswith("srun: Job ")
    result = slurm.run("srun", "--test-only", "-N9", "true")
    assert (result.returncode, result.stderr) == (1, UNAVAILABLE)


# -- jobs that are held, and several partitions --------------------------------------------------


def test_a_held_job_that_can_never_run_is_taken(slurm: Slurm) -> None:
    job_id = slurm.submit("true", "-H", "-N1", "-n5")
    assert slurm.field(job_id, "%T|%r") == "PENDING|JobHeldUser"
    slurm.ok("scontrol", "release", job_id)
    wait_until(lambda: slurm.field(job_id, "%T|%r|%Q") == "PENDING|BadConstraints|0", "it is seen")
    for options in (["-b", "now+1hour"], ["-d", "singleton"]):
        result = slurm.run("sbatch", "-N1", "-n5", *options, "--wrap", "true")
        assert (result.returncode, result.stderr) == (
            1,
            f"{REFUSED}Requested node configuration is not available\n",
        )


def test_any_of_several_partitions_will_do(slurm: Slurm) -> None:
    slurm.wait_idle("node08")
    first = slurm.submit("true", "-H", "-p", "main,alt")
    assert slurm.field(first, "%P") == slurm.show(first)["Partition"] == "main,alt"
    for name in ("main", "alt"):
        assert slurm.ok("squeue", "-h", "-j", first, "-p", name, "-o", "%i") == f"{first}\n"
    slurm.ok("scancel", "-p", "alt", "-u", "root")
    assert slurm.state(first) == "PENDING"
    slurm.ok("scontrol", "release", first)
    slurm.wait_state(first, "COMPLETED")
    assert slurm.field(first, "%P") == "main"
    other, shown = slurm.finish("echo $SLURM_JOB_PARTITION", "-p", "main,alt", "-w", "node08")
    assert shown["Partition"] == "alt"
    assert (slurm.folder / f"slurm-{other}.out").read_text() == "alt\n"
    result = slurm.run("sbatch", "-p", "main,nosuch", "--wrap", "true")
    assert result.stderr.startswith("sbatch: error: invalid partition specified: nosuch\n")
    result = slurm.run("sbatch", "-p", "main,alt", "-w", "node01,node08", "--wrap", "true")
    assert (result.returncode, result.stderr) == (
        1,
        f"{REFUSED}Requested node configuration is not available\n",
    )


def test_nodes_that_are_left_out(slurm: Slurm) -> None:
    for options, text in (
        (["-x", "node[01-06]"], "Requested node configuration is not available"),
        (["-w", "node01", "-x", "node01", "-H"], "Invalid node name specified"),
    ):
        result = slurm.run("sbatch", *options, "--wrap", "true")
        assert (result.returncode, result.stderr) == (1, f"{REFUSED}{text}\n")


@pytest.mark.parametrize(
    ("options", "form", "value"),
    [
        (["--requeue", "--no-requeue"], "requeue", "0"),
        (["--no-requeue", "--requeue"], "requeue", "1"),
        (["-s", "--exclusive"], "oversubscribe", "NO"),
        (["--exclusive", "-s"], "oversubscribe", "YES"),
        (["-N", "1", "-N", "2"], "numnodes", "2"),
        (["-N", "1K"], "numnodes", "1024"),
        (["--nice=x"], "nice", "0"),
        (["--nice"], "nice", "100"),
        (["-t", "1-"], "timelimit", "1-00:00:00"),
        (["-t", "-1"], "timelimit", "UNLIMITED"),
    ],
)
def test_the_last_of_several_options_and_odd_values(
    slurm: Slurm, options: list[str], form: str, value: str
) -> None:
    job_id = slurm.submit("true", "-H", *options)
    assert slurm.ok("squeue", "-h", "-j", job_id, "-O", f"{form}:|") == f"{value}|\n"


# -- heterogeneous jobs --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("script", "part"),
    [
        ("#SBATCH -n1 : -n2", " : -n2"),
        ("#SBATCH --comment=a:b :x", " :x"),
        ("#SBATCH : -n1", ": -n1"),
    ],
)
def test_a_colon_among_directives(slurm: Slurm, script: str, part: str) -> None:
    (slurm.folder / "t.sh").write_text(f"#!/bin/bash\n{script}\ntrue\n")
    result = slurm.run("sbatch", "t.sh")
    assert (result.returncode, result.stderr) == (
        1,
        f"sbatch: fatal: t.sh: line 2: Unexpected `:` in [{part}]\n",
    )


def test_words_that_only_look_like_parts_of_heterogeneous_jobs(slurm: Slurm) -> None:
    (slurm.folder / "t.sh").write_text(
        '#!/bin/bash\n#SBATCH -H -J xhetjob --comment="a : b"\ntrue\n#SBATCH hetjob\n'
    )
    job_id = slurm.ok("sbatch", "--parsable", "t.sh", ":", "hetjob").strip()
    assert slurm.field(job_id, "%j|%k") == "xhetjob|a : b"


# -- options that are changed or ignored ---------------------------------------------------------


def test_cores_are_not_set_aside(slurm: Slurm) -> None:
    for options, shown in (
        (["--core-spec", "1"], "-S"),
        (["-S", "0"], "-S"),
        (["--thread-spec=1"], "--thread-spec"),
    ):
        result = slurm.run("sbatch", "--parsable", "-H", *options, "--wrap", "true")
        assert (result.returncode, result.stderr) == (
            0,
            f"sbatch: error: Ignoring {shown} {IGNORED}",
        )
        job_id = result.stdout.strip()
        assert (slurm.field(job_id, "%X"), slurm.show(job_id)["CoreSpec"]) == ("N/A", "*")
    result = slurm.run("srun", "--core-spec", "1", "true")
    assert (result.returncode, result.stderr) == (0, f"srun: error: Ignoring -S {IGNORED}")


@pytest.mark.parametrize(
    ("options", "least", "most", "named"),
    [
        (["-N2", "-n1"], 2, 1, ""),
        (["-N2-3", "-n1"], 2, 1, ""),
        (["-N4", "-n2"], 4, 2, ""),
        (["-w", "node01,node02", "-n1"], 2, 1, "node01"),
    ],
)
def test_more_nodes_than_tasks(
    slurm: Slurm, options: list[str], least: int, most: int, named: str
) -> None:
    result = slurm.run("sbatch", "--parsable", "-H", *options, "--wrap", "true")
    assert (result.returncode, result.stderr) == (
        0,
        f"sbatch: Warning: can't run {most} processes on {least} nodes, setting nnodes to {most}\n",
    )
    assert slurm.field(result.stdout.strip(), "%D|%n") == f"{most}|{named}"


@pytest.mark.parametrize(
    ("options", "form", "value"),
    [
        (["--mem", "100"], "%m|%c", "100M|1"),
        (["-n2", "-c2"], "%m|%c|%C", "0|2|4"),
        (["-N2", "--ntasks-per-node=2"], "%c", "2"),
        (["-t", "0"], "%l|%e", "UNLIMITED|N/A"),
        (["-t", "UNLIMITED"], "%l|%r", "UNLIMITED|JobHeldUser"),
        (["--nice=3"], "%y", "3"),
        (["-w", "node[01-02]", "-x", "node03,node04"], "%n|%x", "node[01-02]|node[03-04]"),
        (["--exclusive=exclusive"], "%h", "NO"),
        (["-s"], "%h", "YES"),
    ],
)
def test_what_options_show(slurm: Slurm, options: list[str], form: str, value: str) -> None:
    assert slurm.field(slurm.submit("true", "-H", *options), form) == value


def test_more_names_of_columns(slurm: Slurm) -> None:
    job_id = slurm.submit("true", "-H", "--mem", "100", "-n2", "-c2", "-x", "node02")
    names = (
        "cluster",
        "contiguous",
        "cores",
        "groupid",
        "licenses",
        "maxcpus",
        "maxnodes",
        "mincpus",
        "minmemory",
        "mintmpdisk",
        "sct",
        "shared",
        "sockets",
        "threads",
        "tres",
        "tres-alloc",
    )
    form = ",".join(f"{name}:|" for name in names)
    text = slurm.ok("squeue", "-j", job_id, "-O", form)
    tres = "cpu=4,mem=100M,node=1,billing=4"
    assert text == (
        "CLUSTER|CONTIGUOUS|CORES_PER_SOCKET|GROUP|LICENSES|MAX_CPUS|MAX_NODES|MIN_CPUS|MIN_MEMORY"
        "|MIN_TMP_DISK|S:C:T|OVER_SUBSCRIBE|SOCKETS_PER_NODE|THREADS_PER_CORE|TRES_ALLOC|"
        "TRES_ALLOC|\n"
        f"t|0|*|0|(null)|4|1|2|100M|0|*:*:*|OK|*|*|{tres}|{tres}|\n"
    )


def test_the_tasks_that_there_is_room_for(slurm: Slurm) -> None:
    slurm.wait_idle("node07", "node08")
    job_id, _ = slurm.finish(
        "echo $SLURM_TASKS_PER_NODE/$SLURM_NTASKS; srun echo x",
        "-p",
        "secret",
        "--exclusive",
        "-N2",
    )
    assert (slurm.folder / f"slurm-{job_id}.out").read_text() == "4(x2)/\nx\nx\n"


@pytest.mark.parametrize(
    ("options", "code", "text"),
    [
        (["--exclusive=bad"], 255, "sbatch: error: Invalid --exclusive specification\n"),
        (["--open-mode=x"], 255, "sbatch: error: Invalid --open-mode specification\n"),
        (["--gres=gpu:1"], 1, "sbatch: error: Invalid generic resource (gres) specification\n"),
        (["--gpus=1"], 1, "sbatch: error: Invalid generic resource (gres) specification\n"),
        (
            ["-n2", "--gpus-per-task=1"],
            1,
            "sbatch: error: Invalid generic resource (gres) specification\n",
        ),
    ],
)
def test_more_that_is_refused(slurm: Slurm, options: list[str], code: int, text: str) -> None:
    result = slurm.run("sbatch", *options, "--wrap", "true")
    assert (result.returncode, result.stderr) == (code, text)


# -- variables -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("variable", "form", "value"),
    [
        ("SBATCH_MEM_PER_NODE=100", "%m", "100M"),
        ("SBATCH_EXCLUSIVE=", "%h", "NO"),
        ("SBATCH_WCKEY=w", "%w", "w"),
        ("SBATCH_ARRAY_INX=2-3", "%K", "2-3"),
        ("SBATCH_NTASKS=3", "%C", "1"),
        ("SBATCH_NODELIST=node02", "%n", ""),
        ("SBATCH_DEPENDENCY=singleton", "%E", "(null)"),
        ("SBATCH_BEGIN=now+1hour", "%S", "N/A"),
        ("SBATCH_MEM=100", "%m", "0"),
        ("SBATCH_TEST_ONLY=1", "%T", "PENDING"),
    ],
)
def test_which_variables_count(slurm: Slurm, variable: str, form: str, value: str) -> None:
    name, given = variable.split("=")
    job_id = slurm.submit("true", "-H", env={name: given})
    assert slurm.field(job_id, form) == value


@pytest.mark.parametrize(
    ("variable", "code", "text"),
    [
        ("SBATCH_TIMELIMIT=x", 255, "sbatch: error: Invalid --time specification\n"),
        ("SBATCH_EXCLUSIVE=bad", 255, "sbatch: error: Invalid --exclusive specification\n"),
        ("SBATCH_RESERVATION=nosuch", 1, REFUSED + "Requested reservation is invalid\n"),
        (
            "SLURM_CLUSTERS=x",
            1,
            "sbatch: error: Problem talking to database\n"
            "sbatch: error: 'x' can't be reached now, or it is an invalid entry for --cluster.  Use "
            "'sacctmgr list clusters' to see available clusters.\n",
        ),
    ],
)
def test_variables_that_are_refused(slurm: Slurm, variable: str, code: int, text: str) -> None:
    name, given = variable.split("=")
    result = slurm.run("sbatch", "--wrap", "true", env={name: given})
    assert (result.returncode, result.stderr) == (code, text)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("2035-01-02", "2035-01-02T00:00:00"),
        ("01/02/35", "2035-01-02T00:00:00"),
        ("2035-01-02T03:04", "2035-01-02T03:04:00"),
        ("midnight", r".*T00:00:00"),
        ("tomorrow", r".*T00:00:00"),
        ("noon", r".*T12:00:00"),
        ("now+90", r"20.*"),
    ],
)
def test_forms_of_begin_times(slurm: Slurm, text: str, shown: str) -> None:
    job_id = slurm.submit("true", "-b", text)
    assert re.fullmatch(shown, slurm.field(job_id, "%S"))
    slurm.ok("scancel", job_id)


def test_a_begin_time_that_is_not_one(slurm: Slurm) -> None:
    result = slurm.run("sbatch", "-b", "x", "--wrap", "true")
    assert (result.returncode, result.stderr) == (
        255,
        "Invalid time specification (pos=0): x\nsbatch: error: Invalid --begin specification\n",
    )


# -- names of files ------------------------------------------------------------------------------


def test_percent_signs_of_file_names(slurm: Slurm) -> None:
    job_id, shown = slurm.finish("true", "-o", "%%N-%%j-%j.txt")
    assert (slurm.folder / f"%N-%j-{job_id}.txt").exists()
    # What is shown knows nothing of the doubled sign.
    assert shown["StdOut"] == f"{slurm.folder}/%%N-%{job_id}-{job_id}.txt"
    listed = slurm.ok("squeue", "-h", "-t", "all", "-j", job_id, "-O", "stdout:|")
    assert listed == f"{slurm.folder}/%%N-%%j-%j.txt|\n"
    waits = slurm.submit("true", "-H", "-J", "nm", "-o", "%x-%u-%J-%A-%a-%t-%5j.txt")
    assert slurm.show(waits)["StdOut"] == (
        f"{slurm.folder}/nm-root-%J-{waits}-4294967294-%t-%5j.txt"
    )


# -- reservations --------------------------------------------------------------------------------


def test_any_of_several_reservations_will_do(slurm: Slurm) -> None:
    slurm.wait_idle("node03", "node04", "node05")
    slurm.reserve("r1", ["node03"])
    slurm.reserve("r2", ["node04"])
    slurm.reserve("others", ["node05"], users="nobody")
    body = "echo $SLURM_JOB_RESERVATION; sleep 300"
    jobs = [slurm.submit(body, "--reservation=r1,r2", "--exclusive") for _ in range(2)]
    for job_id, node, name in zip(jobs, ("node03", "node04"), ("r1", "r2")):
        slurm.wait_state(job_id, "RUNNING")
        assert slurm.field(job_id, "%v|%N") == f"r1,r2|{node}"
        assert slurm.show(job_id)["Reservation"] == "r1,r2"
        output = slurm.folder / f"slurm-{job_id}.out"
        wait_until(
            lambda output=output, name=name: output.exists() and output.read_text() == f"{name}\n",
            name,
        )
    for names, options, text in (
        ("nosuch,r1", [], "Requested reservation is invalid"),
        ("r1,others", [], "Access denied to requested reservation"),
        ("r1,r2", ["-N2"], "Requested node configuration is not available"),
    ):
        result = slurm.run("sbatch", f"--reservation={names}", *options, "--wrap", "true")
        assert (result.returncode, result.stderr) == (1, f"{REFUSED}{text}\n")
    busy = slurm.run("scontrol", "delete", "reservationname=r2")
    assert busy.stderr.endswith("Requested reservation is in use\n")
    slurm.ok("scancel", *jobs)
    for job_id in jobs:
        slurm.wait_state(job_id, "CANCELLED")


def test_a_reservation_that_has_not_begun(slurm: Slurm) -> None:
    slurm.reserve("later", ["node02"], start="now+1hour")
    job_id = slurm.submit("true", "--reservation=later")
    wait_until(lambda: slurm.field(job_id, "%r") == "Reservation", "it waits for it")
    assert slurm.field(job_id, "%T|%S") == "PENDING|N/A"
    slurm.ok("scancel", job_id)


def test_reservations_of_nodes_with_jobs(slurm: Slurm) -> None:
    job_id = slurm.submit("sleep 300", "-w", "node01")
    slurm.wait_state(job_id, "RUNNING")
    create = [
        "scontrol",
        "create",
        "reservation",
        "reservationname=r",
        "nodes=node01",
        "duration=60",
        "users=root",
    ]
    for more in ([], ["flags=maint"]):
        result = slurm.run(*create, "starttime=now", *more)
        assert (result.returncode, result.stderr) == (
            1,
            "Error creating the reservation: Requested nodes are busy\n",
        )
        assert result.stdout.startswith("Note, unless nodes are directly requested a reservation ")
    slurm.ok(*create, "starttime=now", "flags=ignore_jobs")
    slurm.ok("scontrol", "update", "reservationname=r", "nodes=node02")
    for words, text in (
        ("reservationname=r nodes=nosuch", "Invalid node name specified"),
        ("reservationname=nosuch nodes=node02", "Requested reservation is invalid"),
    ):
        result = slurm.run("scontrol", "update", *words.split())
        assert (result.returncode, result.stderr) == (
            1,
            f"Error updating the reservation: {text}\nslurm_update error: {text}\n",
        )


# -- queries -------------------------------------------------------------------------------------


def test_squeue_knows_users_and_nodes(slurm: Slurm) -> None:
    job_id = slurm.submit("sleep 300", "-H")
    for names in ("nosuch", "99999"):
        result = slurm.run("squeue", "-h", "-o", "%i", "-u", names)
        assert (result.returncode, result.stdout, result.stderr) == (
            0,
            "",
            f"squeue: error: Invalid user: {names}\n\n",
        )
    some = slurm.run("squeue", "-h", "-o", "%i", "-u", "nosuch,root")
    assert (some.returncode, some.stderr) == (0, "squeue: error: Invalid user: nosuch\n\n")
    assert job_id in some.stdout.split()
    for names in ("nosuch", "node01,nosuch"):
        result = slurm.run("squeue", "-h", "-w", names)
        assert (result.returncode, result.stdout, result.stderr) == (
            1,
            "",
            "squeue: error: Invalid node name nosuch\n",
        )
    assert slurm.ok("squeue", "-h", "-w", "node[01-02]", "-j", job_id) == ""
    for option in ("-p", "-A", "-q", "-R", "-n"):
        assert slurm.ok("squeue", "-h", option, "nosuch") == ""


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["-o", "%T", "-O", "jobid:|"], "-O (--Format) is incompatible with -o (--format)"),
        (["-O", "jobid:|", "-o", "%T"], "-o (--format) is incompatible with -O (--Format)"),
    ],
)
def test_two_formats(slurm: Slurm, words: list[str], text: str) -> None:
    result = slurm.run("squeue", "-h", *words)
    assert (result.returncode, result.stderr) == (1, f"squeue: error: {text}\n")


def test_what_ends_the_text_of_a_job(slurm: Slurm) -> None:
    jobs = [slurm.submit("true", "-H") for _ in range(2)]
    assert slurm.ok("scontrol", "show", "job", jobs[0]).endswith("\n   Power=\n   \n\n")
    text = slurm.ok("scontrol", "show", "job")
    assert f"\n   Power=\n   \n\nJobId={jobs[1]} " in text


def test_the_configuration(slurm: Slurm) -> None:
    text = slurm.ok("scontrol", "show", "config")
    assert "\nMaxArraySize            = 1001\n" in text
    assert "\nGresTypes               = (null)\n" in text
    assert re.search(r"\n\nSlurmctld\(primary\) at \S+ is UP\n$", text)


def test_states_and_orders_of_sinfo(slurm: Slurm) -> None:
    slurm.wait_idle("node02")
    slurm.drain("node02")
    rows = slurm.ok("sinfo", "-h", "-t", "idle&drain", "-p", "main", "-o", "%N")
    assert rows == "node02\n"
    assert "node02 drained" in slurm.ok("sinfo", "-h", "-t", "idle", "-p", "main", "-o", "%N %T")
    names = [
        row.split()[0]
        for row in slurm.ok("sinfo", "-h", "-a", "-S", "P", "-o", "%R %D").splitlines()
    ]
    assert list(dict.fromkeys(names)) == ["alt", "main", "secret"]
    names = [
        row.split()[0]
        for row in slurm.ok("sinfo", "-h", "-a", "-S", "#P", "-o", "%R %D").splitlines()
    ]
    assert list(dict.fromkeys(names)) == ["main", "alt", "secret"]


# -- scancel -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["-u", "nosuch"], "scancel: error: Invalid user name: nosuch\n"),
        (["-u", "root,nobody"], "scancel: error: Invalid user name: root,nobody\n"),
        (
            ["-t", "nosuch"],
            "Invalid job state specified: nosuch\n"
            "Valid job states are PENDING, RUNNING, and SUSPENDED\n",
        ),
        (
            ["-t", "R,PD"],
            "Invalid job state specified: R,PD\n"
            "Valid job states are PENDING, RUNNING, and SUSPENDED\n",
        ),
        ([""], "scancel: error: Invalid job id \n"),
        (["0"], "scancel: error: Invalid job id 0\n"),
        (
            ["-t", "PD", "99999"],
            "scancel: error: Kill job error on job id 99999: Invalid job id specified\n",
        ),
    ],
)
def test_more_wrong_use_of_scancel(slurm: Slurm, words: list[str], text: str) -> None:
    job_id = slurm.submit("sleep 300", "-H")
    result = slurm.run("scancel", *words)
    assert (result.returncode, result.stderr) == (1, text)
    assert slurm.state(job_id) == "PENDING"


def test_filters_of_scancel(slurm: Slurm) -> None:
    here = slurm.submit("sleep 300", "-H", "-J", "aa")
    there = slurm.submit("sleep 300", "-H", "-J", "aa", "-p", "alt")
    other = slurm.submit("sleep 300", "-H", "-J", "bb", "-p", "alt")
    for words in (
        ["-p", "nosuch"],
        ["-p", "alt", "-n", "cc"],
        ["-n", "aa,bb"],
        ["-n", "aa", "-t", "RUNNING"],
        ["-R", "x", "-n", "aa"],
        ["-A", "x", "-n", "aa"],
        ["-n", "aa", "-u", "nobody"],
    ):
        slurm.ok("scancel", *words)
    assert {slurm.state(job_id) for job_id in (here, there, other)} == {"PENDING"}
    slurm.ok("scancel", "-p", "alt", "-n", "aa", "-u", "root", "-t", "pd")
    assert [slurm.state(job_id) for job_id in (here, there, other)] == [
        "PENDING",
        "CANCELLED",
        "PENDING",
    ]
    slurm.ok("scancel", f"{here},{other},99999")
    assert [slurm.state(job_id) for job_id in (here, other)] == ["CANCELLED"] * 2
