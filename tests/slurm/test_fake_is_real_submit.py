"""Submitting and cancelling: the fake Slurm takes, refuses and says what a real one does."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from clusters import OTHER_USER, Slurm, wait_until

pytestmark = pytest.mark.usefixtures("early")

REFUSED = "sbatch: error: Batch job submission failed: "


def sbatch(slurm: Slurm, text: str, *options: str, env: dict[str, str] | None = None) -> str:
    """Submit a script held; its id."""
    (slurm.folder / "t.sh").write_text(text)
    return slurm.ok("sbatch", "--parsable", "-H", *options, "t.sh", env=env).strip()


def refused(slurm: Slurm, text: str, *options: str) -> tuple[int, str]:
    (slurm.folder / "t.sh").write_bytes(text.encode())
    result = slurm.run("sbatch", *options, "t.sh")
    assert bool(result.stdout) == (result.returncode == 0)
    return result.returncode, result.stderr


def test_what_a_submission_prints(slurm: Slurm) -> None:
    (slurm.folder / "t.sh").write_text("#!/bin/sh\ntrue\n")
    result = slurm.run("sbatch", "t.sh")
    assert result.stdout.startswith("Submitted batch job ")
    assert result.stdout.split()[3].isdigit()
    assert slurm.ok("sbatch", "--parsable", "t.sh").strip().isdigit()
    assert slurm.ok("sbatch", "-Q", "t.sh") == ""
    assert slurm.run("sbatch", "--wait", "--wrap", "exit 4").returncode == 4


@pytest.mark.parametrize(
    ("options", "code", "text"),
    [
        (
            ["-p", "nosuch"],
            1,
            "sbatch: error: invalid partition specified: nosuch\n"
            + REFUSED
            + "Invalid partition name specified\n",
        ),
        (["-C", "nosuch"], 1, REFUSED + "Invalid feature specification\n"),
        (["--reservation", "nosuch"], 1, REFUSED + "Requested reservation is invalid\n"),
        (["-w", "nosuch"], 1, REFUSED + "Invalid node name specified\n"),
        (["-w", "node01,node02", "-N1"], 1, "sbatch: error: invalid number of nodes (-N 2-1)\n"),
        (["-t", "abc"], 255, "sbatch: error: Invalid --time specification\n"),
        (["-t", "1:2:3:4"], 255, "sbatch: error: Invalid --time specification\n"),
        (["-n", "0"], 1, 'sbatch: error: Invalid numeric value "0" for --ntasks.\n'),
        (["-N", "0"], 1, REFUSED + "Node count specification invalid\n"),
        (
            ["-N", "3-2"],
            255,
            "sbatch: error: Maximum node count 2 is less than minimum node count 3\n",
        ),
        (["-N", "x"], 255, 'sbatch: error: "x" is not a valid node count\n'),
        (
            ["--ntasks-per-node", "9"],
            1,
            "sbatch: error: CPU count per node can not be satisfied\n"
            + REFUSED
            + "Requested node configuration is not available\n",
        ),
        (
            ["-c", "5"],
            1,
            "sbatch: error: CPU count per node can not be satisfied\n"
            + REFUSED
            + "Requested node configuration is not available\n",
        ),
        (
            ["--mem", "5000"],
            1,
            "sbatch: error: Memory specification can not be satisfied\n"
            + REFUSED
            + "Requested node configuration is not available\n",
        ),
        (["--mem", "1x"], 255, "sbatch: error: Invalid --mem specification\n"),
        (["-N1", "-n", "5"], 1, REFUSED + "Requested node configuration is not available\n"),
        (
            ["-p", "alt", "-w", "node01"],
            1,
            REFUSED + "Requested node configuration is not available\n",
        ),
        (["-d", "foo"], 1, REFUSED + "Job dependency problem\n"),
        (
            ["--foo"],
            255,
            "sbatch: unrecognized option '--foo'\nTry \"sbatch --help\" for more information\n",
        ),
        (
            ["-J", "n" * 1025],
            1,
            REFUSED + "Pathname of a file, directory or other parameter too long\n",
        ),
        (
            ["--comment", "n" * 1025],
            1,
            REFUSED + "Pathname of a file, directory or other parameter too long\n",
        ),
    ],
    ids=lambda value: " ".join(value)[:30] if isinstance(value, list) else "",
)
def test_options_that_are_refused(slurm: Slurm, options: list[str], code: int, text: str) -> None:
    assert refused(slurm, "#!/bin/sh\ntrue\n", *options) == slurm.words.of(code, text)


def test_a_job_that_can_never_run_leaves_a_record(slurm: Slurm) -> None:
    slurm.run("sbatch", "-J", "never-ran", "-N1", "-n", "5", "--wrap", "true")
    rows = slurm.ok("squeue", "-h", "-t", "all", "-n", "never-ran", "-o", "%T|%r|%R|%N").split("\n")
    assert rows == ["FAILED|BadConstraints|(BadConstraints)|", ""]


@pytest.mark.parametrize(
    ("text", "code", "message"),
    [
        ("", 1, "sbatch: error: Batch script is empty!\n"),
        (
            "true\n",
            1,
            "sbatch: error: This does not look like a batch script.  The first\n"
            "sbatch: error: line must start with #! followed by the path to an interpreter.\n"
            "sbatch: error: For instance: #!/bin/sh\n",
        ),
        (
            "#!/bin/sh\r\ntrue\r\n",
            1,
            "sbatch: error: Batch script contains DOS line breaks (\\r\\n)\n"
            "sbatch: error: instead of expected UNIX line breaks (\\n).\n",
        ),
        (
            "#!/bin/sh\n#SBATCH --job-name a b\n#SBATCH -N 2\n",
            255,
            "sbatch: error: Invalid directive found in batch script: b\n",
        ),
        (
            "#!/bin/sh\n#SBATCHfoo\n",
            255,
            "sbatch: error: Invalid directive found in batch script: foo\n",
        ),
        (
            '#!/bin/sh\n#SBATCH --job-name "a\nb"\n',
            1,
            'sbatch: fatal: t.sh: line 2: Unmatched `"` in [ "a]\n',
        ),
        (
            "#!/bin/sh\n\n#SBATCH -J 'abc\n",
            1,
            "sbatch: fatal: t.sh: line 3: Unmatched `'` in [ 'abc]\n",
        ),
        (
            "#!/bin/sh\n#SBATCH --nosuch=3\n",
            255,
            "sbatch: unrecognized option '--nosuch=3'\n"
            'Try "sbatch --help" for more information\n',
        ),
        (
            "#!/bin/sh\n#" + "x" * (4 * 1024 * 1024),
            1,
            REFUSED + "Pathname of a file, directory or other parameter too long\n",
        ),
    ],
    ids=["empty", "no-shebang", "dos", "blank", "glued", "newline", "quote", "unknown", "large"],
)
def test_scripts_that_are_refused(slurm: Slurm, text: str, code: int, message: str) -> None:
    assert refused(slurm, text) == (code, message)


def test_a_backslash_before_a_blank(slurm: Slurm) -> None:
    """Whether it counts; in any case, there is a word too many."""
    assert refused(slurm, "#!/bin/sh\n#SBATCH -J a\\ b c\n") == (
        255,
        "sbatch: error: Invalid directive found in batch script: "
        f"{slurm.words['a word too many']}\n",
    )


def test_a_script_that_is_not_there(slurm: Slurm) -> None:
    result = slurm.run("sbatch", "nosuch")
    assert (result.returncode, result.stderr) == (1, "sbatch: error: Unable to open file nosuch\n")
    result = slurm.run("sbatch", "--wrap", "true", "nosuch")
    assert (result.returncode, result.stderr) == (
        1,
        "sbatch: error: Script arguments not permitted with --wrap option\n",
    )


def test_directives_count_before_the_first_command_only(slurm: Slurm) -> None:
    job_id = sbatch(
        slurm,
        "#!/bin/bash\n\n# a remark\n#SBATCH -t 7   # a remark\n"
        "  # another\n#SBATCH --comment='it is'\n  #SBATCH -N 3\n"
        "set -e\n#SBATCH -N 2\n",
    )
    assert slurm.field(job_id, "%l|%k|%D|%j") == "7:00|it is|1|t.sh"


@pytest.mark.parametrize(
    ("words", "name"),
    [
        (r"a\b", "ab"),
        (r"a\\b", r"a\b"),
        (r"a\"b", 'a"b'),
        (r'"a\"b"', 'a"b'),
        (r"'a\b'", "ab"),
        ('a"b c"d', "ab cd"),
        ("a#b", "a"),
        ('"#b" #c', "#b"),
        ('a""', "a"),
    ],
)
def test_quotes_and_backslashes_in_directives(slurm: Slurm, words: str, name: str) -> None:
    assert slurm.field(sbatch(slurm, f"#!/bin/sh\n#SBATCH -J {words}\ntrue\n"), "%j") == name


def test_hostile_text_is_stored_as_it_is(slurm: Slurm) -> None:
    name = "a ; $(touch x) `touch x` 'b' |%j& \\ c"
    quoted = name.replace("\\", "\\\\")
    job_id = sbatch(
        slurm,
        f'#!/bin/bash\n#SBATCH --job-name="{quoted}"\n#SBATCH --comment="a=b JobState=FAKE"\n',
    )
    assert slurm.field(job_id, "%j") == name
    assert " Comment=a=b JobState=FAKE " in slurm.ok("scontrol", "-o", "show", "job", job_id)
    assert not (slurm.folder / "x").exists()
    other = slurm.ok("sbatch", "-H", "--parsable", "-J", "a\nb", "t.sh").strip()
    assert slurm.field(other, "%j") == "a\nb"


@pytest.mark.parametrize(
    ("variable", "form", "value"),
    [
        ("SBATCH_TIMELIMIT=3", "%l", "3:00"),
        ("SBATCH_PARTITION=alt", "%P", "alt"),
        ("SBATCH_JOB_NAME=env", "%j", "env"),
        ("SBATCH_ACCOUNT=acc", "%a", "acc"),
        ("SBATCH_CONSTRAINT=odd", "%f", "odd"),
        ("SBATCH_NODES=2", "%D", "1"),
        ("SBATCH_COMMENT=c", "%k", "(null)"),
    ],
)
def test_the_environment_beats_the_script_and_the_command_line_both(
    slurm: Slurm, variable: str, form: str, value: str
) -> None:
    script = "#!/bin/bash\n#SBATCH -t 5 -p main -J script -C a\ntrue\n"
    name, given = variable.split("=")
    job_id = sbatch(slurm, script, env={name: given})
    assert slurm.field(job_id, form) == value
    typed = sbatch(
        slurm,
        script,
        "-t",
        "4",
        "-p",
        "main",
        "-J",
        "typed",
        "-A",
        "x",
        "-C",
        "a",
        env={name: given},
    )
    assert slurm.field(typed, "%l|%P|%j|%a|%f") == "4:00|main|typed|x|a"


def test_requeueing_is_the_default_and_can_be_refused(slurm: Slurm) -> None:
    script = "#!/bin/bash\ntrue\n"
    assert slurm.show(sbatch(slurm, script))["Requeue"] == "1"
    assert slurm.show(sbatch(slurm, script, "--no-requeue"))["Requeue"] == "0"
    assert slurm.show(sbatch(slurm, script, env={"SBATCH_NO_REQUEUE": "1"}))["Requeue"] == "0"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("90", "1:30:00"),
        ("0:30", "1:00"),
        ("1:0:0", "1:00:00"),
        ("2-3", "2-03:00:00"),
        ("1:30", "2:00"),
        ("UNLIMITED", "UNLIMITED"),
        ("1-2:3:4", "1-02:04:00"),
    ],
)
def test_forms_of_time_limits(slurm: Slurm, text: str, shown: str) -> None:
    job_id = sbatch(slurm, "#!/bin/bash\ntrue\n", "-p", "alt", "-t", text)
    assert slurm.field(job_id, "%l") == shown


def test_what_a_held_job_shows(slurm: Slurm) -> None:
    job_id = sbatch(slurm, "#!/bin/bash\ntrue\n", "-N2")
    assert slurm.field(job_id, "%T|%r|%R|%N|%S|%e|%M|%Q") == (
        "PENDING|JobHeldUser|(JobHeldUser)||N/A|N/A|0:00|0"
    )
    shown = slurm.show(job_id)
    assert (shown["NodeList"], shown["StartTime"], shown["Dependency"]) == ("", "Unknown", "(null)")
    assert shown["EligibleTime"] == "Unknown"


def test_the_environment_of_a_job(slurm: Slurm) -> None:
    """Umask, folder, variables and arguments of the submitter; the allocation's own variables."""
    script = slurm.folder / "env.sh"
    script.write_text('#!/bin/bash\numask; pwd; echo "$MINE|$*"; env | grep ^SLURM_ | sort\n')
    folder = slurm.folder / "a folder"
    folder.mkdir()
    before = os.umask(0o027)
    try:
        job_id = slurm.ok(
            "sbatch",
            "--parsable",
            "-N2",
            "--ntasks-per-node=2",
            "-o",
            "%x-%j.txt",
            "-J",
            "nm",
            str(script),
            "one",
            "two words",
            cwd=folder,
            env={"MINE": "a b"},
        ).strip()
    finally:
        os.umask(before)
    slurm.wait_state(job_id, "COMPLETED")
    output = folder / f"nm-{job_id}.txt"
    assert output.stat().st_mode & 0o777 == 0o640
    mask, place, mine, *variables = output.read_text().splitlines()
    assert (mask, place, mine) == ("0027", str(folder), "a b|one two words")
    values = dict(line.split("=", 1) for line in variables)
    nodes = slurm.field(job_id, "%N")
    assert {key: values[key] for key in EXPECTED} == {
        **EXPECTED,
        "SLURM_JOB_ID": job_id,
        "SLURM_JOBID": job_id,
        "SLURM_JOB_NODELIST": nodes,
        "SLURM_NODELIST": nodes,
        "SLURM_SUBMIT_DIR": str(folder),
    }
    assert values["SLURMD_NODENAME" if "SLURMD_NODENAME" in values else "SLURM_NODEID"] == "0"


