"""Queries: the fake Slurm answers as a real one. A difference is a bug of the fake."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor

import pytest
from clusters import OTHER_USER, Slurm, wait_until

pytestmark = pytest.mark.usefixtures("early")


def keys(text: str) -> list[str]:
    return re.findall(r"(?:^|\s)([A-Za-z][\w/:]*?)=", text)


def test_the_fields_of_a_job_in_their_order(slurm: Slurm) -> None:
    job_id = slurm.submit("sleep 300")
    slurm.wait_state(job_id, "RUNNING")
    for options in ([], ["-o"]):
        text = slurm.ok("scontrol", *options, "show", "job", job_id)
        assert keys(text) == slurm.words["keys of a job"].split()
    one_line = slurm.ok("scontrol", "-o", "show", "job", job_id)
    assert one_line.count("\n") == 1 and one_line.endswith("\n")


def test_the_fields_of_a_node_in_their_order(slurm: Slurm) -> None:
    text = slurm.ok("scontrol", "-o", "show", "node", "node01")
    assert keys(text) == slurm.words["keys of a node"].split()
    # The operating system holds blanks, and a blank is left behind some of the fields.
    assert re.search(r" OS=Linux \S+ #1 SMP .*  RealMemory=2000 ", text)
    assert re.search(r" Partitions=main  BootTime=", text)
    assert len(slurm.ok("scontrol", "-o", "show", "node").splitlines()) == 8


def test_words_and_columns_of_a_running_job(slurm: Slurm) -> None:
    job_id = slurm.submit(
        "sleep 300",
        "-J",
        "a name",
        "--comment",
        "c|d",
        "-t",
        "5",
        "-N2",
        "-C",
        "a",
        "-A",
        "acc",
        "-q",
        "qq",
    )
    slurm.wait_state(job_id, "RUNNING")
    form = "%i|%A|%F|%K|%P|%T|%t|%r|%R|%N|%D|%C|%l|%u|%h|%j|%a|%q|%f|%k|%B|%X|%y|%z|%o|%Z"
    nodes = slurm.field(job_id, "%N")
    assert re.fullmatch(r"node\[\d\d(-|,)\d\d\]", nodes)
    first = re.sub(r"\[(\d\d).*", r"\1", nodes)
    assert slurm.field(job_id, form) == (
        f"{job_id}|{job_id}|{job_id}|N/A|main|RUNNING|R|None|{nodes}|{nodes}|2|2|5:00|root|"
        f"{slurm.words['oversubscribe']}|"
        f"a name|acc|(null)|a|c|d|{first}|N/A|0|*:*:*|{slurm.folder}/job.sh|{slurm.folder}"
    )
    assert slurm.field(job_id, "%.5i|%8T|%.3T|%4j") == f"{job_id:>5}|RUNNING |RUN|a na"
    shown = slurm.show(job_id)
    assert shown["NumNodes"] == shown["NumCPUs"] == shown["NumTasks"] == "2"
    assert shown[slurm.words["key of what a job has"]] == "cpu=2,node=2,billing=2"


def test_named_columns_are_padded_and_cut_unless_a_width_or_end_is_given(slurm: Slurm) -> None:
    job_id = slurm.submit("sleep 300", "-J", "n" * 30, "--comment", "c")
    slurm.wait_state(job_id, "RUNNING")
    base = ["squeue", "-h", "-j", job_id, "-O"]
    assert slurm.ok(*base, "jobid,name") == f"{job_id:<20}{'n' * 20}\n"
    assert slurm.ok(*base, "name:35,comment:3") == f"{'n' * 30}     c  \n"
    assert slurm.ok(*base, "JobID:|,Name:\x1f,StateCompact:|,Comment:4|") == (
        f"{job_id}|{'n' * 30}\x1fR|c   |\n"
    )
    fields = "HetJobID:|,NTPerNode:|,CoreSpec:|,RestartCnt:|,NumTasks:|,ReqNodes:|,Feature:|"
    code = slurm.words["exit code of squeue"](0, 0)
    assert slurm.ok(*base, fields + ",exit_code:|") == f"N/A|0|N/A|0|1||(null)|{code}|\n"
    header = slurm.ok(
        "squeue",
        "-O",
        "jobid:|,statecompact:|,reasonlist:|,numnodes:|,exit_code:|,"
        "hetjobid:|,ntpernode:|,restartcnt:|,timelimit:|,corespec:|,reqnodes:|,"
        "feature:|,numtasks:|,arrayjobid:|",
    ).splitlines()[0]
    assert header == (
        "JOBID|ST|NODELIST(REASON)|NODES|EXIT_CODE|HET_JOB_ID|NTASKS_PER_NODE|"
        "RESTART_COUNT|TIME_LIMIT|CORE_SPEC|REQ_NODES|FEATURES|TASKS|ARRAY_JOB_ID|"
    )


def test_only_jobs_that_are_not_over_are_listed_unless_all_are_asked_for(slurm: Slurm) -> None:
    job_id, _ = slurm.finish("true")
    assert job_id not in slurm.ok("squeue", "-h", "-o", "%i").split()
    assert job_id in slurm.ok("squeue", "-h", "-t", "all", "-o", "%i")
    assert slurm.ok("squeue", "-h", "-t", "CD", "-j", job_id, "-o", "%i %t") == f"{job_id} CD\n"
    assert slurm.ok("squeue", "-h", "-t", "running,PD", "-j", job_id, "-o", "%i") == ""


def test_names_match_exactly_and_lists_mean_any(slurm: Slurm) -> None:
    first = slurm.submit("sleep 300", "-J", "token-1")
    slurm.submit("sleep 300", "-J", "token-12")
    query = ["squeue", "--me", "-h", "-o", "%i"]
    assert slurm.ok(*query, "-n", "token-1") == f"{first}\n"
    assert slurm.ok(*query, "--name", "nothing,token-1") == f"{first}\n"
    assert slurm.ok(*query, "-n", "token") == ""


def test_unknown_jobs(slurm: Slurm) -> None:
    for words in (["squeue", "-j", "99999"], ["scontrol", "show", "job", "99999"]):
        result = slurm.run(*words)
        assert result.returncode == 1
        assert result.stderr == "slurm_load_jobs error: Invalid job id specified\n"
    several = slurm.run("squeue", "-h", "-j", "99999,99998")
    assert (several.returncode, several.stdout, several.stderr) == (0, "", "")
    ids = slurm.run("scontrol", "show", "job", "5,6")
    assert ids.returncode == 1
    assert ids.stderr == "scontrol_print_job error: Invalid job id specified\n"


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        (["squeue", "-j", "abc"], 1, "squeue: error: Invalid job id: abc\n"),
        (
            ["squeue", "--foo"],
            1,
            "squeue: unrecognized option '--foo'\nTry \"squeue --help\" for more information\n",
        ),
        (
            ["squeue", "-n"],
            1,
            "squeue: option requires an argument -- 'n'\n"
            'Try "squeue --help" for more information\n',
        ),
        (
            ["squeue", "--me=x"],
            1,
            "squeue: option '--me' doesn't allow an argument\n"
            'Try "squeue --help" for more information\n',
        ),
        (
            ["sinfo", "--foo"],
            1,
            "sinfo: unrecognized option '--foo'\nTry \"sinfo --help\" for more information\n",
        ),
        (
            ["scontrol", "--json", "show", "job"],
            1,
            "scontrol: unrecognized option '--json'\n"
            'Try "scontrol --help" for more information\n',
        ),
        (["scontrol", "foo"], 1, "invalid keyword: foo\n"),
        (["scontrol", "show", "foo"], 1, "invalid entity:foo for keyword:show \n"),
        (["sacct"], 1, "Slurm accounting storage is disabled\n"),
        (
            ["scontrol", "update", "foo"],
            1,
            "No valid entity in update command\n"
            'Input line must include "NodeName", "PartitionName", "Reservation", "JobId", or '
            '"SlurmctldDebug"\n',
        ),
    ],
)
def test_wrong_calls(slurm: Slurm, words: list[str], code: int, text: str) -> None:
    result = slurm.run(*words)
    assert (result.returncode, result.stderr) == slurm.words.of(code, text)


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["node", "nosuch"], "Node nosuch not found\n"),
        (["partition", "nosuch"], "Partition nosuch not found\n"),
        (["reservation", "nosuch"], "Reservation nosuch not found\n"),
    ],
)
def test_what_is_not_there(slurm: Slurm, words: list[str], text: str) -> None:
    result = slurm.run("scontrol", "show", *words)
    assert (result.returncode, result.stdout + result.stderr) == (1, text)


def test_an_empty_list_of_reservations(slurm: Slurm) -> None:
    assert slurm.ok("scontrol", "show", "reservation") == "No reservations in the system\n"


@pytest.mark.parametrize(
    "variable",
    [
        "SQUEUE_STATES=CD",
        "SQUEUE_USERS=daemon",
        "SQUEUE_PARTITION=alt",
        "SQUEUE_NAMES=x",
        "SQUEUE_ACCOUNT=a",
        "SQUEUE_QOS=a",
    ],
)
def test_variables_make_a_live_job_vanish(slurm: Slurm, variable: str) -> None:
    job_id = slurm.submit("sleep 300")
    name, value = variable.split("=")
    words = ["squeue", "-h", "-j", job_id, "-o", "%i"]
    assert slurm.ok(*words) == f"{job_id}\n"
    hidden = slurm.run(*words, env={name: value})
    assert (hidden.returncode, hidden.stdout, hidden.stderr) == (0, "", "")


def test_variables_change_forms(slurm: Slurm) -> None:
    job_id = slurm.submit("sleep 300")
    slurm.wait_state(job_id, "RUNNING")
    words = ["squeue", "-h", "-j", job_id]
    assert slurm.ok(*words, env={"SQUEUE_FORMAT": "%i %t"}) == f"{job_id} R\n"
    assert slurm.ok(*words, env={"SQUEUE_FORMAT2": "jobid:|"}) == f"{job_id}|\n"
    assert slurm.ok(*words, "-o", "%t", env={"SQUEUE_FORMAT": "%i"}) == "R\n"
    start = ["scontrol", "-o", "show", "job", job_id]
    for form, pattern in (
        ("standard", r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d"),
        ("relative", r"\d\d:\d\d:\d\d"),
        ("%s", r"\d{10}"),
    ):
        text = slurm.ok(*start, env={"SLURM_TIME_FORMAT": form})
        assert re.search(rf" StartTime={pattern} ", text), form
    assert slurm.ok("sinfo", "-h", env={"SINFO_FORMAT": "%N"}) == "node[01-08]\n"
    shown = slurm.ok("sinfo", "-h", "-o", "%R", env={"SINFO_PARTITION": "alt"})
    assert shown == "alt\n"


def test_jobs_in_hidden_partitions(slurm: Slurm) -> None:
    job_id = slurm.submit("sleep 300", "-p", "secret")
    slurm.wait_state(job_id, "RUNNING")

    def listed(*options: str) -> bool:
        return job_id in slurm.ok("squeue", "-h", "-o", "%i", *options, user=OTHER_USER)

    assert not listed()
    assert listed("-a")
    assert listed("-j", job_id)

    def partitions(*options: str) -> str:
        text = slurm.ok("scontrol", *options, "-o", "show", "node", "node08", user=OTHER_USER)
        return re.findall(r" Partitions=(\S+)", text)[0]

    assert partitions() == "alt"
    assert partitions("-a") == "alt,secret"
    assert "secret" not in slurm.ok("sinfo", user=OTHER_USER)
    assert "secret" in slurm.ok("sinfo", "-a", user=OTHER_USER)
    # An administrator sees them without asking.
    assert "secret" in slurm.ok("sinfo")


def test_one_query_for_all_jobs_is_one_call_to_the_controller(slurm: Slurm) -> None:
    job_ids = [slurm.submit("sleep 300", "-H") for _ in range(3)]

    def counts() -> dict[str, int]:
        text = slurm.ok("sdiag")
        return {
            name: int(number)
            for name, number in re.findall(
                r"^\t(REQUEST_\w+) +\( *\d+\) count:(\d+) ", text, re.MULTILINE
            )
        }

    def made(words: list[str]) -> dict[str, int]:
        before = counts()
        slurm.ok(*words)
        after = counts()
        return {
            name: after[name] - before.get(name, 0)
            for name in after
            if name.startswith("REQUEST_JOB_INFO") and after[name] != before.get(name, 0)
        }

    for job_id in job_ids:
        assert made(["scontrol", "show", "job", job_id]) == {"REQUEST_JOB_INFO_SINGLE": 1}
    assert made(["squeue"]) == {"REQUEST_JOB_INFO": 1}
    assert made(["scontrol", "-o", "show", "job"]) == {"REQUEST_JOB_INFO": 1}
    slurm.ok("sdiag", "-r")
    assert counts().get("REQUEST_JOB_INFO", 0) == 0
    denied = slurm.run("sdiag", "-r", user=OTHER_USER)
    assert (denied.returncode, denied.stderr) == (
        255,
        "slurm_reset_statistics: Access/permission denied\n",
    )


HOSTNAMES = [
    ("node[01-03]", "node01\nnode02\nnode03\n"),
    ("x[1-2]c[0-1]", "x1c0\nx1c1\nx2c0\nx2c1\n"),
    ("n[1-3", "n]\n"),
    ("(null)", "(null)\n"),
    ("a,b[2,04-05]", "a\nb2\nb04\nb05\n"),
    ("login", "login\n"),
    ("b,a,b", "b\na\nb\n"),
    ("n08-ib,n-[1-2]", "n08-ib\nn-1\nn-2\n"),
]


@pytest.mark.parametrize(("text", "names"), HOSTNAMES)
def test_host_lists_are_expanded(slurm: Slurm, text: str, names: str) -> None:
    result = slurm.run("scontrol", "show", "hostnames", text)
    assert (result.returncode, result.stdout) == slurm.words.of(0, names)


@pytest.mark.parametrize("text", ["n[1-70000]", "n[3-1]"])
def test_bad_host_lists_have_return_code_0_too(slurm: Slurm, text: str) -> None:
    result = slurm.run("scontrol", "show", "hostnames", text)
    assert result.returncode == 0
    assert "Invalid hostlist" in result.stderr


def test_a_host_list_with_text_behind_its_numbers(slurm: Slurm) -> None:
    result = slurm.run("scontrol", "show", "hostnames", "n[08-09]-ib")
    assert result.returncode == 0
    assert result.stdout == slurm.words["numbers within a name"]
    assert ("Invalid hostlist" in result.stderr) == (not result.stdout)


@pytest.mark.parametrize(
    ("text", "folded"),
    [
        ("nid00111,nid00169,nid00170,x1,x02", "nid[00111,00169-00170],x[1,02]"),
        ("node1", "node1"),
        ("n1,n2,n3", "n[1-3]"),
        ("b1,a1,b2", "b1,a1,b2"),
        ("a,b", "a,b"),
        ("n09,n10", "n[09-10]"),
        ("n9,n10,n11", "n[9-11]"),
        ("n3,n1,n2", "n[3,1-2]"),
        ("n1,n1", "n[1,1]"),
        ("a1,a,a2", "a1,a,a2"),
    ],
)
def test_host_lists_are_folded(slurm: Slurm, text: str, folded: str) -> None:
    assert slurm.ok("scontrol", "show", "hostlist", text) == f"{folded}\n"


FROZEN = "Socket timed out on send/recv operation"
DOWN = "Unable to contact slurm controller (connect failure)"
# Words, return code when frozen, when down, standard error ('{}': why).
OUTAGE = [
    (["squeue"], 1, 1, "slurm_load_jobs error: {}\n"),
    (["squeue", "-j", "99999"], 1, 1, "slurm_load_jobs error: {}\n"),
    (["scontrol", "show", "job", "99999"], 1, 1, "slurm_load_jobs error: {}\n"),
    (["scontrol", "show", "node"], 1, 1, "slurm_load_node error: {}\n"),
    (["scontrol", "show", "reservation"], 1, 1, "slurm_load_reservations error: {}\n"),
    (["scontrol", "show", "partition"], 1, 1, "slurm_load_partitions error: {}\n"),
    (["sinfo"], 1, 1, "slurm_load_partitions: {}\n"),
    (["scancel", "99999"], 140, 8, "scancel: error: Kill job error on job id 99999: {}\n"),
    (["sdiag"], 255, 255, "slurm_get_statistics: {}\n"),
    (["scontrol", "requeue", "99999"], 1, 1, "Unexpected message received for job 99999\n"),
    (
        ["scontrol", "hold", "99999"],
        1,
        1,
        "Unexpected message received for job 99999\n"
        "slurm_suspend error: Unexpected message received\n",
    ),
    (["srun", "true"], 1, 1, "srun: error: Unable to allocate resources: {}\n"),
]


def _all_at_once(slurm: Slurm) -> list[tuple[int, str]]:
    """Return codes and standard errors of all commands, run side by side."""
    with ThreadPoolExecutor(len(OUTAGE)) as pool:
        results = list(pool.map(lambda row: slurm.run(*row[0]), OUTAGE))
    return [(result.returncode, result.stderr) for result in results]


def test_a_frozen_controller(slurm: Slurm) -> None:
    with slurm.frozen():
        answers = _all_at_once(slurm)
        ping = slurm.run("scontrol", "ping")
        assert slurm.run("scontrol", "show", "hostnames", "n[1-2]").stdout == "n1\nn2\n"
    assert answers == [slurm.words.of(row[1], row[3].format(FROZEN)) for row in OUTAGE]
    assert ping.returncode == 1
    assert "is DOWN" in ping.stdout
    wait_until(lambda: "is UP" in slurm.run("scontrol", "ping").stdout, "the controller is back")
    # What it was sent meanwhile is done: here an allocation that nobody waits for.
    slurm.ok("scancel", "-u", "root", "-n", "true")


def test_no_controller(slurm: Slurm) -> None:
    with slurm.down():
        answers = _all_at_once(slurm)
        ping = slurm.run("scontrol", "ping")
    assert answers == [slurm.words.of(row[2], row[3].format(DOWN)) for row in OUTAGE]
    assert (ping.returncode, "is DOWN" in ping.stdout) == (1, True)


def test_a_job_sent_to_a_frozen_controller_runs_all_the_same(slurm: Slurm) -> None:
    (slurm.folder / "job.sh").write_text("#!/bin/bash\ntrue\n")
    with slurm.frozen():
        result = slurm.run("sbatch", "-J", "ghost-1", "job.sh")
        assert (result.returncode, result.stdout) == (1, "")
        assert result.stderr == f"sbatch: error: Batch job submission failed: {FROZEN}\n"
    wait_until(
        lambda: slurm.run("squeue", "-h", "-t", "all", "-n", "ghost-1", "-o", "%T").stdout
        == "COMPLETED\n",
        "the job has run",
    )


def test_a_cancel_sent_to_a_frozen_controller_is_done_all_the_same(slurm: Slurm) -> None:
    job_id = slurm.submit("sleep 300")
    slurm.wait_state(job_id, "RUNNING")
    with slurm.frozen():
        assert slurm.run("scancel", job_id).returncode == 140
    slurm.wait_state(job_id, "CANCELLED")


def test_a_job_that_ends_while_there_is_no_controller_is_not_lost(slurm: Slurm) -> None:
    job_id = slurm.submit("until test -e go; do sleep 0.1; done; touch gone; exit 3")
    slurm.wait_state(job_id, "RUNNING")
    with slurm.down():
        (slurm.folder / "go").touch()
        wait_until((slurm.folder / "gone").exists, "the script ends")
    slurm.wait_state(job_id, "FAILED")
    assert slurm.show(job_id)["ExitCode"] == "3:0"
