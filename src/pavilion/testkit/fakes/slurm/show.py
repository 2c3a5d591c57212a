"""``scontrol show``: nodes, jobs, partitions, the configuration."""

from __future__ import annotations

import re
import time

from ..engine import hostlist
from ..engine.machine import Machine, Node, visible_jobs
from ..engine.options import Unsupported
from ..engine.store import Row
from . import arrays, dependency, filenames, gres, jobtext, nodestate, releases
from .context import Context
from .errors import ACCESS_DENIED, BAD_JOB, SlurmError
from .releases import MODERN, NO_WATTS, TRES_OF_BOTH
from .times import clock, stamp


class View:
    """What to show, and how: on one line per item, hidden things too."""

    def __init__(self, context: Context, one_line: bool, everything: bool) -> None:
        self.context = context
        self.one_line = one_line
        self.everything = everything or context.is_administrator

    def item(self, lines: list[str], blank: int = 1) -> None:
        """Write one item: its lines below each other, indented, or behind each other."""
        if self.one_line:
            self.context.line(" ".join(lines))
        else:
            self.context.line("\n   ".join(lines) + "\n" * blank)

    def stamp(self, moment: float | None, none: str = "Unknown") -> str:
        """A moment as the user's environment wants it, and ``none`` for None."""
        return stamp(moment, self.context.environment, none)


# -- nodes ---------------------------------------------------------------------------------------


def nodes(view: View, name: str) -> int:
    """Run ``scontrol show node``, of all if there is no name; its exit code."""
    context = view.context
    try:
        context.ask("REQUEST_NODE_INFO")
        context.ask("REQUEST_PARTITION_INFO")
        if context.nodes_are_private:
            raise SlurmError(ACCESS_DENIED)
    except SlurmError as error:
        context.err(f"slurm_load_node error: {error.text}")
        return 1
    machine = Machine(context.store, context.now, context.description)
    partitions = machine.partitions_of_nodes(view.everything)
    listed = {node.name: node for node in machine.nodes if not nodestate.is_hidden(machine, node)}
    chosen = list(listed.values())
    code = 0
    if name:
        try:
            wanted = hostlist.expand(name)
        except hostlist.HostlistError:
            wanted = [name]
        for each in [each for each in wanted if each not in listed]:
            context.line(f"Node {each} not found")
            code = 1
        chosen = [listed[each] for each in wanted if each in listed]
    used = context.store.last_use()
    for node in chosen:
        view.item(_node_lines(view, node, partitions.get(node.name, []), used.get(node.name)))
    return code


def _node_lines(view: View, node: Node, partitions: list[str], used: float | None) -> list[str]:
    release, row = view.context.release, node.row
    features = row["features"] or "(null)"
    # A space after CoresPerSocket, OS and Partitions is as in the real text.
    effective = f"CPUEfctv={node.cpus} " if release >= (22, 5) else ""
    known = not row["power"] or row["power"] == "up" or row["booted"]  # it was up once
    version = f"Version={releases.full(release)}" if known else ""
    unknown_load = "0.00" if release >= MODERN else "N/A"
    lines = [
        f"NodeName={node.name} {'Arch=x86_64 ' if known else ''}CoresPerSocket=1 ",
        f"CPUAlloc={node.allocated} {effective}CPUTot={node.cpus} "
        f"CPULoad={'0.10' if known else unknown_load}",
        f"AvailableFeatures={features}",
        f"ActiveFeatures={features}",
        f"Gres={gres.of_node(node)}",
        f"NodeAddr=127.0.0.1 NodeHostName={view.context.description['host']} Port=6818 {version}",
        *(
            ["OS=Linux 6.1.0-18-amd64 #1 SMP PREEMPT_DYNAMIC Debian 6.1.76-1 (2024-02-01) "]
            if known
            else []
        ),
        f"RealMemory={node.memory} AllocMem=0 FreeMem={node.memory if known else 'N/A'} "
        f"Sockets={node.cpus} Boards=1",
        f"State={nodestate.of_node(node, release)} ThreadsPerCore=1 TmpDisk=0 Weight=1 "
        "Owner=N/A MCS_label=N/A",
    ]
    if partitions:
        lines.append(f"Partitions={','.join(partitions)} ")
    booted = row["booted"] or (view.context.description["started"] if known else None)
    lines.append(
        f"BootTime={view.stamp(booted, 'None')} SlurmdStartTime={view.stamp(booted, 'None')}"
    )
    if release >= (22, 5):
        busy = used or (None if node.is_off else booted)
        lines.append(
            f"LastBusyTime={view.stamp(busy)}"
            + (" ResumeAfterTime=None" if release >= MODERN else "")
        )
    lines.append(f"CfgTRES=cpu={node.cpus},mem={node.memory}M,billing={node.cpus}")
    lines.append(f"AllocTRES={f'cpu={node.allocated}' if node.allocated else ''}")
    lines += (
        ["CurrentWatts=0 AveWatts=0"]
        if release >= NO_WATTS
        else [
            "CapWatts=n/a",
            "CurrentWatts=0 AveWatts=0",
            "ExtSensorsJoules=n/s ExtSensorsWatts=0 ExtSensorsTemp=n/s",
        ]
    )
    if row["reason"]:
        first, *rest = row["reason"].split("\n")
        lines.append(f"Reason={first} [{row['reason_user']}@{view.stamp(row['reason_time'])}]")
        lines += [f"       {line}" for line in rest]
    if release >= (23, 2):
        held = [each["name"] for each in _reservations_of(view, node.name)]
        lines += [f"ReservationName={name}" for name in held[:1]]
    return lines


