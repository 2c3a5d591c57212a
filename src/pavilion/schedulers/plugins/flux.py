"""The flux scheduler plugin, by Flux's command line (0.49 or later; measured on 0.88.0).

- A job is the first process of a Flux instance of its own, in which FLUX_URI names that one.
- Ids have several spellings.  The decimal one is stored and compared.
- Flux lists jobs that ended until it purges them.  It gives no reason for those that wait.
"""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pavilion.errors import SchedulerPluginError
from pavilion.jobs import Job, JobInfo
from pavilion.types import NodeInfo, NodeList

from .. import batch
from ..batch import Directive, Failure, JobState, OwnKey, Request, host_list, word
from ..config import validate_list
from ..placement import hostlists
from ..time_limits import seconds_of
from ..vars import SchedulerVariables, dfr_var_method

_DIGITS = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
# States of nodes.  A part-used node is in the first two, a draining one with a job in the last two:
# the last one counts.
_STATES = ("free", "allocated", "down")
# What Pavilion's own plugin has as states of nodes are states of jobs.
_JOB_STATES = ["DEPEND", "SCHED", "RUN", "CLEANUP", "INACTIVE"]
_REFUSED = (
    "Number of slots|must not be greater than|queue '.*' specified|is not a valid queue|[Uu]nsatisf"
    "|exceeds (policy limit|remaining)|Flux standard duration|[Ii]nvalid (hostlist|hosts|jobspec)"
    "|does not appear|orphan|No such file or directory: '|dependency:|urgency range|is disabled"
    "|can only be set|unable to decode byte|signer=|Unknown directive|No closing quotation"
)
_EXCEPTIONS = {
    "alloc": "Flux cannot give the job what it requests",
    "cancel": "it was cancelled",
    "dependency": "a job that it depends on ended otherwise",
    "exec": "a node was lost, or the job could not be started",
    "timeout": "its time limit",
}
# With these, 'flux batch' submits no script, or does not print an id.
_NOT_TO_GIVE = r"--(dry-run|wrap|quiet|help|list-plugins)\b"


def decimal_id(text: str) -> str:
    """An id in decimal, from a spelling that Flux prints: 'ƒapvGaqu', 'fapvGaqu' or decimal; ''
    for anything else."""
    if re.fullmatch("[0-9]{1,20}", text):
        return text
    if not re.fullmatch(f"[ƒf][{_DIGITS}]{{1,11}}", text):
        return ""
    number = 0
    for digit in text[1:]:
        number = number * len(_DIGITS) + _DIGITS.index(digit)
    return str(number)


def _takes_slots(request: Request) -> bool:
    """Whether only the number of tasks is given, so that Flux picks that of the nodes."""
    given = request.config["tasks"] and request.node_max is None and request.node_min == 1
    return bool(given) and not request.include_nodes


def _nodes(request: Request) -> str | None:
    """How many nodes: the least, as Flux takes no range."""
    named, most = len(request.include_nodes), request.node_max
    if named and not request.node_min <= named <= (most or named):
        raise batch.wrong_key(
            "include_nodes", f"it must name all nodes of the job ({most}), or none"
        )
    return None if _takes_slots(request) else str(named or request.node_min)


def _constraint(request: Request) -> str | None:
    features = [word("flux.features", item) or "" for item in request.config["flux"]["features"]]
    terms = [f"({text})" if "|" in text else text for text in features]
    terms.append(f"host:{host_list('include_nodes', request.include_nodes) or ''}")
    terms.append(f"-host:{host_list('exclude_nodes', request.exclude_nodes) or ''}")
    return "&".join(term for term in terms if term and not term.endswith("host:")) or None


def _queue(config: Mapping[str, Any]) -> str | None:
    key = "flux.queue" if config["flux"]["queue"] else "partition"
    return word(key, config["flux"]["queue"] or config["partition"], r"[\w.+-]+")


def _reason(row: Mapping[str, Any]) -> str:
    """Why a job waits or ended, in Flux's words and in others."""
    exception, code = row.get("exception") or {}, row.get("returncode", 0)
    if exception.get("occurred"):
        kind = str(exception.get("type"))
        meaning = ": ".join(filter(None, (repr(kind), _EXCEPTIONS.get(kind))))
        return f"{exception.get('note') or 'no details'} (exception {meaning})"
    if 128 < code <= 192:
        return f"signal {code - 128} ended it"
    if row["state"] == "DEPEND":
        return ", ".join(row.get("dependencies") or [])
    return str(((row.get("annotations") or {}).get("sched") or {}).get("reason_pending") or "")


