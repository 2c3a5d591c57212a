"""What is known about nodes is stored with jobs and read by name."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from enum import IntEnum
from pathlib import Path
from typing import Any

import pytest

from pavilion.jobs import Job, JobError
from pavilion.schedulers.lifecycle import node_data
from pavilion.schedulers.lifecycle.node_data import NODES_FN, NodeData, load


class PickleJob(Job):
    """As the job of Pavilion 2.6: its node data is a pickle."""

    NODE_INFO_FN = "node_info.pkl"

    def save_node_data(self, nodes: Any) -> None:
        (self.path / self.NODE_INFO_FN).write_bytes(pickle.dumps(nodes))

    def load_sched_data(self) -> Any:
        # Written above.
        return pickle.loads((self.path / self.NODE_INFO_FN).read_bytes())  # noqa: S301


def machine(count: int) -> dict[str, Any]:
    return {f"n{number}": {"name": f"n{number}", "cpus": number} for number in range(count)}


@pytest.fixture
def make_job(tmp_path: Path) -> Callable[..., Any]:
    def make(kind: type[Job] = Job) -> Job:
        path = tmp_path / f"job{len(list(tmp_path.iterdir()))}"
        path.mkdir()
        return kind(path)

    return make


@pytest.fixture
def by_name_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail when everything that the host stored is read."""

    def fail(job: Job) -> Any:
        raise AssertionError("it was read as a whole")

    monkeypatch.setattr(Job, "load_sched_data", fail)
    monkeypatch.setattr(PickleJob, "load_sched_data", fail)


@pytest.mark.parametrize("kind", [Job, PickleJob])
@pytest.mark.usefixtures("by_name_only")
def test_nodes_are_read_by_name(make_job: Callable[..., Any], kind: type[Job]) -> None:
    nodes = machine(3000)
    job = make_job(kind)
    NodeData(nodes).saver(None)(job)
    for wanted in (["n0"], ["n2999", "n1", "n10"], [f"n{number}" for number in range(90, 200)]):
        assert load(job, wanted) == {name: nodes[name] for name in wanted}
    assert load(job, ["n17", "n3000", "m", "", "z"]) == {"n17": nodes["n17"]}