EXPECTED = {
    "SLURM_JOB_ID": "",
    "SLURM_JOBID": "",
    "SLURM_JOB_NAME": "nm",
    "SLURM_JOB_NODELIST": "",
    "SLURM_NODELIST": "",
    "SLURM_NNODES": "2",
    "SLURM_JOB_NUM_NODES": "2",
    "SLURM_NTASKS": "4",
    "SLURM_NPROCS": "4",
    "SLURM_NTASKS_PER_NODE": "2",
    "SLURM_TASKS_PER_NODE": "2(x2)",
    "SLURM_JOB_CPUS_PER_NODE": "2(x2)",
    "SLURM_CPUS_ON_NODE": "2",
    "SLURM_JOB_PARTITION": "main",
    "SLURM_SUBMIT_DIR": "",
    "SLURM_CLUSTER_NAME": "t",
    "SLURM_JOB_USER": "root",
    "SLURM_NODEID": "0",
    "SLURM_PROCID": "0",
    "SLURM_LOCALID": "0",
}


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("%j-%%.txt", "{id}-%.txt"),
        ("%5j.txt", "{id:0>5}.txt"),
        ("a\\\\%j.txt", None),
        ("%x.%u.txt", "nm.root.txt"),
        ("b c.txt", "b c.txt"),
    ],
)
def test_names_of_output_files(slurm: Slurm, name: str, file: str | None) -> None:
    job_id, shown = slurm.finish("echo hello", "-J", "nm", f"--output={slurm.folder}/{name}")
    assert shown["JobState"] == "COMPLETED"
    path = slurm.folder / (file or slurm.words["log with backslashes"]).format(id=job_id)
    assert path.read_text() == "hello\n"


