"""Jobs for ``squeue --json``, in the layouts of 22.05 and 25.11."""

from __future__ import annotations

from ..engine import hostlist
from ..engine.store import Row
from . import arrays, filenames, gres, jobtext
from .context import Context
from .jsontext import INFINITE, Value, is_modern, number

# What no job of the fake has: of both layouts, then of one of them.
_TEXTS = """admin_comment batch_features burst_buffer burst_buffer_state
    cluster_features container federation_origin federation_siblings_active
    federation_siblings_viable het_job_id_set licenses mcs_label memory_per_tres prefer
    system_comment tres_bind tres_freq tres_per_socket""".split()
_ZEROS = """deadline delay_boot het_job_id het_job_offset max_cpus
    minimum_tmp_disk_per_node preempt_time pre_sus_time resize_time suspend_time tasks_per_board
    time_minimum""".split()
_NOTHING = """cores_per_socket cpu_frequency_minimum cpu_frequency_maximum
    cpu_frequency_governor memory_per_cpu sockets_per_node threads_per_core"""
_OLD_NULLS = [
    *_NOTHING.split(),
    "thread_spec",
    "tasks_per_core",
    "tasks_per_socket",
    "profile",
    "shared",
]
_NEW_TEXTS = """container_id cron extra licenses_allocated network scheduled_nodes
    selinux_context""".split()
_NEW_LISTS = ("job_size_str", "mail_type", "priority_by_partition", "shared")


def jobs(context: Context, rows: list[Row]) -> list[Value]:
    """Jobs as ``squeue --json`` prints them in this release."""
    make = _modern if is_modern(context) else _old
    return [make(context, row) for row in rows]


def _common(context: Context, job: Row) -> dict[str, Value]:
    """What is the same in both layouts."""
    reason, _, _ = job["reason"].partition(",")
    wishes = gres.shown(job)
    return {
        **dict.fromkeys(_TEXTS, ""),
        "account": job["account"] or "",
        "association_id": 0,
        "array_task_string": arrays.task_text(job, "", context.environment)
        if arrays.waiting(job)
        else "",
        "cpus_per_tres": wishes.get("cpus", ""),
        "gres_detail": gres.detail(context.machine, job),
        **{f"tres_per_{kind}": wishes.get(kind, "") for kind in ("job", "node", "task")},
        "batch_flag": job["kind"] == "batch",
        "batch_host": next(iter(job["alloc"]), ""),
        "cluster": context.description["name"],
        "command": job["command"] or "",
        "comment": job["comment"] or "",
        "contiguous": False,
        "dependency": job["dependency"],
        "excluded_nodes": hostlist.fold(job["exc_nodes"]),
        "features": job["features"],
        "group_id": job["gid"],
        "group_name": job["group"],
        "job_id": job["id"],
        "name": job["name"],
        "nodes": jobtext.nodes(job),
        "partition": job["partition"],
        "qos": job["qos"] or "",
        "reboot": False,
        "required_nodes": hostlist.fold(job["req_nodes"]),
        "requeue": job["requeue"],
        "restart_cnt": jobtext.restarts(job),
        "resv_name": job["reservation"],
        "sockets_per_board": 0,
        "standard_input": job["std_in"],
        "state_description": job["reason"] if "," in job["reason"] else "",
        "state_reason": reason,
        "tres_req_str": jobtext.tres_asked(job, context.machine.memory_of(job)),
        "tres_alloc_str": jobtext.tres_allocated(job),
        "user_id": job["uid"],
        "user_name": job["user"],
        "wckey": job["wckey"] or "",
        "current_working_directory": job["workdir"],
    }


def _times(job: Row) -> dict[str, int]:
    accrued = job["eligible"] if job["start"] or job["begin"] or job["reason"] != "None" else None
    found = {
        "accrue_time": accrued,
        "eligible_time": job["eligible"],
        "start_time": jobtext.start_time(job),
        "end_time": jobtext.end_time(job),
        "last_sched_evaluation": job["evaluated"],
        "submit_time": job["submit"],
    }
    return {key: int(value or 0) for key, value in found.items()}