def parse_cores(text: str) -> dict[str, int]:
    """Host -> the number of its cores, from Flux's R (JSON); {} for what is none."""
    cores: Counter[str] = Counter()
    try:
        execution = json.loads(text)["execution"]
        of_ranks = {
            int(rank[1:]): len(hostlists.expand(f"c[{item['children']['core']}]"))
            for item in execution["R_lite"]
            for rank in hostlists.expand(f"r[{item['rank']}]")
        }
        # Items of the list are host lists.  Brokers may share a host.
        for rank, host in zip(sorted(of_ranks), hostlists.expand_all(execution["nodelist"])):
            cores[host] += of_ranks[rank]
    except (ValueError, KeyError, TypeError):
        return {}
    return dict(cores)


def parse_reasons(text: str) -> dict[str, str]:
    """Host -> why it is not to be used, from lines 'state|host list|reason'."""
    rows = [line.split("|", 2) for line in text.splitlines() if line.count("|") >= 2]
    return {
        host: ": ".join(filter(None, (state.replace("avail*", "offline").rstrip("*"), reason)))
        for state, hosts, reason in rows
        for host in hostlists.expand("" if state == "avail" else hosts)
    }


class FluxVars(SchedulerVariables):
    """The variables of the flux scheduler."""

    EXAMPLE = dict(SchedulerVariables.EXAMPLE, test_cmd="flux run -x -N 2 -n 8")

    @dfr_var_method
    def test_cmd(self) -> str:
        """The command that starts the test's tasks: flux run, with the number of nodes and tasks
        and the options of schedule.flux.fluxrun_extra."""
        # Flux refuses more nodes than tasks.
        tasks, nodes = int(self.tasks_total()), int(self.test_nodes())
        extra = self._sched_config["flux"]["fluxrun_extra"]
        command = f"flux run -x -N {min(nodes, tasks)} -n {tasks}"
        return self._with_wrapper(" ".join([command, *extra]))