def test_steps(slurm: Slurm) -> None:
    body = """#SBATCH -N2 -n4
srun bash -c 'echo $SLURM_PROCID/$SLURM_NODEID/$SLURM_LOCALID/$SLURM_NTASKS/$SLURM_NNODES' | sort
srun -l -n2 -N2 echo x | sort
srun -n 20 true; echo rc $?
srun -w node08 true; echo rc $?
srun -N 3 true; echo rc $?
srun -N2 -n2 bash -c 'exit $((SLURM_PROCID + 6))'; echo rc $?
srun -n1 -N1 bash -c 'kill -9 $$'; echo rc $?
srun; echo rc $?
srun --foo true; echo rc $?
"""
    job_id, shown = slurm.finish(body)
    assert shown["JobState"] == "COMPLETED"
    lines = (slurm.folder / f"slurm-{job_id}.out").read_text().splitlines()
    assert [line for line in lines if not line.startswith(("srun: ", "Try"))] == [
        "0/0/0/4/2",
        "1/0/1/4/2",
        "2/0/2/4/2",
        "3/1/0/4/2",
        "0: x",
        "1: x",
        "rc 1",
        "rc 1",
        "rc 1",
        "rc 7",
        "rc 137",
        "rc 1",
        "rc 255",
    ]
    for text in (
        f"srun: error: Unable to create step for job {job_id}: More processors "
        "requested than permitted",
        f"srun: error: Unable to create step for job {job_id}: Requested node "
        "configuration is not available",
        "srun: error: Only allocated 2 nodes asked for 3",
        "srun: fatal: No command given to execute.",
        "srun: unrecognized option '--foo'",
    ):
        assert text in lines