def _counts(job: Row) -> dict[str, int | None]:
    never_ran = job["state"] != "PENDING" and not job["alloc"]
    return {
        "cpus": None if never_ran else jobtext.cpu_count(job),
        "tasks": None if never_ran else jobtext.task_count(job),
        "node_count": jobtext.node_count(job),
        "tasks_per_node": job["ntasks_per_node"] or 0,
        "minimum_cpus_per_node": (job["ntasks_per_node"] or 1) * job["cpus_per_task"],
        "priority": job["priority"],
        "array_job_id": job["array_job"] or 0,
        "array_task_id": job["array_task"],
        "array_max_tasks": job["array_throttle"],
    }


def _old(context: Context, job: Row) -> Value:
    # As requested at first: a started job no longer has one.
    most = job["max_nodes"] or 0 if not job["alloc"] else 0
    return {
        **_common(context, job),
        **_times(job),
        **_counts(job),
        **dict.fromkeys(_ZEROS, 0),
        **dict.fromkeys(_OLD_NULLS),
        "billable_tres": float(jobtext.cpu_count(job)) if job["alloc"] else None,
        "core_spec": job["core_spec"],
        "derived_exit_code": 0,
        "cpus_per_task": job["cpus_per_task"] if job["cpus_per_task"] > 1 else None,
        "exit_code": job["exit_code"] << 8 | job["exit_signal"],
        "job_state": jobtext.state(job),
        "max_nodes": most,
        "memory_per_node": job["memory"] or None,
        "nice": job["nice"] or None,
        "show_flags": ["SHOW_ALL", "SHOW_DETAIL", "SHOW_LOCAL"],
        "standard_error": job["std_err"] or "",
        "standard_output": job["std_out"] or "",
        "time_limit": job["limit"],
    }


def _modern(context: Context, job: Row) -> Value:
    numbers = {
        **_times(job),
        **_counts(job),
        **dict.fromkeys(_ZEROS, 0),
        "tasks_per_tres": 0,
        "preemptable_time": 0,
        "memory_per_node": job["memory"],
        "cpus_per_task": job["cpus_per_task"],
        "max_nodes": job["max_nodes"] or 0,
    }
    row = {
        **_common(context, job),
        **{key: number(value) for key, value in numbers.items()},
        **dict.fromkeys(_NEW_TEXTS, ""),
        **{key: [] for key in _NEW_LISTS},
        **{key: number(None) for key in _NOTHING.split()},
        "tasks_per_core": INFINITE,
        "tasks_per_socket": INFINITE,
        "power": {"flags": []},
        "allocating_node": context.description["host"],
        "derived_exit_code": _exit(0, 0),
        "exit_code": _exit(job["exit_code"], job["exit_signal"]),
        "failed_node": job.get("failed_node") or "",
        "hold": bool(job["hold"]),
        "job_state": _states(job),
        "mail_user": job["user"],
        "maximum_switch_wait_time": 0,
        "nice": job["nice"],
        "profile": ["NOT_SET"],
        "required_switches": 0,
        "segment_size": 0,
        "standard_error": job["std_err"] or "",
        "standard_output": filenames.asked(job, "std_out"),
        **{
            f"{kind.replace('_', '')}_expanded": filenames.shown(job, kind, context.release)
            for kind in ("std_in", "std_out", "std_err")
        },
        "submit_line": job["submit_line"],
        "time_limit": INFINITE if job["limit"] is None else number(job["limit"]),
    }
    if job["core_spec"] is None:
        row.update(core_spec=0, thread_spec=32766)
    if not job["alloc"]:  # that of a started job names cores
        row.update(job_resources=None, billable_tres={**number(None), "number": 0.0})
    return row


def _states(job: Row) -> list[str]:
    if "state_shown" in job:
        return [job["state_shown"]]
    flags = ["COMPLETING"] * bool(job["completing"]) + ["CONFIGURING"] * bool(
        job.get("configuring")
    )
    return [job["state"], *flags]


def _exit(code: int, signal: int) -> Value:
    """The name of a signal is not known."""
    status = "SIGNALED" if signal else "ERROR" if code else "SUCCESS"
    unset = {"id": number(None), "name": ""}
    return {
        "status": [status],
        "return_code": number(code),
        "signal": {"id": number(signal)} if signal else unset,
    }
