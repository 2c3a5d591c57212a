"""GPUs: what jobs request (``--gres``, ``--gpus``, ...), where they fit, which ones they get.

``gpu`` is the one generic resource that there is. A node's are a list of their types (''
for none), and a job's are numbers in that list.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from ..engine import hostlist
from ..engine.machine import Machine, Node
from ..engine.options import Option, Unsupported, Usage
from ..engine.store import Row

OPTIONS = (
    Option("gres", "", "needed"),
    Option("gpus", "G", "needed"),
    Option("gpus-per-node", "", "needed"),
    Option("gpus-per-task", "", "needed"),
    Option("cpus-per-gpu", "", "needed"),
)
# Variable -> option, as sbatch reads them.
FROM_ENVIRONMENT = {
    "SBATCH_GRES": "gres",
    "SBATCH_GPUS": "gpus",
    "SBATCH_GPUS_PER_NODE": "gpus-per-node",
    "SBATCH_GPUS_PER_TASK": "gpus-per-task",
    "SBATCH_CPUS_PER_GPU": "cpus-per-gpu",
}
_VISIBLE = (
    "CUDA_VISIBLE_DEVICES",
    "GPU_DEVICE_ORDINAL",
    "ROCR_VISIBLE_DEVICES",
    "ZE_AFFINITY_MASK",
)
_INVALID = "Invalid generic resource (gres) specification"

Wish = dict[str, int]  # GPUs by type, '' for any


def devices(text: str) -> list[str]:
    """The types of a node's GPUs: 'gpu:2' is ['', ''], 'gpu:a100:1,gpu:k80:1' ['a100', 'k80'].

    :raises ValueError: for anything else.
    """
    found: list[str] = []
    for part in text.split(",") if text else []:
        name, *rest = part.split(":")
        if name != "gpu" or not rest or len(rest) > 2 or not rest[-1].isdigit():
            raise ValueError(f"'{part}' is not like gpu:2 or gpu:a100:2")
        found += [rest[0] if len(rest) == 2 else ""] * int(rest[-1])
    return found


# -- what is requested ---------------------------------------------------------------------------


def request(command: str, options: dict[str, str]) -> Row:
    """The wishes of a job: ``node``, ``job``, ``task`` (GPUs by type), and their words.

    :raises Usage: for what the client refuses.
    """

    def refuse(*lines: str) -> Usage:
        return Usage("".join(f"{command}: error: {line}\n" for line in lines), 1)

    texts = {
        name: options[name]
        for name in ("gpus-per-node", "gres", "gpus", "gpus-per-task")
        if options.get(name)
    }
    try:
        per_node = {
            **_wish(texts.get("gpus-per-node", ""), named=False),
            **_wish(texts.get("gres", ""), named=True),
        }
        per_job = _wish(texts.get("gpus", ""), named=False)
        per_task = _wish(texts.get("gpus-per-task", ""), named=False)
    except ValueError:
        raise refuse(_INVALID) from None
    if per_task and "gpus" not in texts and "ntasks" not in options:
        raise refuse(
            "Failed to validate job spec. --gpus-per-task used without either --gpus or "
            "-n/--ntasks is not allowed.",
            _INVALID,
        )
    cpus = options.get("cpus-per-gpu", "0")
    if not cpus.isdigit():
        raise refuse(f'Invalid numeric value "{cpus}" for --cpus-per-gpu.')
    if cpus != "0" and not texts:
        raise refuse(_INVALID)
    return {
        "node": per_node,
        "job": per_job,
        "task": per_task,
        "cpus": int(cpus),
        "texts": texts,
        "none": options.get("gres") == "",
    }


def _wish(text: str, *, named: bool) -> Wish:
    """:raises ValueError: for what is not a number of GPUs."""
    found: Wish = {}
    for part in text.split(",") if text and text != "none" else []:
        words = part.split(":")
        if named and words.pop(0) != "gpu":
            raise ValueError(part)
        if len(words) > 2 or (len(words) == 2 and not words[1].isdigit()):
            raise ValueError(part)
        count = words.pop() if words and words[-1].isdigit() else "1"
        found[words[0] if words else ""] = int(count)
    return found


def tasks(row: Row) -> int | None:
    """The number of tasks that follows from GPUs in all and GPUs per task."""
    wishes = row["gres"]
    if not wishes["task"] or not wishes["job"] or row["ntasks"]:
        return None
    per_task = max(1, sum(wishes["task"].values()))
    return max(1, int(sum(wishes["job"].values()) // per_task))


def wants_any(job: Row) -> bool:
    """Whether the job requests GPUs at all."""
    return any(sum(job["gres"][kind].values()) for kind in ("node", "job", "task"))


def shown(job: Row) -> dict[str, str]:
    """The wishes as the commands write them, by 'node', 'job', 'task' and 'cpus'."""
    texts = job["gres"]["texts"]
    per_node = []
    if "gpus-per-node" in texts:
        per_node += [f"gres:gpu:{part}" for part in texts["gpus-per-node"].split(",")]
    if texts.get("gres", "none") != "none":
        per_node += [f"gres:{part}" for part in texts["gres"].split(",")]
    found = {"node": ",".join(per_node)}
    for kind, option in (("job", "gpus"), ("task", "gpus-per-task")):
        found[kind] = ",".join(
            f"gres:gpu:{part}" for part in texts.get(option, "").split(",") if part
        )
    found["cpus"] = f"gres:gpu:{job['gres']['cpus']}" if job["gres"]["cpus"] else ""
    return {kind: text for kind, text in found.items() if text}


# -- where it fits -------------------------------------------------------------------------------


def free(node: Node, kind: str = "") -> int:
    """The free GPUs of a type, of all if none is given."""
    return sum(
        not kind or each == kind
        for number, each in enumerate(node.gpus)
        if number not in node.gpus_taken
    )


def _fits(node: Node, wish: Wish) -> bool:
    return all(free(node, kind) >= count for kind, count in wish.items()) and (
        free(node) >= sum(wish.values())
    )


def has_room(node: Node, job: Row) -> bool:
    """Whether the node has GPUs for the job's smallest share of it."""
    wishes = job["gres"]
    if not wants_any(job):
        return True
    if not _fits(node, wishes["node"]) or not _fits(node, wishes["task"]):
        return False
    if any(count and not free(node, kind) for kind, count in wishes["job"].items()):
        return False
    return bool(node.free >= wishes["cpus"] * max(1, sum(wishes["node"].values())))