def _reservations_of(view: View, node: str) -> list[Row]:
    return [
        each
        for each in view.context.store.reservations()
        if node in each["nodes"] and each["start"] <= view.context.now < each["end"]
    ]


# -- jobs ----------------------------------------------------------------------------------------


def jobs(view: View, name: str) -> int:
    """Run ``scontrol show job``, of all if there is no name; its exit code."""
    context = view.context
    single = arrays.parse_target(name)
    if name and (single is None or "[" in name):
        if re.fullmatch(r"\d+[+].*", name):
            raise Unsupported("scontrol: heterogeneous jobs")
        context.err("scontrol_print_job error: Invalid job id specified")
        return 1
    try:
        context.ask("REQUEST_JOB_INFO_SINGLE" if single else "REQUEST_JOB_INFO")
        shown = [
            job
            for job in visible_jobs(context.store, context.description, context.now)
            if not context.hidden_by_fault(job)
        ]
        if single is not None:
            ids = [job["id"] for job in arrays.records(context.store, single.number)]
            shown = sorted(
                (job for job in shown if job["id"] in ids), key=lambda job: ids.index(job["id"])
            )
        if single and not shown:
            raise SlurmError(BAD_JOB)
    except SlurmError as error:
        context.err(f"slurm_load_jobs error: {error.text}")
        return 1
    if single is not None and single.tasks is not None:
        shown = [job for job in arrays.expanded(shown) if job["array_task"] in single.tasks]
        if not shown:
            context.line(f"Job {name} not found")
            return 1
    if not single and not view.everything:
        hidden = {each["name"] for each in context.description["partitions"] if each["hidden"]}
        shown = [job for job in shown if job["partition"] not in hidden]
    if not shown:
        context.line("No jobs in the system")
    for job in shown:
        view.item(_job_lines(view, job), blank=1)
    return 0


def _job_lines(view: View, job: Row) -> list[str]:
    first = [
        f"JobId={job['id']} {_array(view, job)}JobName={job['name']}",
        f"UserId={job['user']}({job['uid']}) GroupId={job['group']}({job['gid']}) MCS_label=N/A",
        f"Priority={job['priority']} Nice={job['nice']} Account={job['account'] or '(null)'} "
        f"QOS={job['qos'] or '(null)'}",
        f"JobState={jobtext.state(job)} Reason={job['reason'].replace(' ', '_')} "
        f"{_failed_node(view, job)}Dependency={dependency.shown(job)}",
        f"Requeue={int(job['requeue'])} Restarts={jobtext.restarts(job)} "
        f"BatchFlag={int(job['kind'] == 'batch')} Reboot=0 "
        f"ExitCode={job['exit_code']}:{job['exit_signal']}",
    ]
    return [*first, *_time_lines(view, job), *_place_lines(view, job), *_file_lines(view, job)]


def _array(view: View, job: Row) -> str:
    if not arrays.is_array(job):
        return ""
    throttle = job["array_throttle"]
    tasks = arrays.task_text(job, str(arrays.task_number(job)), view.context.environment)
    return f"ArrayJobId={job['array_job']} ArrayTaskId={tasks} " + (
        f"ArrayTaskThrottle={throttle} " if throttle else ""
    )


def _failed_node(view: View, job: Row) -> str:
    name = job.get("failed_node")
    return f"FailedNode={name} " if name and view.context.release >= MODERN else ""