class Flux(batch.SchedulerPluginBatch):
    """Schedules tests via Flux.  Partitions are its queues, features its properties."""

    TITLE = "Flux"
    COMMANDS = ("flux",)
    VAR_CLASS = FluxVars
    JOB_INFO_KEYS = ("id", "jobid", "sys_name", "name")
    # Each query costs a fifth of a second of CPU, and more with thousands of jobs.
    JOB_TABLE_AGE = 10.0
    INSTANCE = "FLUX_URI"
    ENVIRONMENT = batch.Environment(
        drop=("FLUX_",),
        keep=("FLUX_URI", "FLUX_SSH", "FLUX_SSH_RCMD", "FLUX_CONF_DIR", "FLUX_CLI_PLUGINPATH"),
    )
    OWN_KEYS = (
        OwnKey(
            "up_states", "Nodes that are 'up'; 'free' and 'allocated'.", _JOB_STATES, validate_list
        ),
        OwnKey("avail_states", "Nodes that are 'available'; 'free'.", _JOB_STATES, validate_list),
        OwnKey("queue", "The queue. Takes precedence over partition."),
        OwnKey("features", "Properties that nodes must have; 'a|b' is either.", [], validate_list),
        OwnKey(
            "fluxrun_extra", "More options for flux run, as part of test_cmd.", [], validate_list
        ),
        OwnKey("fluxbatch_extra", "More options for flux batch, each a line.", [], validate_list),
    )
    QUEUE_KEYS = ("flux.queue", "partition")
    DIRECTIVE_PREFIX = "#flux:"
    DIRECTIVES = (
        Directive("--job-name=", (), lambda to: batch.safe_job_name(to.job_name)),
        Directive("--nodes=", ("nodes", "min_nodes"), _nodes),
        Directive("--exclusive", (), lambda to: None if _takes_slots(to) else ""),
        Directive("--nslots=", (), lambda to: str(to.tasks) if _takes_slots(to) else None),
        Directive("-q", ("partition", "flux.queue"), lambda to: _queue(to.config)),
        Directive("-t", ("time_limit",), lambda to: f"{seconds_of(to.config['time_limit'])}s"),
        Directive.from_key("-B", "account", r"[\w.+-]+"),
        Directive("--requires=", ("include_nodes", "exclude_nodes", "flux.features"), _constraint),
        Directive.own_lines("flux.fluxbatch_extra", _NOT_TO_GIVE),
    )
    FAILURES = {
        Failure.TRANSIENT: ["Unable to connect to Flux", "flux_open"],
        Failure.UNKNOWN_JOB: [re.compile(r"unknown job id|job is inactive|JobID \S+ unknown")],
        Failure.DENIED: ["guests can only"],
        # As flux-accounting says it.
        Failure.QUEUE_FULL: [re.compile("max number of (active |running )?jobs")],
        Failure.PERMANENT: [
            re.compile(f"flux-batch: ERROR: .*({_REFUSED})"),
            re.compile(r"^flux[- ]\w+: error: ", re.MULTILINE),
        ],
    }
    STATES = {
        **dict.fromkeys(("DEPEND", "PRIORITY", "SCHED"), JobState.WAITING),
        **{"HELD": JobState.STUCK, "RUN": JobState.ACTIVE, "CLEANUP": JobState.ENDING},
        **dict.fromkeys(("COMPLETED", "FAILED", "TIMEOUT"), JobState.FINISHED),
        "CANCELED": JobState.CANCELLED,
    }
    WORDS = {"HELD": "held: its urgency is 0", "CLEANUP": "CLEANUP: what it started is being ended"}

    def __init__(self) -> None:
        super().__init__("flux", "Schedules tests via Flux.", self.PRIO_CORE)

    def _settled(self, sched_config: dict[str, Any]) -> dict[str, Any]:
        """A section whose partition is the queue that its jobs go to."""
        return {**super()._settled(sched_config), "partition": _queue(sched_config)}

    def ping_command(self) -> list[str]:
        return ["flux", "uptime"]

    def version_command(self) -> list[str]:
        return ["flux", "--version"]

    def submit_command(self, submission: batch.Submission) -> list[str]:
        place, log = os.fspath(submission.script.parent), os.fspath(submission.log)
        # These take precedence over the script's.  The log's path is absolute: on a node without the
        # directory the job fails, and would otherwise run in /tmp.  But Flux expands '{{id}}' in it.
        log = os.path.relpath(log, place) if "{{" in log else log
        name = batch.safe_job_name(submission.job_name, submission.token)
        options = [f"--job-name={name}", f"--cwd={place}", f"--output={log}"]
        return ["flux", "batch", *options, os.fspath(submission.script)]

    def parse_submission(self, result: batch.CommandResult) -> str | None:
        # Without the end of its line, the id may have been cut off.
        found = re.search(r"^(\S+)\n\Z", result.stdout, re.MULTILINE)
        return (found and decimal_id(found[1])) or None

    def jobs_command(self, user: str | None) -> list[str]:
        # Without -c 0 it lists 1,000, and says nothing about that in JSON.  An instance may keep all
        # jobs that ever ended.
        whose = ["-u", user] if user else ["-A"]
        return ["flux", "jobs", "-a", "--since=-7d", "-c", "0", "--json", *whose]

    def parse_jobs(self, text: str) -> Iterator[batch.BatchJob]:
        found = json.loads(text)
        # For one id, it prints that job alone.
        for row in [found] if "id" in found else found["jobs"]:
            state = row["result"] if row["state"] == "INACTIVE" else row["state"]
            if state == "SCHED" and row.get("urgency") == 0:
                state = "HELD"
            # Where none of the script ran, the exit code is Flux's own.
            code = row.get("returncode") if "waitstatus" in row else None
            nodes = hostlists.expand(row.get("nodelist") or "", unique=True)
            data = {"queue": row.get("queue") or "", "node_count": str(row.get("nnodes", ""))}
            token = batch.find_token(row.get("name") or "")
            yield batch.BatchJob(str(int(row["id"])), state, token, _reason(row), code, nodes, data)

    def cancel_command(self, job_ids: Sequence[str]) -> list[str]:
        return ["flux", "cancel", *job_ids]

    def parse_cancel(self, result: batch.CommandResult) -> dict[str, Failure]:
        found = re.findall(r"ERROR: (\S+): guests can only", result.stderr)
        return {decimal_id(job): Failure.DENIED for job in found}

    def hint(self, result: batch.CommandResult) -> str:
        signs = {"exceeds": "time_limit", "queue": "flux.queue", "hosts": "include_nodes"}
        return next((f"see schedule.{signs[sign]}" for sign in signs if sign in result.stderr), "")

    def _kickoff(self, *args: Any, **kwargs: Any) -> JobInfo:
        info = super()._kickoff(*args, **kwargs)
        return JobInfo({**info, "jobid": info["id"]}) if info["id"].isdigit() else info

    def _read_record(self, job_info: Mapping[str, object]) -> Any:
        """Also one of another program, where the id has any spelling."""
        shown = str(job_info.get("id", ""))
        return super()._read_record({**job_info, "id": decimal_id(shown) or shown})

    def nodes_command(self) -> list[str]:
        fields = "{state}|{queue}|{properties}|{nnodes}|{ncores}|{nodelist}"
        return ["flux", "resource", "list", "-s", ",".join(("all", *_STATES)), "-no", fields]

    def parse_nodes(self, text: str) -> list[NodeInfo]:
        nodes: dict[str, NodeInfo] = {}
        for line in text.splitlines():
            state, queues, properties, count, cores, hosts = line.split("|")
            for name in hostlists.expand(hosts):
                node = nodes.setdefault(name, {"name": name, "states": [], "cores": 0.0})
                node["states"].append(state)
                if state == "all":
                    node["cores"] += int(cores) / int(count)
                    for key, more in (("partitions", queues), ("features", properties)):
                        node[key] = sorted({*node.get(key, ()), *more.split(",")} - {""})
        for node in nodes.values():
            if not {"all"} < set(node["states"]):
                raise batch.UnreadableAnswer(f"it is cut off: {node['name']} is missing in a part")
            node["state"] = max(set(node["states"]) - {"all"}, key=_STATES.index)
            node["up"] = node["state"] != "down"
        if not nodes:
            raise batch.UnreadableAnswer("it has no nodes")
        return list(nodes.values())

    def _get_raw_node_data(self, sched_config: dict[str, Any]) -> tuple[list[Any], Any]:
        """The nodes; their cores (since 0.83), and why they are not usable."""
        nodes, _ = super()._get_raw_node_data(sched_config)
        run, fields = self._client.querying.run, "{state}|{nodelist}|{reason}"
        reasons = parse_reasons(run(["flux", "resource", "status", "-no", fields]).stdout)
        return nodes, (parse_cores(run(["flux", "resource", "R"]).stdout), reasons)

    def _transform_raw_node_data(
        self, sched_config: dict[str, Any], node_data: Any, extra: Any
    ) -> NodeInfo:
        node, (cores, reasons), section = dict(node_data), extra, sched_config["flux"]
        name, state, average = node["name"], node.pop("state"), round(node.pop("cores"))
        up = state in (set(section["up_states"]) & set(_STATES) or _STATES[:2])
        free = state in (set(section["avail_states"]) & set(_STATES) or _STATES[:1])
        cause = "" if up and free else reasons.get(name, state)
        node.update(up=up, available=up and free, cause=cause, states=[state])
        return {**node, "cpus": cores.get(name, average)}

    def _filter_custom(
        self, sched_config: dict[str, Any], node_name: str, node: NodeInfo
    ) -> str | None:
        for feature in sched_config["flux"]["features"]:
            # Flux has more operators; it judges these itself.
            simple = re.fullmatch(r"\w+([|]\w+)*", feature)
            if simple and not set(feature.split("|")).intersection(node["features"]):
                return f"no property {feature!r}"
        return super()._filter_custom(sched_config, node_name, node)

    def queues_command(self) -> list[str]:
        return ["flux", "queue", "list", "-no", "{queue}|{queuem}|{scheduling}"]

    def parse_queues(self, text: str) -> Iterator[batch.QueueInfo]:
        for line in text.splitlines():
            # The default one is marked. Without queues, there is a line without a name.
            name, marked, scheduling = line.split("|")
            stopped = "" if scheduling == "started" else scheduling
            yield batch.QueueInfo(name, stopped, marked.endswith("*"))

    def _get_alloc_nodes(self, job: Job) -> NodeList:
        """The nodes of the instance that this job is, as the one around it calls them."""
        result = self._client.querying.run(["flux", "kvs", "get", "resource.R"])
        nodes = list(parse_cores(result.stdout))
        if not nodes:
            raise SchedulerPluginError(f"This is not a job of Flux. {result.describe()}")
        return nodes

    def _get_alloc_job_id(self, job: Job) -> str | None:
        return decimal_id(os.environ.get("FLUX_ENCLOSING_ID", "")) or None
