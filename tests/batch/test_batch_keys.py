"""Every key of the schedule section has an effect, or is refused."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from batch import faults
from batch.bench import Bench, job_of
from batch.sites import Can
from pavilion.schedulers.batch import supported
from pavilion.schedulers.config import KEYS

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
# Their values are written in another form.
REPHRASED = ("time_limit", "across_nodes")


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
    refusal = bench.site.refusal
    bench.faults.set(bench.site.submit, faults.fails(refusal.text, refusal.code, refusal.on_stdout))
    if key not in supported.used_keys(bench.plugin):
        message = bench.refused({key: VALUES[key]})
        assert f"schedule.{key} is set" in message and "has no effect" in message
        assert bench.faults.count(bench.site.submit) == 0
        return
    beside = BESIDE.get(key, {})
    if key not in bench.site.samples:
        # Tests get these as variables, and start that many tasks.
        assert key in supported.LAUNCH_KEYS, f"{bench.site.kind} needs a sample of {key}"
        assert "has no effect" not in bench.refused({key: VALUES[key], **beside})
        return
    value = bench.site.samples[key]
    plain = requested(bench, beside)
    with_key = requested(bench, {key: value, **beside})
    added = set(with_key.splitlines()).difference(plain.splitlines())
    assert added, f"schedule.{key} makes no difference"
    if isinstance(value, str) and key not in REPHRASED:
        assert any(value in line for line in added), (value, added)


def test_all_keys_are_covered() -> None:
    common = {key.name for key in KEYS} - supported.PLACEMENT_KEYS - supported.LAUNCH_KEYS
    assert common - set(VALUES) == set()


def test_a_key_that_does_not_exist(bench: Bench) -> None:
    message = bench.refused({"partitoin": "main"})
    assert "partitoin" in message and "partition" in message
    assert bench.faults.count(bench.site.submit) == 0