def test_srun_outside_of_an_allocation(slurm: Slurm) -> None:
    result = slurm.run("srun", "-N2", "bash", "-c", "echo $SLURM_NNODES; exit 3")
    assert (result.returncode, result.stdout) == (3, "2\n2\n")
    result = slurm.run("srun", "-p", "nosuch", "true")
    assert (result.returncode, result.stderr) == (
        1,
        "srun: error: invalid partition specified: nosuch\n"
        "srun: error: Unable to allocate resources: Invalid partition name specified\n",
    )
    result = slurm.run("srun", "true", env={"SLURM_JOB_ID": "99999"})
    assert (result.returncode, result.stderr) == (
        1,
        "srun: error: Unable to confirm allocation for job 99999: Invalid job id specified\n"
        "srun: Check SLURM_JOB_ID environment variable. Expired or invalid job 99999\n",
    )


# -- scancel -------------------------------------------------------------------------------------


def test_cancelling_what_is_unknown_or_over_is_silent(slurm: Slurm) -> None:
    job_id, _ = slurm.finish("true")
    for words in (["99999"], [job_id], [job_id, "99999"], ["-n", "nosuch"]):
        result = slurm.run("scancel", *words)
        assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
    result = slurm.run("scancel", "-v", job_id)
    assert result.stderr == (
        f"scancel: Terminating job {job_id}\nscancel: error: Kill job error "
        f"on job id {job_id}: Job/step already completing or completed\n"
    )


