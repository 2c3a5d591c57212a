"""The pbs scheduler plugin, for OpenPBS and PBS Professional (measured on OpenPBS 23.06.06).

- A list of jobs takes two commands: ``qselect`` names a user's jobs, and ``qstat`` shows them.
- JSON may be broken by one odd value, or lack jobs.  Then the same is requested as text.
- A server without a job history shows nothing to those who request ended jobs, too (``-x``).
- The token is in a variable of the job's environment: names are too short for it on old servers.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pavilion.errors import SchedulerPluginError
from pavilion.jobs import Job
from pavilion.types import NodeInfo, NodeList

from .. import batch
from ..batch import Directive, Failure, JobState, OwnKey, UnreadableAnswer, all_nodes, flag, word
from ..config_values import min_int, node_count, parse_node_range, validate_list
from ..time_limits import clock_limit, padded_clock_text
from ..vars import SchedulerVariables, dfr_var_method, var_method

_LETTERS = {
    **{"Q": "queued", "W": "waiting for its time", "T": "in transit", "H": "held", "R": "running"},
    **{"B": "array begun", "S": "suspended", "U": "suspended", "E": "ending", "F": "ended"},
    **{"M": "moved to another server", "X": "ended"},
}
# Letters, and what 'SUBSTATE COMMENT RESERVATION' begins with -> what the letter does not say.
_MORE_STATES = (
    ("FMX", "91 ", "deleted"),
    ("RE", ".* terminated by ", "being deleted"),
    ("Q", r"[0-9]* (Can Never Run|.*Queue not started\W*$)", "cannot run"),
    ("Q", ".*Queue not started", "waiting for its time"),
    ("H", "22 ", "waiting for other jobs"),
)
_HOLDS = {"u": "its user", "o": "an operator", "s": "PBS", "p": "a bad password"}
# What an Exit_status below 0 means.
_ENDS = {
    **dict.fromkeys(("-4", "-5", "-6"), "the daemon of its host was restarted"),
    **{"-10": "its user is not known on the host", "-11": "it was to be run again"},
    **{"-14": "another of its hosts failed", "-20": "its host was lost"},
    **dict.fromkeys(("-16", "-17", "-18", "-19", "-22"), "a hook of the site ended it"),
    **dict.fromkeys(("-24", "-25"), "it used too many CPUs"),
    **dict.fromkeys(("-26", "-27"), "it used too much memory"),
    **{"-28": "it used too much CPU time", "-29": "it exceeded its time limit (walltime)"},
}
_KEPT = ("PBS_CONF_FILE", "PBS_EXEC", "PBS_SERVER", "PBS_DEFAULT", "PBS_BATCH_SERVICE_PORT")
_NODE_KEYS = ("state", "jobs", "queue", "resv", "ncpus", "mem", "model", "qlist")
_GONE = ["Unknown Job Id", "Job has finished"]
_ID, _NAME = r"[0-9]+(?:\[[0-9]*\])?", r"\w[\w.+-]*"
_TOKEN = "PAV_TOKEN=(pav-[0-9a-f]{16})(?![^,])"
# Of a user who has more jobs, ended ones included, those that have ended are not listed.
_MANY = 1000
# Options that qsub_extra may not have, and those that are like common keys.
_REFUSED = {
    *("-J", "-I", "-X", "-z", "-C", "-o", "-e", "-W block"),
    *("-l select", "-l nodes", "-l ncpus", "-l mpiprocs"),
}
_LIKE = {"-q": "partition", "-A": "account", "-l walltime": "time_limit"}
_STATES = ["job-exclusive", "job-busy", "free", "busy", "resv-exclusive"]
_KEYS = (
    OwnKey("up_states", "States of nodes to use, now or later.", _STATES, validate_list),
    OwnKey("avail_states", "States of nodes that are free.", ["free"], validate_list),
    OwnKey("reserved_states", "States of reserved nodes.", ["resv-exclusive"], validate_list),
    OwnKey("nodes", "As schedule.nodes.", "1", node_count("pbs.nodes"), "nodes"),
    OwnKey("tasks", "As schedule.tasks.", "1", min_int("pbs.tasks", 1), "tasks"),
    OwnKey("walltime", "As time_limit: [[H:]M:]S.", "00:01:00", clock_limit, "time_limit", True),
    OwnKey("queue", "As schedule.partition.", stands_for="partition"),
    OwnKey("target", "As schedule.include_nodes.", None, parse_node_range, "include_nodes"),
    OwnKey("all_queue_nodes", "Use all nodes.", "false", all_nodes, "nodes", False, "target"),
    OwnKey("mpiprocs", "MPI processes on each node.", None, min_int("pbs.mpiprocs", 1, False)),
    OwnKey("model", "The model of the nodes, a resource that sites define."),
    OwnKey("exclusive", "Whether no other job may use the job's hosts.", "false", flag),
    OwnKey("qsub_extra", "More options of qsub, such as '-m n'.", [], validate_list),
    OwnKey("mpi_cmd", "The command that starts MPI programs.", "mpirun"),
)


def _queue(request: batch.Request) -> str | None:
    """A reservation is a queue, too."""
    queue = word("partition", request.config["partition"], _NAME)
    reservation = word("reservation", request.config["reservation"], _NAME) or ""
    if reservation == "any" or (queue and reservation):
        raise batch.refuse("reservation", reservation, "it is a queue: name one, and no partition")
    return queue or reservation.partition(".")[0] or None


def _select(request: batch.Request) -> str:
    """A chunk for each node; by host where hosts are chosen, because vnodes are parts of these."""
    config, own = request.config, request.config["pbs"]
    count = request.node_max or max(request.node_min, len(request.include_nodes))
    each = own["mpiprocs"] or -(-(config["tasks"] or 0) // count) or request.tasks_per_node
    model = word("pbs.model", own["model"], _NAME)
    chunk = f"ncpus={each}:mpiprocs={each}" + (f":model={model}" if model else "")
    hosts = [f"1:{chunk}:host={word('include_nodes', n, _NAME)}" for n in request.include_nodes]
    rest = [f"{count - len(hosts)}:{chunk}"] if count > len(hosts) else []
    return f"select={'+'.join(hosts + rest)}"


class PbsVars(SchedulerVariables):
    """The variables of the pbs scheduler."""

    EXAMPLE = {
        **{**SchedulerVariables.EXAMPLE, "test_cmd": "mpirun -n 8", "walltime": "00:30:00"},
        **{"queue": "debug", "mpiprocs": "4", "srun_args": ""},
    }

    @dfr_var_method
    def test_cmd(self) -> str:
        """The command that starts the test's tasks: mpirun, or that of schedule.pbs.mpi_cmd."""
        command = [self._sched_config["pbs"]["mpi_cmd"], "-n", self.tasks_total()]
        return self._with_wrapper(" ".join([*command, *self.mpirun_opts()[2:]]))

    @var_method
    def walltime(self) -> str:
        """The time limit, HH:MM:SS."""
        return padded_clock_text(self._sched_config["time_limit"])

    @var_method
    def queue(self) -> str:
        """The queue that is requested. Blank for the server's default queue."""
        return self.partition()

    @var_method
    def mpiprocs(self) -> str:
        """The MPI processes on each node. Blank where schedule.pbs.mpiprocs is not set."""
        return str(self._sched_config["pbs"]["mpiprocs"] or "")

    @dfr_var_method
    def srun_args(self) -> str:
        """Blank: PBS has no srun."""
        return ""