@pytest.mark.usefixtures("by_name_only")
def test_what_is_read_does_not_grow_with_the_machine(
    make_job: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []
    real = os.pread

    def counting(fd: int, size: int, offset: int) -> bytes:
        sizes.append(size)
        return real(fd, size, offset)

    monkeypatch.setattr(os, "pread", counting)
    for count, steps in ((1000, 10), (32_000, 15)):
        job = make_job()
        NodeData(machine(count)).saver(None)(job)
        sizes.clear()
        load(job, ["n1", "n700", "n701", "n999"])
        # The header; for each name, the first line tried and a binary search, of two reads each.
        assert 1 < len(sizes) <= 1 + 4 * 2 * (1 + steps)
        assert sum(sizes) < 150 * len(sizes)


class Color(IntEnum):
    RED = 1


VALUES: list[Any] = [
    True,
    1,
    1.0,
    -0.5,
    None,
    "",
    'tab\tline\nquote"backslash\\comma,\u00e9\u2028\U0001f600',
    ["a", 1, [True, None, {"b": []}]],
    {"1": {"x": [{}]}, "": 2},
    2**70,
    10.0**300,
]
NOT_JSON: list[Any] = [
    ("a", "b"),
    {1: "one"},
    {"deep": [{"x": ({},)}]},
    Color.RED,
    frozenset("a"),
    b"bytes",
    1j,
    {None: 1},
]


@pytest.mark.parametrize("value", VALUES, ids=repr)
@pytest.mark.usefixtures("by_name_only")
def test_types_of_values_survive(make_job: Callable[..., Any], value: Any) -> None:
    job = make_job()
    nodes: Any = {"n1": {"name": "n1"}, "n2": {"name": "n2", "plugin's": value}}
    NodeData(nodes).saver(None)(job)
    found = load(job, ["n2"])["n2"]["plugin's"]
    assert repr(found) == repr(value)


@pytest.mark.parametrize("value", NOT_JSON, ids=repr)
def test_what_json_would_change_is_left_to_the_host(
    make_job: Callable[..., Any], value: Any
) -> None:
    job = make_job(PickleJob)
    nodes: Any = {"n1": {"name": "n1"}, "n2": {"name": "n2", "plugin's": value}}
    NodeData(nodes).saver(None)(job)
    assert not (job.path / NODES_FN).exists()
    found = load(job, ["n2"])["n2"]["plugin's"]
    assert (type(found), found) == (type(value), value)


@pytest.mark.parametrize("name", ['quote"', "back\\", "\u00e9", "tab\t", "a b", "n1\n", "\ud800"])
@pytest.mark.usefixtures("by_name_only")
def test_names_of_any_kind(make_job: Callable[..., Any], name: str) -> None:
    job = make_job()
    nodes = {**machine(20), name: {"name": name}}
    NodeData(nodes).saver(None)(job)
    assert load(job, [name, "n1"]) == {name: {"name": name}, "n1": nodes["n1"]}


def test_a_job_of_an_earlier_version(make_job: Callable[..., Any]) -> None:
    job = make_job()
    job.save_node_data(machine(5))
    assert load(job, ["n1"])["n1"] == {"name": "n1", "cpus": 1}
    assert load(make_job(), ["n1"]) == {}


def test_many_names_are_read_with_the_host_s_file(make_job: Callable[..., Any]) -> None:
    job = make_job()
    nodes = machine(500)
    NodeData(nodes).saver(None)(job)
    assert load(job, list(nodes)) == nodes


def test_jobs_share_the_file_and_outlive_each_other(make_job: Callable[..., Any]) -> None:
    save = NodeData(machine(100)).saver(None)
    jobs = [make_job() for _ in range(3)]
    save(jobs[0])
    save(jobs[1])
    for name in (NODES_FN, Job.NODE_INFO_FN):
        first, second = ((job.path / name).stat().st_ino for job in jobs[:2])
        assert first == second
        (jobs[0].path / name).unlink()
    save(jobs[2])
    assert load(jobs[1], ["n5"]) == load(jobs[2], ["n5"]) == {"n5": {"name": "n5", "cpus": 5}}


@pytest.mark.usefixtures("by_name_only")
def test_without_hard_links_each_job_has_its_own(
    make_job: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: Any) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    save = NodeData(machine(100)).saver(None)
    for job in (make_job(), make_job()):
        save(job)
        assert load(job, ["n5"]) == {"n5": {"name": "n5", "cpus": 5}}
        assert (job.path / NODES_FN).stat().st_nlink == 1


def test_data_that_the_host_replaced_later_takes_precedence(make_job: Callable[..., Any]) -> None:
    job = make_job()
    NodeData(machine(10)).saver(None)(job)
    job.save_node_data({"n1": {"name": "n1", "cpus": 99}})
    later = (job.path / NODES_FN).stat().st_mtime_ns + 10**9
    os.utime(job.path / Job.NODE_INFO_FN, ns=(later, later))
    assert load(job, ["n1"])["n1"]["cpus"] == 99


# --------------------------------------------------------------------------------- damaged files


def test_a_file_with_any_byte_changed_or_missing_gives_no_wrong_data(
    make_job: Callable[..., Any],
) -> None:
    nodes = machine(12)
    job = make_job()
    NodeData(nodes).saver(None)(job)
    path = job.path / NODES_FN
    good = path.read_bytes()
    (job.path / Job.NODE_INFO_FN).unlink()
    for position in range(len(good)):
        flipped = bytes([good[position] ^ 1])
        for bad in (
            good[:position] + flipped + good[position + 1 :],
            good[:position],
            good[:position] + good[position + 1 :],
            good[:position] + b"0" + good[position:],
        ):
            path.write_bytes(bad)
            for name in ("n3", "n11"):
                # What is damaged is not known, as the host has nothing either.
                assert load(job, [name]).get(name) in (None, nodes[name])


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\n",
        b"pavilion-nodes 2 000000000001 000000000044\n",
        b"pavilion-nodes 1 999999999999 000000000044\n",
        b"pavilion-nodes 1 -00000000001 000000000044\n",
        b"[]" * 5000,
        b"\xff" * 100,
    ],
)
def test_a_damaged_file_is_replaced_by_the_host_s(
    make_job: Callable[..., Any], content: bytes
) -> None:
    nodes = machine(12)
    job = make_job()
    NodeData(nodes).saver(None)(job)
    (job.path / NODES_FN).write_bytes(content)
    assert load(job, ["n3"])["n3"] == nodes["n3"]
    (job.path / Job.NODE_INFO_FN).write_text("{")
    os.utime(job.path / Job.NODE_INFO_FN, ns=(0, 0))
    with pytest.raises(JobError, match=r"node data .*node_info\.json"):
        load(job, ["n3"])


def test_a_planted_link_or_pipe_is_not_followed(
    make_job: Callable[..., Any], tmp_path: Path
) -> None:
    nodes = machine(12)
    job, other = make_job(), make_job()
    NodeData(nodes).saver(None)(job)
    NodeData({"n3": {"name": "n3", "cpus": 666}}).saver(None)(other)
    (job.path / NODES_FN).unlink()
    (job.path / NODES_FN).symlink_to(other.path / NODES_FN)
    assert load(job, ["n3"])["n3"] == nodes["n3"]
    (job.path / NODES_FN).unlink()
    os.mkfifo(job.path / NODES_FN)
    assert load(job, ["n3"])["n3"] == nodes["n3"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_the_file_of_another_user_is_not_read(make_job: Callable[..., Any]) -> None:
    nodes = machine(12)
    job, other = make_job(), make_job()
    NodeData(nodes).saver(None)(job)
    assert node_data.save(f"{other.path}/{NODES_FN}", {"n3": {"cpus": 666}})
    (other.path / NODES_FN).replace(job.path / NODES_FN)
    os.chown(job.path / NODES_FN, 4711, 4711)
    assert load(job, ["n3"])["n3"] == nodes["n3"]


def test_a_full_disk_costs_only_the_speed(
    make_job: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    nodes = machine(12)
    job = make_job()
    job.save_node_data(nodes)

    def full(*args: Any, **kwargs: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(node_data.safe_files, "write_atomic", full)
    monkeypatch.setattr(Job, "save_node_data", lambda self, nodes: None)
    NodeData(nodes).saver(None)(job)
    assert load(job, ["n3"])["n3"] == nodes["n3"]
