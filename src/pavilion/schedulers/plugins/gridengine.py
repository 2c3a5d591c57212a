"""The gridengine scheduler plugin, for the descendants of Sun Grid Engine (measured on 8.1.9).

- The bulk list of jobs shows names whole, and nothing else that could carry a token.
- A job that has ended is not listed any more.  The accounting has it, up to 15 s late.
- ``qsub`` may print a warning, end with 1, and take the job.  Reasons are on stdout or stderr.
"""

from __future__ import annotations

import os
import pwd
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pavilion.errors import SchedConfigError, SchedulerPluginError
from pavilion.jobs import Job
from pavilion.types import NodeInfo, NodeList

from .. import batch
from ..batch import Directive, Failure, JobState, OwnKey, Request, find_token, word
from ..config import validate_list
from ..time_limits import clock_text
from ..vars import SchedulerVariables, dfr_var_method

# A job's state is several letters, as in 'Eqw' or 'dr'. The first of these that it has decides.
_LETTERS = {
    **{"d": "being deleted", "E": "in error", "s": "suspended", "S": "suspended"},
    **{"T": "suspended", "t": "starting", "r": "running", "h": "held", "w": "queued"},
}
# A queue in such a state runs nothing: unknown, disabled, in error, ambiguous, orphaned; or nothing
# new at the moment: over its load limits, suspended.
_UNUSABLE, _BUSY = frozenset("udDEco"), frozenset("aAsSC")
_REFUSED = (
    'Unable to run job: (job rejected|Job was rejected|("[^"]*" )?denied:|unknown resource|attribute|'
    "error: no suitable|can't resolve|the advance res|Invalid length|ERROR!)"
)
_NAME = r"[A-Za-z0-9_][A-Za-z0-9_.-]*"


def _slots(request: Request) -> str | None:
    """The parallel environment, and how many slots."""
    environment = word("gridengine.pe", request.config["gridengine"]["pe"], _NAME)
    most = None if request.config["tasks"] else request.node_max
    if environment is None or most is None or most == request.node_min:
        return environment and f"{environment} {request.tasks}"
    return f"{environment} {request.tasks}-{most * request.tasks_per_node}"


def _one_of(key: str, names: Sequence[str], sign: str = "") -> list[str]:
    return [f"{sign}({'|'.join(str(word(key, name, _NAME)) for name in names)})"] if names else []


def _hosts(request: Request) -> str | None:
    """An expression for the hosts to use, and not to use."""
    if len(request.include_nodes) not in (0, request.node_max):
        count = request.node_max or "all"
        raise batch.wrong_key(
            "include_nodes", f"it must name all hosts of the job ({count}), or none"
        )
    terms = _one_of("include_nodes", request.include_nodes)
    terms += _one_of("exclude_nodes", request.exclude_nodes, "!")
    return f"hostname={'&'.join(terms)}" if terms else None


def _resources(request: Request) -> str | None:
    pattern = r"\w[\w.-]*(=[\w.*:|!&()/+-]+)?"
    items = request.config["gridengine"]["resources"]
    return ",".join(str(word("gridengine.resources", item, pattern)) for item in items) or None


class GridEngineVars(SchedulerVariables):
    """The variables of the gridengine scheduler."""

    EXAMPLE = dict(SchedulerVariables.EXAMPLE, test_cmd="mpirun -n 8")

    @dfr_var_method
    def test_cmd(self) -> str:
        """The command that starts the test's tasks: mpirun in a parallel environment, from which it
        knows its hosts; nothing for a job of one slot."""
        if not self._sched_config["gridengine"]["pe"]:
            return self._with_wrapper("")
        command = ["mpirun", "-n", self.tasks_total(), *self.mpirun_opts()[2:]]
        return self._with_wrapper(" ".join(command))