# --- Answers ---


def _read(text: str, key: str) -> dict[str, dict[str, str]]:
    """The attributes of the 'Jobs', or of the 'nodes'."""
    return batch.read_attributes(text, key, r"Job Id: (\S+)" if key == "Jobs" else r"(\S+)")


def _is_whole(text: str, key: str, ids: Sequence[str] = ()) -> bool:
    try:
        known = {name.partition(".")[0] for name in _read(text, key)}
    except UnreadableAnswer:
        return False
    # Some releases show one of several jobs.
    return not known or known.issuperset(name.partition(".")[0] for name in ids)


def _job(name: str, about: Mapping[str, str]) -> batch.BatchJob:
    letter, comment = about["job_state"], about.get("comment", "")
    final = letter in ("F", "M", "X")
    also = f"{about.get('substate')} {comment} {about.get('reserve_ID', '')}"
    states = (state for on, what, state in _MORE_STATES if letter in on and re.match(what, also))
    # Before the end, it is that of an earlier run.
    code = about.get("Exit_status", "") if final else ""
    usual = "never ran" if letter == "F" and not code else _LETTERS.get(letter, letter)
    holds = [_HOLDS.get(hold, hold) for hold in about.get("Hold_Types", "")]
    queue = f"none is shown (yet, or as {about.get('queue')} is a routing queue)"
    silent = {"Q": queue, "H": f"by {', '.join(holds)}"}.get(letter, "")
    reason = "; ".join(filter(None, (_end(code), comment))) or silent
    # An empty variable may have swallowed the next.
    variables = [f"{key}={value}" for key, value in about.items() if "Variable_List" in key]
    token = re.search(_TOKEN, ",".join(variables).replace("Variable_List.", ""))
    nodes = list(dict.fromkeys(re.findall(r"(?:^|\+)([^/+]+)/", about.get("exec_host", ""))))
    script = re.search(r" -o (/.*)/[^/]+ (\1/.*)", about.get("Submit_arguments", ""))
    return batch.BatchJob(
        *(name.partition(".")[0], next(states, usual), token[1] if token else "", reason, code),
        *(nodes, {"script": script[2]} if script else {}),
    )


