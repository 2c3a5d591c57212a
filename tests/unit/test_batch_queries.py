"""Queries that take several commands, and cancels of one job each, for any plugin of the family."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from pavilion.schedulers import (
    BatchJob,
    CommandResult,
    JobState,
    SchedulerPluginBatch,
    SchedulerPluginError,
    UnreadableAnswer,
)
from pavilion.schedulers.batch.client import MOST_COMMANDS, BatchClient
from pavilion.schedulers.lifecycle.job_table import QueryFailed


class Two(SchedulerPluginBatch):
    """Its list of jobs has ids only; a second command shows them."""

    COMMANDS = ("names", "show")
    STATES = {"runs": JobState.ACTIVE}

    def __init__(self) -> None:
        super().__init__("two", "For tests.")

    def jobs_command(self, user: str | None) -> list[str]:
        return ["names"]

    def nodes_command(self) -> list[str]:
        return ["names"]

    def next_command(self, result: CommandResult) -> list[str] | None:
        if result.argv[0] == "show" or not result.ok:
            return None
        if not result.stdout:
            raise UnreadableAnswer("it is cut off")
        return ["show", *result.stdout.split()]

    def parse_jobs(self, text: str) -> Iterator[BatchJob]:
        for job_id in text.split():
            yield BatchJob(job_id, "runs")

    def cancel_command(self, job_ids: Sequence[str]) -> list[str]:
        return ["cancel", *job_ids]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with the commands, which note their calls."""
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    for name, body in {"names": "echo 5 6", "show": 'echo "$@"', "cancel": "exec sleep 60"}.items():
        program = tmp_path / name
        program.write_text(f'#!/bin/bash\necho "$0 $*" >>{tmp_path}/calls\n{body}\n')
        program.chmod(0o755)
    return tmp_path


def calls(here: Path) -> list[str]:
    return [Path(line).name for line in (here / "calls").read_text().splitlines()]


def test_a_list_of_two_commands(here: Path) -> None:
    client = BatchClient(Two())
    assert set(client.jobs(None)) == {"5", "6"}
    assert calls(here) == ["names ", "show 5 6"]
    # Nodes, too, and what shows how jobs ended.
    assert client.ask(["names"]) == "5 6\n"
    assert client.query(["names"]).stdout == "5 6\n"


def test_an_answer_that_is_not_whole_is_none(here: Path) -> None:
    (here / "names").write_text("#!/bin/bash\n")
    client = BatchClient(Two())
    with pytest.raises(QueryFailed, match="The answer of 'names' cannot be used: it is cut off"):
        client.jobs(None)
    with pytest.raises(SchedulerPluginError, match="two could not be queried"):
        client.ask(["names"])


def test_whatever_fails_in_it_makes_the_answer_unreadable(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(self: Any, result: CommandResult) -> list[str]:
        raise KeyError("x")

    monkeypatch.setattr(Two, "next_command", fails)
    with pytest.raises(QueryFailed, match=r"Two\.next_command\(\) failed with KeyError"):
        BatchClient(Two()).jobs(None)


def test_it_does_not_go_on_for_ever(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Two, "next_command", lambda self, result: ["names"])
    with pytest.raises(QueryFailed, match="it takes more than"):
        BatchClient(Two()).jobs(None)
    assert len(calls(here)) <= MOST_COMMANDS + 1


def test_a_second_command_that_fails_is_the_failure(here: Path) -> None:
    (here / "show").write_text("#!/bin/bash\necho lost >&2; exit 3\n")
    with pytest.raises(QueryFailed, match="'show 5 6' failed with exit code 3: lost"):
        BatchClient(Two()).jobs(None)


def test_a_cancel_that_hangs_is_not_repeated_for_each_job(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Two, "CANCEL_BATCH", 1)
    client = BatchClient(Two())
    monkeypatch.setattr(client.querying, "_timeout", 0.5)
    results = client.cancel(["1", "2", "3"])
    assert calls(here) == ["cancel 1"]
    # Of each it is known that it is not known.
    assert [result.argv for result in results] == [("cancel", str(n)) for n in (1, 2, 3)]
    assert all(result.timed_out for result in results)