def _time_lines(view: View, job: Row) -> list[str]:
    limit = "UNLIMITED" if job["limit"] is None else clock(job["limit"] * 60)
    # It begins to age when the scheduler has looked at it.
    accrued = job["eligible"] if job["start"] or job["begin"] or job["reason"] != "None" else None
    return [
        f"RunTime={clock(jobtext.used(job, view.context.now))} TimeLimit={limit} TimeMin=N/A",
        f"SubmitTime={view.stamp(job['submit'])} EligibleTime={view.stamp(job['eligible'])}",
        f"AccrueTime={view.stamp(accrued)}",
        f"StartTime={view.stamp(jobtext.start_time(job))} "
        f"EndTime={view.stamp(jobtext.end_time(job))} Deadline=N/A",
        f"SuspendTime=None SecsPreSuspend=0 LastSchedEval={view.stamp(job['evaluated'])} "
        "Scheduler=Main",
    ]


def _place_lines(view: View, job: Row) -> list[str]:
    count, release = jobtext.node_count(job), view.context.release
    pending = job["state"] == "PENDING" and job["reason"] not in ("None", "Priority")
    shown = f"{count}-{job['max_nodes'] or count}" if pending and job["max_nodes"] else str(count)
    cpus, memory = jobtext.cpu_count(job), view.context.machine.memory_of(job)
    never_ran = job["state"] != "PENDING" and not job["alloc"]
    tasks = "N/A" if never_ran else jobtext.task_count(job)
    asked, allocated = jobtext.tres_asked(job, memory), jobtext.tres_allocated(job)
    per_node = job["ntasks_per_node"] or 0
    spec = "*" if job["core_spec"] is None else job["core_spec"]
    lines = [
        f"Partition={job['partition']} AllocNode:Sid={view.context.description['host']}:1",
        f"ReqNodeList={hostlist.fold(job['req_nodes']) or '(null)'} "
        f"ExcNodeList={hostlist.fold(job['exc_nodes']) or '(null)'}",
        f"NodeList={jobtext.nodes(job)}",
    ]
    if job["alloc"]:
        lines.append(f"BatchHost={next(iter(job['alloc']))}")
    lines.append(
        f"NumNodes={shown} NumCPUs={cpus} NumTasks={tasks} "
        f"CPUs/Task={job['cpus_per_task']} ReqB:S:C:T=0:0:*:*"
    )
    lines += (
        [f"ReqTRES={asked}", f"AllocTRES={allocated or '(null)'}"]
        if release >= TRES_OF_BOTH
        else [f"TRES={allocated or asked}"]
    )
    lines += [
        f"Socks/Node=* NtasksPerN:B:S:C={per_node}:0:*:* CoreSpec={spec}",
        f"MinCPUsNode={per_node * job['cpus_per_task'] or job['cpus_per_task']} "
        f"MinMemoryNode={jobtext.minimum_memory(job)} "
        "MinTmpDiskNode=0",
        f"Features={job['features'] or '(null)'} DelayBoot=00:00:00",
    ]
    if job["reservation"]:
        lines.append(f"Reservation={job['reservation']}")
    lines.append(
        f"OverSubscribe={jobtext.over_subscribe(job)} Contiguous=0 Licenses=(null) "
        + ("LicensesAlloc=(null) " if release >= MODERN else "")
        + "Network=(null)"
    )
    return lines


def _file_lines(view: View, job: Row) -> list[str]:
    context, release = view.context, view.context.release
    lines = [f"Command={job['command'] or '(null)'}"]
    if release >= MODERN:
        lines.append(f"SubmitLine={job['submit_line']}")
    lines.append(f"WorkDir={job['workdir']}")
    if job["comment"]:
        lines.append(f"Comment={job['comment']}{context.gap}")
    if job["kind"] == "batch":
        lines += [
            f"{title}={filenames.shown(job, kind, release)}"
            for title, kind in (("StdErr", "std_err"), ("StdIn", "std_in"), ("StdOut", "std_out"))
        ]
    if release < NO_WATTS:
        lines.append("Power=")
    wishes = gres.shown(job)
    lines += [
        f"{title}={wishes[kind]}"
        for title, kind in (
            ("CpusPerTres", "cpus"),
            ("TresPerJob", "job"),
            ("TresPerNode", "node"),
            ("TresPerTask", "task"),
        )
        if kind in wishes
    ]
    return lines if release >= NO_WATTS else [*lines, ""]


# -- partitions and configuration ----------------------------------------------------------------


