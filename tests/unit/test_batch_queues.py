"""Queues of a scheduler with a list of them: those that do not exist, the default one, and those
whose jobs do not start."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from pavilion.schedulers import CommandResult, JobState, QueueInfo, SchedulerPluginBatch
from pavilion.schedulers.batch.dialect import JobRecord
from pavilion.schedulers.batch.queues import AGE, Queues


class Listing(SchedulerPluginBatch):
    """A scheduler with queues; its answers are lists of words."""

    TITLE = "Listing"
    STATES = {"Q": JobState.WAITING}
    QUEUE_KEYS = ("listing.queue", "partition")

    def __init__(self) -> None:
        super().__init__("listing", "For tests.")

    def queues_command(self) -> list[str]:
        return ["queues"]

    def parse_queues(self, text: str) -> Iterator[QueueInfo]:
        for line in text.splitlines():
            name, stopped, default = line.split("|")
            yield QueueInfo(name, stopped, default == "*")

    def nodes_command(self) -> list[str]:
        return ["nodes"]

    def parse_nodes(self, text: str) -> list[dict[str, Any]]:
        rows = [line.split("|") for line in text.splitlines()]
        return [
            {
                "name": name,
                "up": up == "up",
                "partitions": [each for each in queues.split(",") if each],
            }
            for name, up, queues in rows
        ]


class World:
    """The scheduler's commands, and a clock."""

    def __init__(self) -> None:
        self.now = 0.0
        self.answers = {
            "queues": "batch||*\ndebug|maintenance|\n",
            "nodes": "n1|up|batch\nn2|down|batch\nn3|up|batch,debug\n",
        }
        self.calls: list[tuple[str, str]] = []
        self.queues = Queues(Listing(), self.run, lambda: self.now)

    def run(self, argv: Sequence[str], cluster: str) -> CommandResult:
        self.calls.append((argv[0], cluster))
        text = self.answers.get(argv[0])
        return CommandResult(tuple(argv), 0 if text is not None else 1, text or "", "", 0.1)


@pytest.fixture
def world() -> World:
    return World()


def problem(world: World, **config: Any) -> str:
    found = world.queues.problem({"partition": None, "listing": {"queue": None}, **config})
    return "" if found is None else str(found.msg)


def test_a_queue_that_does_not_exist(world: World) -> None:
    assert problem(world) == "" == problem(world, partition="batch")
    assert problem(world, listing={"queue": "debug"}, partition="nosuch") == ""
    text = problem(world, partition="batsh")
    assert text == (
        "Bad value for schedule.partition: there is no queue 'batsh' (there are: batch, debug). Did "
        "you mean 'batch'?"
    )
    assert "schedule.listing.queue" in problem(world, listing={"queue": "x"}, partition="batch")
    # One query serves for a while.
    assert world.calls == [("queues", "")]
    world.now += AGE + 1
    world.answers["queues"] = "||\n"
    assert "Listing has no queues here; leave it out" in problem(world, partition="batch")


@pytest.mark.parametrize("answer", [None, "garbage\n"])
def test_where_the_scheduler_does_not_say(world: World, answer: str | None) -> None:
    if answer is None:
        del world.answers["queues"]
    else:
        world.answers["queues"] = answer
    assert problem(world, partition="nosuch") == ""
    assert world.queues.left_out({}, ["debug"]) is None
    assert world.queues.why_waiting(job("batch", "1"), "") == ""


def test_nodes_outside_of_the_default_queue(world: World) -> None:
    reason = world.queues.left_out({"partition": None}, ["debug"])
    assert reason == 'not in the default queue "batch" (schedule.listing.queue names another)'
    assert world.queues.left_out({"partition": None}, ["debug", "batch"]) is None
    assert world.queues.left_out({"partition": "debug"}, ["debug"]) is None
    assert world.queues.left_out({"listing": {"queue": "debug"}}, ["debug"]) is None
    world.queues.forget()
    world.answers["queues"] = "batch||\ndebug||\n"
    assert world.queues.left_out({"partition": None}, ["debug"]) is None


def job(queue: str, count: str) -> JobRecord:
    return JobRecord("1", "Q", {"queue": queue, "node_count": count})


def test_why_a_job_waits(world: World) -> None:
    why = world.queues.why_waiting
    assert why(job("batch", "2"), "") == ""
    assert why(job("batch", "3"), "") == (
        "it needs 3 nodes, and 2 of its queue are usable; the others are down or drained"
    )
    assert why(job("debug", "1"), "") == "its queue, debug, starts no jobs (maintenance)"
    assert why(job("batch", ""), "") == ""
    assert why(job("batch", "1"), "", ["n1", "n2"]) == "it must have n2, down or drained"
    assert why(job("batch", "1"), "", ["n1", "n9"]) == ""
    assert world.calls == [("queues", ""), ("nodes", "")]
    # Each cluster has its own.
    assert why(job("batch", "2"), "other") == ""
    assert world.calls[2:] == [("queues", "other"), ("nodes", "other")]
    world.now += AGE + 1
    world.answers.update(queues="|stopped by ann|\n", nodes="n1|up|\nn2|down|\n")
    assert why(job("", "1"), "") == "the scheduler starts no jobs (stopped by ann)"
    world.queues.forget()
    world.answers["queues"] = "||\n"
    assert why(job("", "2"), "") == (
        "it needs 2 nodes, and 1 are usable; the others are down or drained"
    )
    world.queues.forget()
    del world.answers["nodes"]
    assert why(job("", "2"), "") == ""