def _end(code: str) -> str:
    """What an Exit_status means; '' for one of the script's own."""
    if code.startswith("-"):
        return _ENDS.get(code, "PBS could not start it")
    return f"signal {int(code) - 256} ended it" if code.isdigit() and int(code) > 255 else ""


class Pbs(batch.SchedulerPluginBatch):
    """Schedules tests via PBS.  Partitions are its queues."""

    TITLE = "PBS"
    COMMANDS = ("qsub", "qstat", "qselect", "qdel", "pbsnodes")
    VAR_CLASS = PbsVars
    ENVIRONMENT = batch.Environment(("PBS_",), _KEPT, {"LC_ALL": "C", "TZ": "UTC"})
    DIRECTIVE_PREFIX = "#PBS"
    DIRECTIVES = (
        # Old servers take 15 characters.
        Directive("-N", (), lambda to: re.sub("[^A-Za-z0-9_]", "_", to.job_name)[:15], ("-N",)),
        *(Directive(line, (), lambda to: "", (line[:2],)) for line in ("-j oe", "-r n")),
        Directive("-W umask=022", (), lambda to: "", ("-W umask",)),
        Directive("-q", ("partition", "reservation"), _queue),
        Directive.from_key("-A", "account", word),
        Directive("-l", ("nodes", "include_nodes", "pbs.mpiprocs", "pbs.model"), _select),
        Directive.from_key("-l", "time_limit", lambda _, v: f"walltime={padded_clock_text(v)}"),
        Directive.from_key(
            *("-l", "pbs.exclusive", lambda _, v: f"place=scatter{':exclhost' if v else ''}"),
            ("-l place",),
        ),
    )
    # In spite of -r n: one that just begins when the server is lost.
    MAY_RUN_AGAIN = True
    TOKEN_VARIABLE = "PAV_TOKEN"
    USED_KEYS = ("pbs.qsub_extra",)
    OWN_KEYS = _KEYS
    USER_OPTIONS = batch.UserOptions("pbs.qsub_extra", ("-l", "-W"), _REFUSED, _LIKE, ("-v",))
    JOB_ID = _ID
    # With several ids, qdel can crash a server (23.06.06).
    CANCEL_BATCH = 1
    FAILURES = {
        Failure.QUEUE_FULL: ["would exceed", "Maximum number of jobs already"],
        Failure.UNKNOWN_JOB: [*_GONE, ("qdel", 168)],
        Failure.DENIED: ["Unauthorized Request", ("qsub", 174)],
        Failure.PERMANENT: [
            re.compile("qsub: (illegal|invalid|directive|script|cannot s)"),
            *(("qsub", code) for code in (2, 3, 5, 6, 32, 39, 154, 166, 170, 173)),
            *(("qsub", code) for code in (175, 187, 188, 191, 197, 241)),
        ],
    }
    STATES = {
        **dict.fromkeys(("queued", "in transit", "waiting for its time"), JobState.WAITING),
        **{"waiting for other jobs": JobState.WAITING, "held": JobState.STUCK},
        **{"cannot run": JobState.STUCK, "deleted": JobState.CANCELLED},
        **dict.fromkeys(("array begun", "running", "suspended"), JobState.ACTIVE),
        **dict.fromkeys(("ending", "being deleted"), JobState.ENDING),
        **dict.fromkeys(("ended", "never ran", "moved to another server"), JobState.FINISHED),
    }

    def __init__(self) -> None:
        super().__init__("pbs", "Schedules tests via OpenPBS and PBS Professional.", self.PRIO_CORE)

    def refresh(self) -> None:
        super().refresh()
        # Where the server may have a history of jobs.
        self._x = ["-x"]

    def ping_command(self) -> list[str]:
        return ["qstat", "-Q"]

    def version_command(self) -> list[str]:
        return ["qstat", "--version"]

    def submit_command(self, submission: batch.Submission) -> list[str]:
        paths = [os.fspath(submission.log), os.fspath(submission.script)]
        if not paths[0].isascii():
            raise SchedulerPluginError(f"PBS takes ASCII characters only in paths: {paths[0]!r}.")
        # A -v in the script would not count beside this one.  Without a process in the background
        # (-f), which submits even after qsub was stopped.
        more = shlex.split(" ".join(self.user_options(submission.config).taken))
        variables = [f"{self.TOKEN_VARIABLE}={submission.token}", *more]
        return ["qsub", "-f", "-v", ",".join(variables), "-o", *paths]

    def parse_submission(self, result: batch.CommandResult) -> str | None:
        # Wrappers may add lines.
        found = re.findall(rf"^({_ID})\.\S+\n", result.stdout, re.MULTILINE)
        return found[-1] if found else None

    def classify(self, result: batch.CommandResult) -> Failure | None:
        # Of several jobs some are gone, and nothing else is said: the answer has the others.
        gone = result.argv[0] == "qstat" and result.returncode in (35, 153)
        other = re.search(f"^qstat: (?!.*({'|'.join(_GONE)}))", result.stderr, re.MULTILINE)
        return None if gone and not other else super().classify(result)

    def jobs_command(self, user: str | None) -> list[str]:
        return ["qselect", *self._x, *(["-u", user] if user else [])]

    def next_command(self, result: batch.CommandResult) -> list[str] | None:
        argv, text = list(result.argv), result.stdout
        ids = [word for word in argv if word[0].isdigit()]
        if "-x" in argv and "not configured to maintain job history" in result.stderr:
            self._x = []
            return [word for word in argv if word != "-x"]
        if argv[0] == "qstat" and "-F" in argv and result.returncode == 2:
            return ["qstat", *self._x, "-f", *ids]
        if self.classify(result) is not None or not {"qselect", "-F"}.intersection(argv):
            return None
        if argv[0] == "qselect":
            if re.fullmatch(rf"({_ID}\.\S+\n)*", text) is None:
                raise UnreadableAnswer("it is not a list of job ids")
            if "-x" in argv and text.count("\n") > _MANY:
                return [word for word in argv if word != "-x"]
            # That there are none is confirmed: an empty answer may be one that was lost.  Without
            # -E, many ids keep a server busy for long.
            which = [*self._x, "-E", *text.split()] if text else []
            return ["qstat", "-f", "-F", "json", *which]
        if argv[0] == "pbsnodes":
            return None if _is_whole(text, "nodes") else ["pbsnodes", "-av"]
        return None if _is_whole(text, "Jobs", ids) else ["qstat", *self._x, "-E", "-f", "-w", *ids]

    def parse_jobs(self, text: str) -> Iterator[batch.BatchJob]:
        return (_job(name, about) for name, about in _read(text, "Jobs").items())

    def cancel_command(self, job_ids: Sequence[str]) -> list[str]:
        return ["qdel", *job_ids]

    def history_command(self, job_ids: Sequence[str]) -> list[str] | None:
        return ["qstat", "-x", "-E", "-f", "-F", "json", *job_ids] if self._x else None

    parse_history = parse_jobs

    def nodes_command(self) -> list[str]:
        return ["pbsnodes", "-av", "-F", "json"]

    def parse_nodes(self, text: str) -> Iterator[NodeInfo]:
        hosts: dict[str, list[dict[str, str]]] = {}
        for name, about in _read(text, "nodes").items():
            host = about.get("resources_available.host") or name.partition("[")[0]
            short = {key.lower().replace("resources_available.", ""): about[key] for key in about}
            hosts.setdefault(host, []).append(short)
        reserved = any("resv" in vnode for vnodes in hosts.values() for vnode in vnodes)
        for host, vnodes in hosts.items():
            values = {key: [each.get(key, "") for each in vnodes] for key in _NODE_KEYS}
            lists = {k: sorted({*re.split(", *", ",".join(of))} - {""}) for k, of in values.items()}
            queues, names = lists["queue"] or lists["qlist"], lists["resv"]
            names += [name.partition(".")[0] for name in names]
            yield {
                **{"name": host, "states": lists["state"], "jobs": lists["jobs"]},
                "cpus": sum(int(count or 0) for count in values["ncpus"]),
                "mem": sum(map(batch.bytes_of, values["mem"])),
                "models": lists["model"],
                **({"reservations": names} if reserved else {}),
                **({"partitions": queues} if queues else {}),
            }

    def queues_command(self) -> list[str]:
        return ["qstat", "-Q", "-f"]

    def parse_queues(self, text: str) -> Iterator[batch.QueueInfo]:
        for name, about in batch.read_attributes(text, "Queue", r"Queue: (\S+)").items():
            yield batch.QueueInfo(name, "" if about.get("started") == "True" else "not started")

    def _filter_custom(self, sched_config: Any, node_name: str, node: NodeInfo) -> str | None:
        model = sched_config["pbs"]["model"]
        return f"model is not {model!r}" if model and model not in node["models"] else None

    def _get_alloc_nodes(self, job: Job) -> NodeList:
        if "PBS_NODEFILE" not in os.environ:
            raise SchedulerPluginError("This is not a job of PBS: PBS_NODEFILE is not set.")
        return list(dict.fromkeys(Path(os.environ["PBS_NODEFILE"]).read_text().split()))

    def _get_alloc_job_id(self, job: Job) -> str | None:
        return os.environ.get("PBS_JOBID", "").partition(".")[0] or None
