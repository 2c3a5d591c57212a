"""Every key of the schedule section has an effect, or is refused."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from batch import faults
from batch.bench import Bench, job_of
from batch.sites import Can
from pavilion.schedulers.batch import supported
from pavilion.schedulers.config import CONFIG_DEFAULTS

# A value of each key that not every scheduler can support.
VALUES: Mapping[str, Any] = {
    "nodes": "2",
    "min_nodes": "2",
    "tasks": "3",
    "partition": "somewhere",
    "qos": "high",
    "account": "science",
    "reservation": "maintenance",
    "core_spec": "1",
    "time_limit": "17m",
    "include_nodes": "somenode",
    "exclude_nodes": "somenode",
    "across_nodes": "somenode",
    "chunking": {"size": "2"},
}
# What belongs to a key so that it makes a difference.
BESIDE: Mapping[str, Mapping[str, Any]] = {"min_nodes": {"nodes": "3"}}


def requested(bench: Bench, schedule: Mapping[str, Any]) -> str:
    """All that the scheduler gets for a test: its command's options, and those in the script."""
    test = bench.test(schedule)
    assert len(bench.try_start(test)) == 1, "the submit command was to fail"
    script = job_of(test).kickoff_path.read_text().splitlines()
    prefix = bench.plugin.DIRECTIVE_PREFIX
    lines = [line for line in script if line.startswith(prefix)]
    [call] = bench.faults.calls(bench.site.submit)[-1:]
    # Without what differs from job to job.
    words = [word for word in call.split() if "pav-" not in word and "/" not in word]
    return "\n".join([*lines, " ".join(words)])


SEVERAL = ("nodes", "min_nodes", "exclude_nodes", "across_nodes", "chunking")


@pytest.mark.parametrize(
    "key",
    [
        pytest.param(key, marks=[pytest.mark.needs(Can.HAVE_SEVERAL_NODES)] * (key in SEVERAL))
        for key in VALUES
    ],
)
def test_a_key_reaches_the_scheduler_or_is_refused(bench: Bench, key: str) -> None:
    section = {key: VALUES[key]}
    if key not in supported.used_keys(bench.plugin):
        message = bench.refused(section)
        assert f"schedule.{key} is set" in message and "has no effect" in message
        assert bench.faults.count(bench.site.submit) == 0
        return
    if key in supported.LAUNCH_KEYS and key not in bench.site.samples:
        # Tests get these as variables.
        return
    assert key in bench.site.samples, f"{bench.site.kind} needs a sample of {key}"
    section = {key: bench.site.samples[key], **BESIDE.get(key, {})}
    refuses = bench.site.refusal
    bench.faults.set(bench.site.submit, faults.fails(refuses.text, refuses.code, refuses.on_stdout))
    name = {"name": "the same"}
    plain = requested(bench, BESIDE.get(key, {}))
    with_key = requested(bench, section)
    assert plain != with_key, name
    value = section[key]
    if isinstance(value, str) and key not in ("time_limit", "across_nodes", "tasks"):
        added = set(with_key.splitlines()).difference(plain.splitlines())
        assert any(value in line for line in added), (value, added)


def test_all_keys_are_covered() -> None:
    common = set(CONFIG_DEFAULTS) - supported.PLACEMENT_KEYS - supported.LAUNCH_KEYS
    assert common - set(VALUES) == set()


def test_a_key_that_does_not_exist(bench: Bench) -> None:
    message = bench.refused({"partitoin": "main"})
    assert "partitoin" in message and "partition" in message
    assert bench.faults.count(bench.site.submit) == 0