def test_wrong_use_of_scancel(slurm: Slurm) -> None:
    assert slurm.run("scancel").stderr == "scancel: error: No job identification provided\n"
    result = slurm.run("scancel", "abc")
    assert (result.returncode, result.stderr) == (1, "scancel: error: Invalid job id abc\n")


def test_another_users_job(slurm: Slurm) -> None:
    job_id = slurm.submit("sleep 300")
    result = slurm.run("scancel", job_id, user=OTHER_USER)
    assert (result.returncode, result.stderr) == (
        210,
        f"scancel: error: Kill job error on job id {job_id}: Access/permission denied\n",
    )
    assert slurm.run("scontrol", "requeue", job_id, user=OTHER_USER).stderr == (
        f"Access/permission denied for job {job_id}\n"
    )
    result = slurm.run("scontrol", "update", f"jobid={job_id}", "comment=x", user=OTHER_USER)
    assert result.returncode == 1
    assert slurm.state(job_id) in ("PENDING", "RUNNING")


def test_several_ids_in_one_call(slurm: Slurm) -> None:
    jobs = [slurm.submit("sleep 300") for _ in range(3)]
    slurm.ok("scancel", *jobs, "99999")
    assert {slurm.wait_state(job_id, "CANCELLED") for job_id in jobs} == {"CANCELLED"}


def test_only_what_has_not_started_is_cancelled_if_asked_for(slurm: Slurm) -> None:
    running = slurm.submit("sleep 300")
    slurm.wait_state(running, "RUNNING")
    waiting = slurm.submit("sleep 300", "-H")
    slurm.ok("scancel", "-t", "PENDING", running, waiting)
    assert slurm.wait_state(waiting, "CANCELLED") == "CANCELLED"
    assert slurm.state(running) == "RUNNING"
    assert slurm.show(waiting)["ExitCode"] == "0:0"


def test_a_cancelled_job_completes_for_a_while(slurm: Slurm) -> None:
    """SIGTERM goes to all processes; what does not heed it is killed after KillWait."""
    with slurm.setting("kill_wait", 120):
        job_id = slurm.start(
            "trap 'echo got it' TERM\nsleep 300\necho after $?\n"
            "until test -e go; do sleep 0.1; done"
        )
        slurm.ok("scancel", job_id)
        slurm.wait_state(job_id, "COMPLETING")
        assert slurm.field(job_id, "%t") == "CG"
        (slurm.folder / "go").touch()
        slurm.wait_state(job_id, "CANCELLED")
    output = slurm.folder / f"slurm-{job_id}.out"
    assert slurm.show(job_id)["ExitCode"] == "0:0"  # the script went on to its own good end
    text = output.read_text()
    assert f"*** JOB {job_id} ON " in text
    assert "got it\nafter 143\n" in text
    plain = slurm.start("sleep 300")
    slurm.ok("scancel", plain)
    slurm.wait_state(plain, "CANCELLED")
    # Mostly 0:15; a busy machine may need the SIGKILL that follows.
    assert slurm.show(plain)["ExitCode"] in slurm.words["end of a cancelled job"]


def test_no_script_is_left_behind(slurm: Slurm) -> None:
    """A child that runs on behind the script's end is ended with it."""
    job_id, _ = slurm.finish("sleep 300 &\necho $! > child\nexit 0")
    assert slurm.state(job_id) == "COMPLETED"
    child = int((slurm.folder / "child").read_text())
    wait_until(lambda: not Path(f"/proc/{child}").exists(), "the child has ended")
