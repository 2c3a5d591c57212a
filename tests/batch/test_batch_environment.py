"""The environment of a scheduler's commands, their timeouts, and what is missing."""

from __future__ import annotations

from pathlib import Path

import pytest

from batch import faults
from batch.bench import Bench, info, new_plugin
from batch.sites import Can


def environment(file: Path) -> dict[str, str]:
    words = file.read_bytes().decode(errors="replace").split("\0")
    return dict(word.split("=", 1) for word in words if "=" in word)


@pytest.mark.needs(Can.OBEY_VARIABLES)
def test_variables_that_change_commands_are_dropped_and_others_are_kept(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    rules = bench.plugin.ENVIRONMENT
    assert rules.drop, "its commands obey variables, and none is dropped"
    for prefix in rules.drop:
        monkeypatch.setenv(f"{prefix}PAV_TEST", "1")
    monkeypatch.setenv("PAV_TEST_KEPT", "mine")
    seen = {
        name: bench.host.folder / f"seen-{name}"
        for name in (bench.site.submit, bench.site.jobs, bench.site.cancel)
    }
    for name, file in seen.items():
        bench.faults.set(name, faults.writes_environment(file))
    test = bench.start({}, bench.long)
    bench.status(test)
    assert bench.plugin.cancel(info(test)) is None
    for name, file in seen.items():
        variables = environment(file)
        assert not [key for key in variables if key.endswith("PAV_TEST")], name
        assert variables["PAV_TEST_KEPT"] == "mine", name
        for key in rules.keep:
            assert variables.get(key) == bench.site.variables().get(key, variables.get(key)), name
        kept = bench.site.variables()
        assert all(variables[key] == kept[key] for key in kept if key != "PATH"), name
    # Jobs inherit the environment of the submit command, so nothing is set for it.
    assert environment(seen[bench.site.jobs])["LC_ALL"] == "C"


def test_a_job_gets_the_users_environment(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    seen = bench.host.folder / "seen"
    bench.faults.set(bench.site.submit, faults.writes_environment(seen))
    bench.start()
    assert environment(seen)["LC_ALL"] == "C.UTF-8"


# --- Commands that hang ---


def test_a_submit_command_that_hangs_and_does_nothing(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.learn_nodes()
    bench.timeouts(monkeypatch, 1.0)
    monkeypatch.setattr(bench.plugin._client.querying, "_timeout", 30.0)
    bench.faults.set(bench.site.submit, faults.hangs())
    message = bench.refused()
    assert "in 3 tries" in message and "gave no answer within" in message
    assert bench.ours() == []


@pytest.mark.needs(Can.LIST_NODES)
@pytest.mark.parametrize("fault", [faults.hangs(), faults.part(50), "exit 0", faults.fails("lost")])
def test_a_list_of_nodes_that_cannot_be_had(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    bench.timeouts(monkeypatch, 1.0)
    bench.faults.set(bench.site.nodes, fault)
    message = bench.refused({"nodes": "all"})
    assert bench.plugin.title in message
    assert bench.faults.count(bench.site.submit) == 0
    # It is queried again, once it answers.
    bench.faults.clear()
    bench.timeouts(monkeypatch, 60.0)
    bench.plugin.refresh()
    bench.learn_nodes()


# --- What is missing ---


def test_a_scheduler_without_its_commands_is_not_available(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert bench.plugin.available()
    monkeypatch.setenv("PATH", "/nonexistent")
    plugin = new_plugin(bench.site)
    assert not plugin.available()
    reason = plugin.unavailable_reason or ""
    assert "commands were not found in PATH" in reason and bench.site.submit.split()[0] in reason


def test_a_scheduler_that_does_not_answer_is_not_available(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not bench.plugin.ping_command():
        assert bench.site.ping == ""
        return
    bench.faults.set(bench.site.ping, faults.hangs())
    plugin = new_plugin(bench.site)
    monkeypatch.setattr(plugin._client.querying, "_timeout", 1.0)
    assert not plugin.available()
    reason = plugin.unavailable_reason or ""
    assert "does not answer" in reason and "gave no answer within" in reason