class GridEngine(batch.SchedulerPluginBatch):
    """Schedules tests via Grid Engine.  Partitions are its queues; slots in a parallel environment
    take the place of nodes and tasks."""

    TITLE = "Grid Engine"
    COMMANDS = ("qsub", "qstat", "qdel", "qhost", "qconf", "qacct")
    VAR_CLASS = GridEngineVars
    ENVIRONMENT = batch.Environment(
        drop=("SGE_",),
        keep=("SGE_ROOT", "SGE_CELL", "SGE_ARCH", "SGE_QMASTER_PORT", "SGE_EXECD_PORT"),
    )
    DIRECTIVE_PREFIX = "#$"
    DIRECTIVES = (
        Directive("-S /bin/bash", (), lambda to: ""),
        # A kickoff script must not run twice: its tests would.
        Directive("-r n", (), lambda to: ""),
        Directive.from_key("-q", "partition", r"[\w*][\w.@*,-]*"),
        Directive.from_key("-A", "account", _NAME),
        Directive.from_key("-P", "gridengine.project", _NAME),
        Directive.from_key("-ar", "reservation", "[0-9]+"),
        Directive("-l", ("time_limit",), lambda to: f"h_rt={clock_text(to.config['time_limit'])}"),
        Directive("-l", ("include_nodes", "exclude_nodes"), _hosts),
        Directive("-l", ("gridengine.resources",), _resources),
        Directive("-pe", ("nodes", "min_nodes", "gridengine.pe"), _slots),
    )
    OWN_KEYS = (
        OwnKey("pe", "The parallel environment of jobs of several slots."),
        OwnKey("project", "The project that the job belongs to."),
        OwnKey("resources", "As in 'mem_free=4G'.", [], validate_list),
    )
    FAILURES = {
        Failure.QUEUE_FULL: [("qsub", 25), re.compile("only [0-9]+ jobs are allowed per")],
        Failure.UNKNOWN_JOB: [
            re.compile(r'job ("[0-9]+"|id [0-9]+) (does not exist|not found)|jobs do not exist')
        ],
        Failure.DENIED: ["necessary privileges", "allowed to submit jobs", "not a submit host"],
        Failure.PERMANENT: [re.compile(_REFUSED), ("qsub", 2), ("qsub", 7), ("qsub", 14)],
    }
    STATES = {
        **dict.fromkeys(("queued", "held"), JobState.WAITING),
        **dict.fromkeys(("starting", "running", "suspended"), JobState.ACTIVE),
        **{"in error": JobState.STUCK, "being deleted": JobState.ENDING},
        **{"by itself": JobState.FINISHED, "failed": JobState.FINISHED},
    }
    WORDS = {
        "assumedly after job": "a signal ended it, such as that of qdel",
        "qmaster enforced h_rt, h_cpu, or h_vmem limit": "most likely its time limit",
    }

    def __init__(self) -> None:
        self._said: dict[tuple[str, ...], str] = {}  # Options of qconf -> what it printed.
        super().__init__("gridengine", "Schedules tests via Grid Engine.", self.PRIO_CORE)

    def refresh(self) -> None:
        super().refresh()
        self._said.clear()

    def ping_command(self) -> list[str]:
        return ["qconf", "-sql"]

    def version_command(self) -> list[str]:
        return ["qhost", "-help"]

    def submit_command(self, submission: batch.Submission) -> list[str]:
        place, token = os.fspath(submission.script.parent), submission.token
        if re.search(r"\$(HOME|USER|JOB_ID|JOB_NAME|HOSTNAME|TASK_ID)", place):
            raise SchedulerPluginError(f"Grid Engine would expand a variable in {place!r}.")
        # A path for -o may contain no comma and no colon, that of a directory may.
        log = os.path.relpath(submission.log, place)
        name = re.sub(r"^(?=\d)|[:@]", "_", batch.safe_job_name(submission.job_name, token))
        options = ["-b", "n", "-j", "y", "-wd", place, "-o", log, "-N", name]
        return ["qsub", "-terse", *options, os.fspath(submission.script)]

    def classify(self, result: batch.CommandResult) -> Failure | None:
        taken = result.returncode == 1 and "has been submitted" in result.stderr
        return None if taken else super().classify(result)

    def parse_submission(self, result: batch.CommandResult) -> str | None:
        said = f"{result.stdout}\n{result.stderr}"
        found = re.search(r"^([0-9]+)\s*$|^Your job ([0-9]+) \(", said, re.MULTILINE)
        return found and (found[1] or found[2])

    def jobs_command(self, user: str | None) -> list[str]:
        # With options that undo those in ~/.sge_qstat.
        return ["qstat", "-xml", "-r", "-s", "prs", "-q", "*", "-u", user or "*"]

    def parse_jobs(self, text: str) -> Iterator[batch.BatchJob]:
        root = batch.read_xml(text, "job_info")
        if root.find("queue_info") is None or root.find("job_info") is None:
            raise batch.UnreadableAnswer("it lists no jobs (is there a -g c in sge_qstat?)")
        for row in root.iter("job_list"):
            job_id, letters = row.findtext("JB_job_number"), row.findtext("state")
            if not job_id or not letters:
                raise batch.UnreadableAnswer("a job has no number, or no state")
            state = next((word for letter, word in _LETTERS.items() if letter in letters), letters)
            host = (row.findtext("queue_name") or "").partition("@")[2]
            token = find_token(row.findtext("full_job_name") or row.findtext("JB_name") or "")
            yield batch.BatchJob(job_id, state, token, nodes=[host] if host else [])

    def cancel_command(self, job_ids: Sequence[str]) -> list[str]:
        return ["qdel", ",".join(job_ids)]

    def parse_cancel(self, result: batch.CommandResult) -> dict[str, Failure]:
        refused = re.findall(r'privileges to delete the job "([0-9]+)"', result.stdout)
        return dict.fromkeys(refused, Failure.DENIED)

    def details_command(self, job_id: str) -> list[str]:
        return ["qstat", "-j", job_id]

    def parse_details(self, text: str) -> str:
        reasons = re.findall(r"^error reason +[0-9]+: +(?:.*?\]: )?(.*)$", text, re.MULTILINE)
        return "; ".join(dict.fromkeys(reasons))

    def history_command(self, job_ids: Sequence[str]) -> list[str]:
        if len(job_ids) == 1:
            return ["qacct", "-j", job_ids[0]]
        # It takes one id, or a pattern for names.
        return ["qacct", "-o", pwd.getpwuid(os.geteuid()).pw_name, "-j", "*-pav-*"]

    def parse_history(self, text: str) -> Iterator[batch.BatchJob]:
        if text and not text.endswith("\n"):
            raise batch.UnreadableAnswer("it is cut off: its last line has no end")
        for block in re.split(r"^=+$", text, flags=re.MULTILINE)[1:]:
            # A key, blanks, and its value in each line.
            row = {words[0]: words[1:] for line in block.splitlines() if (words := line.split())}
            try:
                code, _, reason = " ".join(row["failed"]).partition(":")
                state = "by itself" if code.strip() == "0" else "failed"
                job_id, name, exit_code = row["jobnumber"][0], row["jobname"][0], row["exit_status"]
                job = batch.BatchJob(job_id, state, find_token(name), reason.strip(), exit_code[0])
                yield job._replace(nodes=row["hostname"])
            except (KeyError, IndexError) as exc:
                raise batch.UnreadableAnswer(f"it is cut off: {exc} is missing") from exc

    def nodes_command(self) -> list[str]:
        return ["qhost", "-xml", "-q"]

    def parse_nodes(self, text: str) -> Iterator[NodeInfo]:
        for host in batch.read_xml(text, "qhost").iter("host"):
            if host.get("name") == "global":
                continue
            about = {value.get("name"): value.text or "" for value in host.iter("hostvalue")}
            slots: dict[str, int] = {}
            free = False
            for queue in host.iter("queue"):
                row = {value.get("name"): value.text or "" for value in queue}
                name, state = queue.get("name", ""), set(row.get("state_string", ""))
                if not state & _UNUSABLE:
                    slots[name] = int(row.get("slots", 0))
                    free |= slots[name] > int(row.get("slots_used", 0)) and not state & _BUSY
            silent = about.get("load_avg", "-") == "-"
            yield {
                "name": host.get("name"),
                "up": bool(slots) and not silent,
                "cause": "no answer" if silent else "" if slots else "no usable queue",
                "available": free and not silent,
                # What a job can get there: its processors may be fewer or more.
                "cpus": max(slots.values(), default=0),
                "mem": batch.bytes_of(about.get("mem_total", "")),
                "partitions": sorted(slots),
            }

    def _section_problem(self, sched_config: dict[str, Any]) -> SchedConfigError | None:
        """Beside the family's: slots that would not be placed as the section says."""
        return super()._section_problem(sched_config) or self._slots_problem(sched_config)

    def _slots_problem(self, config: dict[str, Any]) -> SchedConfigError | None:
        key, environment, tasks = "gridengine.pe", config["gridengine"]["pe"], config["tasks"]
        nodes = config["chunking"]["size"] or config["nodes"]
        each = config["tasks_per_node"] or 1
        if not environment and {tasks or each, nodes or 1, config["min_nodes"] or 1} == {1}:
            return None
        rule = self._rule(environment) if environment else None
        if rule is None:
            problem = f"{environment!r} is not one" if environment else "several slots need one"
            return batch.wrong_key(
                key, f"{problem} (there are: {', '.join(self._conf('-spl').split())})"
            )
        if tasks and isinstance(nodes, int):
            each = -(-tasks // nodes)
        certain = rule == str(each) or (rule == "$pe_slots" and nodes in (None, 1))
        if not rule or certain or (tasks and not nodes) or isinstance(each, float):
            return None
        return batch.wrong_key(
            key,
            f"{environment!r} places slots by the rule {rule}, so {each} on each of {nodes or 1} "
            f"hosts are not certain. Take one with the rule {each}"
            f"{', or $pe_slots' if nodes in (None, 1) else ''}; or set tasks, without nodes",
        )

    def _rule(self, environment: str) -> str | None:
        """A parallel environment's allocation rule; '' where Grid Engine does not say."""
        said = self._conf("-sp", environment) if re.fullmatch(_NAME, environment) else ""
        found = re.search(r"^allocation_rule\s+(\S+)", said, re.MULTILINE)
        return found[1] if found else None if "is not a parallel environment" in said else ""

    def _conf(self, *options: str) -> str:
        if options not in self._said:
            result = self._client.querying.run(["qconf", *options])
            self._said[options] = result.stdout if result.ok else result.stderr
        return self._said[options]

    def _get_alloc_nodes(self, job: Job) -> NodeList:
        if not {"JOB_ID", "QUEUE", "HOSTNAME"} <= set(os.environ):
            raise SchedulerPluginError("This is not a job of Grid Engine: JOB_ID is not set.")
        hosts = os.environ.get("PE_HOSTFILE")
        lines = Path(hosts).read_text().splitlines() if hosts else [os.environ["HOSTNAME"]]
        return list(dict.fromkeys(line.split()[0] for line in lines if line.strip()))

    def _get_alloc_job_id(self, job: Job) -> str | None:
        return os.environ.get("JOB_ID")