def partitions(view: View, name: str) -> int:
    """Run ``scontrol show partition``, of all if there is no name; its exit code."""
    context = view.context
    try:
        context.ask("REQUEST_PARTITION_INFO")
    except SlurmError as error:
        context.err(f"slurm_load_partitions error: {error.text}")
        return 1
    machine = Machine(context.store, context.now, context.description)
    shown = [
        each
        for each in machine.partitions
        if each["name"] == name or (not name and (view.everything or not each["hidden"]))
    ]
    if name and not shown:
        context.line(f"Partition {name} not found")
        return 1
    for partition in shown:
        view.item(_partition_lines(machine, partition, context.release))
    return 0


def _partition_lines(machine: Machine, partition: Row, release: releases.Release) -> list[str]:
    members = [machine.by_name[name] for name in partition["nodes"]]
    cpus, memory = sum(node.cpus for node in members), sum(node.memory for node in members)
    longest = clock(partition["max_time"] * 60) if partition["max_time"] else "UNLIMITED"
    default = clock(partition["default_time"] * 60) if partition["default_time"] else "NONE"

    def yes(flag: str) -> str:
        return "YES" if partition[flag] else "NO"

    return [
        f"PartitionName={partition['name']}",
        "AllowGroups=ALL AllowAccounts=ALL AllowQos=ALL",
        f"AllocNodes=ALL Default={yes('default')} QoS=N/A",
        f"DefaultTime={default} DisableRootJobs=NO ExclusiveUser=NO "
        f"{'ExclusiveTopo=NO ' if release >= MODERN else ''}GraceTime=0 Hidden={yes('hidden')}",
        f"MaxNodes={partition['max_nodes'] or 'UNLIMITED'} MaxTime={longest} MinNodes=0 LLN=NO "
        "MaxCPUsPerNode=UNLIMITED" + (" MaxCPUsPerSocket=UNLIMITED" if release >= MODERN else ""),
        f"Nodes={hostlist.fold(partition['nodes'])}",
        "PriorityJobFactor=1 PriorityTier=1 RootOnly=NO ReqResv=NO OverSubscribe=NO",
        "OverTimeLimit=NONE PreemptMode=OFF",
        f"State={partition['state']} TotalCPUs={cpus} TotalNodes={len(members)} "
        "SelectTypeParameters=NONE",
        "JobDefaults=(null)",
        "DefMemPerNode=UNLIMITED MaxMemPerNode=UNLIMITED",
        f"TRES=cpu={cpus},mem={memory}M,node={len(members)},billing={cpus}",
    ]


def _topology_plugin(context: Context) -> str:
    if context.description["switches"]:
        return "topology/tree"
    return "topology/flat" if context.release >= MODERN else "topology/none"


def config(view: View, name: str) -> int:
    """The settings that the fake has a value for."""
    context = view.context
    try:
        context.ask("REQUEST_BUILD_INFO")
    except SlurmError as error:
        context.err(f"slurm_load_ctl_conf error:{context.gap}{error.text}")
        return 1
    settings = context.description["settings"]
    values = {
        "AccountingStorageType": "accounting_storage/slurmdbd"
        if context.description["accounting"]
        else "(null)"
        if context.release >= MODERN
        else "accounting_storage/none",
        "ClusterName": context.description["name"],
        "GresTypes": "gpu"
        if any(row["gpus"] is not None for row in context.store.nodes())
        else "(null)",
        "KillWait": f"{settings['kill_wait']:g} sec",
        "MaxArraySize": str(arrays.MAX_ARRAY_SIZE),
        "MaxJobCount": str(settings["max_job_count"]),
        "MessageTimeout": f"{settings['message_timeout']:g} sec",
        "MinJobAge": f"{settings['min_job_age']:g} sec",
        "PrivateData": ",".join(context.description["private_data"]) or "none",
        "ResumeTimeout": f"{settings['resume_timeout']:g} sec",
        "SelectType": "select/cons_tres",
        "SelectTypeParameters": "CR_CORE",
        "SLURM_VERSION": releases.full(context.release),
        "SlurmUser": f"{context.description['owner']}(0)",
        "SuspendTime": f"{settings['suspend_time']:g} sec"
        if settings["suspend_time"]
        else "INFINITE",
        "SuspendTimeout": f"{settings['suspend_timeout']:g} sec",
        "TopologyPlugin": _topology_plugin(context),
    }
    moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.localtime(context.now))
    context.line(f"Configuration data as of {moment}")
    for key, value in values.items():
        context.line(f"{key:<23} = {value}")
    context.line(f"\nSlurmctld(primary) at {context.description['host']} is UP")
    return 0