def most_tasks(node: Node, job: Row, otherwise: int) -> int:
    """So many tasks find their GPUs on the node; ``otherwise`` when they want none."""
    return min(
        (free(node, kind) // count for kind, count in job["gres"]["task"].items() if count),
        default=otherwise,
    )


def could_ever(node: Node, job: Row) -> bool:
    """As ``has_room``, if nothing else ran on the node."""
    return not wants_any(job) or has_room(node.emptied(), job)


def could_be_enough(nodes: Sequence[Node], job: Row) -> bool:
    """As ``is_enough`` for those of the nodes that the job may use, if nothing else ran."""
    if not wants_any(job):
        return True
    empty = [node.emptied() for node in nodes]
    most = job["max_nodes"] or len(empty)
    empty = sorted(empty, key=lambda node: -len(node.gpus))[:most]
    if (
        job["ntasks"]
        and job["gres"]["task"]
        and sum(most_tasks(node, job, node.cpus) for node in empty) < job["ntasks"]
    ):
        return False
    return is_enough(empty, job)


def is_enough(nodes: Collection[Node], job: Row) -> bool:
    """Whether the nodes have the GPUs that the job wants in all."""
    return all(
        sum(free(node, kind) for node in nodes) >= count
        for kind, count in job["gres"]["job"].items()
    )


def _counted(kinds: Iterable[str]) -> str:
    numbers: dict[str, int] = {}
    for kind in kinds:
        numbers[kind] = numbers.get(kind, 0) + 1
    return ",".join(
        f"gpu:{kind}:{number}" if kind else f"gpu:{number}" for kind, number in numbers.items()
    )


def of_node(node: Node) -> str:
    """A node's GPUs as the commands write them: 'gpu:2', 'gpu:a100:1,gpu:k80:1'."""
    return _counted(node.gpus) or "(null)"


def used(node: Node) -> str:
    """The GPUs of the node that jobs have: 'gpu:1'; of types with their numbers."""
    if not any(node.gpus):
        return f"gpu:{len(node.gpus_taken)}"
    return _with_numbers(node.gpus, sorted(node.gpus_taken), dict.fromkeys(node.gpus))


def detail(machine: Machine, job: Row) -> list[str]:
    """The GPUs that a job has, by node: 'gpu:1(IDX:0)'."""
    found = []
    for name, numbers in job["gpus"].items() if job["state"] == "RUNNING" else ():
        kinds = machine.by_name[name].gpus
        found.append(_with_numbers(kinds, numbers, dict.fromkeys(kinds[each] for each in numbers)))
    return found


def _with_numbers(kinds: Sequence[str], numbers: Sequence[int], wanted: Iterable[str]) -> str:
    """'gpu:a100:1(IDX:0),gpu:k80:0(IDX:N/A)'."""
    parts = []
    for kind in wanted:
        own = [number for number in numbers if kinds[number] == kind]
        name = f"gpu:{kind}" if kind else "gpu"
        parts.append(f"{name}:{len(own)}(IDX:{hostlist.fold(map(str, own)).strip('[]') or 'N/A'})")
    return ",".join(parts)


# -- which ones it gets --------------------------------------------------------------------------


def assign(machine: Machine, job: Row, tasks_by_node: Sequence[int]) -> dict[str, list[int]]:
    """The numbers of the GPUs by node, for a job whose nodes are chosen; they are taken.

    A job that has its nodes for itself has all their GPUs.
    """
    nodes = [
        node
        for node in map(machine.by_name.__getitem__, job["alloc"])
        if node.gpus or not job["exclusive"]
    ]
    if not wants_any(job) and not job["exclusive"]:
        return {}
    shares = [dict.fromkeys(job["gres"]["node"], 0) for _ in nodes]
    for share, count in zip(shares, tasks_by_node):
        share.update(job["gres"]["node"])
        for kind, each in job["gres"]["task"].items():
            share[kind] = share.get(kind, 0) + each * count
    for kind, total in job["gres"]["job"].items():
        if not job["gres"]["task"]:
            for share, number in zip(shares, _share_out(nodes, kind, total)):
                share[kind] = share.get(kind, 0) + number
    found: dict[str, list[int]] = {}
    for node, share in zip(nodes, shares):
        left = [number for number in range(len(node.gpus)) if number not in node.gpus_taken]
        taken = left if job["exclusive"] else _pick(node, left, share)
        node.gpus_taken.update(taken)
        found[node.name] = taken
    return found


def _share_out(nodes: Sequence[Node], kind: str, total: int) -> list[int]:
    """One for each node, then node after node."""
    numbers = [min(1, total) for _ in nodes]
    left = total - sum(numbers)
    for position, node in enumerate(nodes):
        more = min(left, free(node, kind) - numbers[position])
        numbers[position] += more
        left -= more
    return numbers


def _pick(node: Node, left: list[int], share: Wish) -> list[int]:
    taken: list[int] = []
    for kind, count in sorted(share.items(), reverse=True):  # those of a type first
        fitting = [
            number for number in left if number not in taken and kind in ("", node.gpus[number])
        ]
        taken += fitting[:count]
    return sorted(taken)


# -- the environment -----------------------------------------------------------------------------


def _visible(numbers: Iterable[int]) -> dict[str, str]:
    text = ",".join(str(number) for number in numbers)
    return dict.fromkeys(_VISIBLE, text)


def job_environment(job: Row) -> dict[str, str]:
    """The variables that sbatch sets for what was requested."""
    names = {
        "gpus": "SLURM_GPUS",
        "gpus-per-node": "SLURM_GPUS_PER_NODE",
        "gpus-per-task": "SLURM_GPUS_PER_TASK",
    }
    found = {
        names[option]: text for option, text in job["gres"]["texts"].items() if option in names
    }
    if job["gres"]["cpus"]:
        found["SLURM_CPUS_PER_GPU"] = str(job["gres"]["cpus"])
    return found


def batch_environment(job: Row) -> dict[str, str]:
    """The variables of the batch script, on the job's first node."""
    numbers = job["gpus"].get(next(iter(job["alloc"])), [])
    if not numbers:
        return {}
    visible = _visible(numbers)
    return {
        **visible,
        "SLURM_JOB_GPUS": visible[_VISIBLE[0]],
        "SLURM_GPUS_ON_NODE": str(len(numbers)),
    }


def for_step(
    command: str, job: Row, options: dict[str, str], own: bool, layout: dict[str, int]
) -> dict[str, list[int]]:
    """The GPUs of a step by node: those of the job unless the step wants fewer.

    :param own: Whether the allocation is the step's own, made with the same options.
    :raises Unsupported: for wishes of a step that the fake does not know.
    """
    having = {name: job["gpus"].get(name, []) for name in layout}
    if own or not any(option.name in options for option in OPTIONS):
        # Those that came with the whole node are for steps that want them.
        return having if wants_any(job) else {name: [] for name in layout}
    if any(name in options for name in ("gpus-per-node", "gpus-per-task", "cpus-per-gpu")):
        raise Unsupported(f"{command}: GPUs of a step other than by --gres or --gpus")
    wishes = request(command, options)
    per_node, per_job = wishes["node"].get("", 0), wishes["job"].get("", 0)
    if {*wishes["node"], *wishes["job"]} - {""} or (per_job and len(layout) > 1):
        raise Unsupported(f"{command}: GPUs of a step by type, or --gpus on several nodes")
    least = min(len(numbers) for numbers in having.values())
    if max(per_node, per_job) > least:
        kind = "gres_per_node" if per_node else "gres_per_job"
        raise Usage(
            f"{command}: error: Step requested {kind}=gpu:{per_node or per_job} is more "
            f"than the job's {kind}=gpu:{least}\n{command}: error: Unable to create step "
            f"for job {job['id']}: {_INVALID}\n",
            1,
        )
    return {name: numbers[: max(per_node, per_job)] for name, numbers in having.items()}


def task_environment(job: Row, numbers: list[int], local: int) -> dict[str, str | None]:
    """The variables of a step's task on its node; None for those that it must not have."""
    if not numbers:
        return dict.fromkeys((*_VISIBLE, "SLURM_GPUS_ON_NODE", "SLURM_STEP_GPUS"))
    on_node = str(len(numbers))
    found: dict[str, str | None] = {}
    per_task = sum(job["gres"]["task"].values())
    if per_task:
        numbers = numbers[local * per_task : (local + 1) * per_task]
        found["SLURMD_TRES_BIND"] = f"gpu:per_task:{per_task}"
    visible = _visible(numbers)
    return {
        **found,
        **visible,
        "SLURM_STEP_GPUS": visible[_VISIBLE[0]],
        "SLURM_GPUS_ON_NODE": on_node,
    }
