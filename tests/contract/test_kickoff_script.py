"""Kickoff scripts and their headers (the contract, section 3)."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from fakes import FakeHost, FakePavConfig, FakeSched, FakeTest, active

from pavilion.errors import SchedulerPluginError
from pavilion.schedulers import (
    KickoffScriptHeader,
    SchedulerPluginAdvanced,
    SchedulerVariables,
    kickoff,
    validate_config,
)
from pavilion.schedulers.kickoff import GUARD
from pavilion.schedulers.plugins.raw import Raw

GOLDEN = Path(__file__).parent.parent / "golden"


@pytest.fixture
def host(tmp_path: Path) -> FakeHost:
    return FakeHost(tmp_path)


def text_of(script: Any, folder: Path) -> str:
    path = folder / "script.sh"
    script.write(path)
    return path.read_text()


# ----------------------------------------------------------------------------------- the header


class LinesHeader(KickoffScriptHeader):
    """What a scheduler's header is like: options, and variables called as methods."""

    def _kickoff_lines(self) -> list[str]:
        lines = [
            f'#FAKE --name "{self._job_name}"',
            f"#FAKE --time {self._config['time_limit']}",
            f"#FAKE --nodes {self._node_min}-{self._node_max}",
        ]
        if self._sched_vars.account():
            lines.append(f"#FAKE --account {self._sched_vars.account()}")
        if self._include_nodes:
            lines.append(f"#FAKE --include {','.join(self._include_nodes)}")
        if self._exclude_nodes:
            lines.append(f"#FAKE --exclude {','.join(self._exclude_nodes)}")
        return lines


class LinesSched(FakeSched):
    KICKOFF_SCRIPT_HEADER_CLASS = LinesHeader


def section(**schedule: Any) -> dict[str, Any]:
    return validate_config(schedule)


def test_fields_when_the_scheduler_picks_the_nodes() -> None:
    config = section(include_nodes="a[1-2]", exclude_nodes="b")
    sched_vars = SchedulerVariables(config)
    header = KickoffScriptHeader(
        job_name="job",
        sched_config=config,
        sched_vars=sched_vars,
        nodes=None,
        node_range=(2, 5),
        shebang="#!/bin/sh",
    )
    assert header._job_name == "job"
    assert header._config is config
    assert header._sched_vars is sched_vars
    assert header._include_nodes == ["a1", "a2"]
    assert header._exclude_nodes == ["b"]
    assert (header._node_min, header._node_max) == (2, 5)
    assert header.get_lines() == ["#!/bin/sh"]


def test_fields_when_the_nodes_are_picked() -> None:
    config = section(include_nodes="a1", exclude_nodes="b")
    header = KickoffScriptHeader(
        "job", config, SchedulerVariables(config), nodes=["a1", "a2", "a3"]
    )
    assert header._include_nodes == ["a1", "a2", "a3"]
    assert header._exclude_nodes == []
    assert (header._node_min, header._node_max) == (3, 3)
    assert header.get_lines() == ["#!/bin/bash"]


def test_no_upper_limit_and_nothing_at_all() -> None:
    assert KickoffScriptHeader("job", section(), None, node_range=(2, None))._node_max is None
    bare = KickoffScriptHeader("job", section())
    assert (bare._node_min, bare._node_max) == (1, 1)


def test_lines_of_a_subclass_stand_below_the_shebang() -> None:
    config = section(account="sci", time_limit="3")
    header = LinesHeader("my job", config, SchedulerVariables(config), ["a"], None, "#!/bin/zsh")
    assert header.get_lines() == [
        "#!/bin/zsh",
        '#FAKE --name "my job"',
        "#FAKE --time 3",
        "#FAKE --nodes 1-1",
        "#FAKE --account sci",
        "#FAKE --include a",
    ]


class OldByPosition(LinesHeader):
    """From before sched_vars was there."""

    def __init__(
        self,
        job_name: str,
        sched_config: Any,
        nodes: Any = None,
        node_range: Any = None,
        shebang: Any = None,
    ) -> None:
        self.extra = "set before"
        super().__init__(job_name, sched_config, nodes, node_range, shebang)


class OldByKeyword(LinesHeader):
    def __init__(
        self,
        job_name: str,
        sched_config: Any,
        nodes: Any = None,
        node_range: Any = None,
        shebang: Any = None,
    ) -> None:
        super().__init__(
            job_name=job_name,
            sched_config=sched_config,
            nodes=nodes,
            node_range=node_range,
            shebang=shebang,
        )


class OldWithRest(LinesHeader):
    def __init__(
        self,
        job_name: str,
        sched_config: Any,
        nodes: Any = None,
        node_range: Any = None,
        shebang: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(job_name, sched_config, nodes, node_range, shebang)


class NewByPosition(LinesHeader):
    def __init__(
        self,
        job_name: str,
        sched_config: Any,
        sched_vars: Any,
        nodes: Any = None,
        node_range: Any = None,
        shebang: Any = None,
    ) -> None:
        super().__init__(job_name, sched_config, sched_vars, nodes, node_range, shebang)


class PassesAll(LinesHeader):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)


HEADERS = [LinesHeader, OldByPosition, OldByKeyword, OldWithRest, NewByPosition, PassesAll]


@pytest.mark.parametrize("cls", HEADERS)
@pytest.mark.parametrize(
    ("nodes", "node_range", "shebang", "expected"),
    [
        (["a1", "a2"], None, None, ["#!/bin/bash", "--nodes 2-2", "--include a1,a2"]),
        (["a1"], None, "#!/bin/sh", ["#!/bin/sh", "--nodes 1-1", "--include a1"]),
        (None, (2, 5), None, ["#!/bin/bash", "--nodes 2-5", "--exclude b"]),
        (None, (2, None), "#!/bin/sh", ["#!/bin/sh", "--nodes 2-None", "--exclude b"]),
        (None, (2, 2), "#!/bin/sh", ["#!/bin/sh", "--nodes 2-2", "--exclude b"]),
        (None, None, "#!/bin/sh", ["#!/bin/sh", "--nodes 1-1", "--exclude b"]),
    ],
)
def test_old_and_new_header_classes_get_the_same(
    cls: type[KickoffScriptHeader], nodes: Any, node_range: Any, shebang: Any, expected: list[str]
) -> None:
    class Sched(FakeSched):
        KICKOFF_SCRIPT_HEADER_CLASS = cls

    header = Sched()._get_kickoff_script_header(
        job_name="job",
        sched_config=section(account="sci", exclude_nodes="b"),
        nodes=nodes,
        node_range=node_range,
        shebang=shebang,
    )
    lines = header.get_lines()
    # Variables can be had in all of them.
    assert "#FAKE --account sci" in lines
    assert '#FAKE --name "job"' in lines
    for line in expected:
        assert line in [word.replace("#FAKE ", "") for word in lines]
    assert ("--exclude b" in expected) == any("--exclude" in line for line in lines)


def test_a_header_that_fails_is_reported_and_loses_no_test(host: FakeHost) -> None:
    class Broken(KickoffScriptHeader):
        def __init__(self, job_name: str) -> None:
            raise AssertionError("never called with these")

    class Failing(KickoffScriptHeader):
        def _kickoff_lines(self) -> list[str]:
            raise RuntimeError("no lines today")

    for cls, reason in ((Broken, "Broken"), (Failing, "no lines today")):

        class Sched(FakeSched):
            KICKOFF_SCRIPT_HEADER_CLASS = cls  # type: ignore[assignment]

        plugin, test = Sched(), host.test()
        errors = plugin.schedule_tests(host.pav_cfg, [test])
        assert [error.tests for error in errors] == [[test]]
        assert reason in errors[0].pformat()
        assert test.complete
        assert plugin.kickoffs == []


# ----------------------------------------------------------------------------------- the script


@pytest.fixture
def fixed(monkeypatch: pytest.MonkeyPatch) -> FakePavConfig:
    """Settings that do not depend on where tests run."""
    monkeypatch.setenv("PAV_CONFIG_DIR", "/home/user/my config")
    cfg = FakePavConfig(Path("/opt/pavilion"), Path("/work"))
    cfg.pav_cfg_file = Path("/home/user/my config/pavilion.yaml")
    cfg.env_setup = ["module load gcc", "export SITE=here"]
    return cfg


def check_golden(name: str, text: str) -> None:
    """Compare with a stored script; UPDATE_GOLDEN=1 in the environment stores it."""
    path = GOLDEN / name
    # Where Python and the guard are differs from machine to machine.
    guard = f"{shlex.quote(sys.executable)} -I -S {shlex.quote(str(GUARD))}"
    text = text.replace(guard, "/usr/bin/python3 -I -S /opt/pavilion/schedulers/lifecycle/guard.py")
    if os.environ.get("UPDATE_GOLDEN"):
        path.write_text(text)
    assert text == path.read_text()


class NodesSched(SchedulerPluginAdvanced):
    """An advanced scheduler of three nodes."""

    KICKOFF_SCRIPT_HEADER_CLASS = LinesHeader

    def __init__(self) -> None:
        super().__init__("nodes", "Three nodes.")

    def _get_raw_node_data(self, sched_config: Any) -> Any:
        return ["a1", "a2", "a3"], None

    def _transform_raw_node_data(self, sched_config: Any, node_data: Any, extra: Any) -> Any:
        return {"name": node_data, "up": True, "available": True}


def plain_tests(count: int, **schedule: Any) -> list[FakeTest]:
    return [FakeTest(Path("/site/series/s1"), number, schedule) for number in range(1, count + 1)]


def test_golden_basic(fixed: FakePavConfig, tmp_path: Path) -> None:
    script = Raw().create_kickoff_script(
        fixed,
        plain_tests(1)[0],  # type: ignore[arg-type]
        log_path="/site/jobs/one/kickoff.log",
    )
    check_golden("kickoff_basic.sh", text_of(script, tmp_path))


def test_golden_shared(fixed: FakePavConfig, tmp_path: Path) -> None:
    tests = plain_tests(3, account="sci", exclude_nodes="b[1-2]", nodes="4", min_nodes="2")
    tests[1].config["schedule"]["time_limit"] = "7"
    script = LinesSched().create_kickoff_script(
        fixed,
        tests,  # type: ignore[arg-type]
        log_path=Path("/site/jobs/one/kickoff.log"),
    )
    check_golden("kickoff_shared.sh", text_of(script, tmp_path))


def test_golden_advanced(fixed: FakePavConfig, tmp_path: Path) -> None:
    script = NodesSched().create_kickoff_script(
        fixed,
        plain_tests(5),
        log_path="/site/jobs/one/kickoff.log",  # type: ignore[arg-type]
        nodes=["a1", "a3"],
    )
    check_golden("kickoff_advanced.sh", text_of(script, tmp_path))


def test_golden_isolated(fixed: FakePavConfig, tmp_path: Path) -> None:
    script = LinesSched().create_kickoff_script(
        fixed,
        plain_tests(2),  # type: ignore[arg-type]
        isolate=True,
    )
    check_golden("kickoff_isolated.sh", text_of(script, tmp_path))


def test_the_parts_stand_in_order(fixed: FakePavConfig, tmp_path: Path) -> None:
    script = NodesSched().create_kickoff_script(
        fixed,
        plain_tests(2),  # type: ignore[arg-type]
        log_path="/site/my job/kickoff.log",
    )
    text = text_of(script, tmp_path)
    parts = [
        "#!/bin/bash\n",
        "#FAKE --name",
        "exec >'/site/my job/kickoff.log' 2>&1\n",
        "export PATH=/opt/pavilion/bin:${PATH}\n",
        "export PAV_CONFIG_FILE='/home/user/my config/pavilion.yaml'\n",
        "export PAV_CONFIG_DIR='/home/user/my config'\n",
        "module load gcc\nexport SITE=here\n",
        'echo "Starting 2 tests at $(date)."\n',
        "pav _run s1.1 s1.2\n",
    ]
    places = [text.index(part) for part in parts]
    assert places == sorted(places)
    assert places[0] == 0
    assert text.endswith(parts[-1])


def test_what_is_not_set_is_left_out(
    fixed: FakePavConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PAV_CONFIG_DIR")
    fixed.pav_cfg_file, fixed.env_setup = None, []
    text = text_of(LinesSched().create_kickoff_script(fixed, plain_tests(1)), tmp_path)  # type: ignore[arg-type]
    assert "PAV_CONFIG" not in text
    assert "exec >" not in text
    assert "echo" not in text


def test_the_scripts_interpreter_is_that_of_the_test(fixed: FakePavConfig, tmp_path: Path) -> None:
    tests = plain_tests(1)
    tests[0].shebang = "#!/usr/bin/env -S bash -l"
    text = text_of(LinesSched().create_kickoff_script(fixed, tests), tmp_path)  # type: ignore[arg-type]
    assert text.startswith("#!/usr/bin/env -S bash -l\n#FAKE")


def test_a_script_for_one_test_may_be_had_with_or_without_a_list(
    fixed: FakePavConfig, tmp_path: Path
) -> None:
    test = plain_tests(1)[0]
    texts = {
        text_of(LinesSched().create_kickoff_script(fixed, tests), tmp_path)  # type: ignore[arg-type]
        for tests in (test, [test], (test,))
    }
    assert len(texts) == 1


def test_a_wrong_section_is_an_error(fixed: FakePavConfig) -> None:
    with pytest.raises(Exception, match="nodes must be a number"):
        LinesSched().create_kickoff_script(fixed, plain_tests(1, nodes="0"))  # type: ignore[arg-type]


def test_the_stub_can_be_had_with_keywords(fixed: FakePavConfig, tmp_path: Path) -> None:
    script = LinesSched()._create_kickoff_script_stub(
        pav_cfg=fixed,
        job_name="job",
        log_path="/tmp/x.log",  # type: ignore[arg-type]
        sched_config=section(),
        nodes=["a"],
        node_range=None,
        shebang="#!/bin/sh",
        isolate=False,
    )
    text = text_of(script, tmp_path)
    assert text.startswith('#!/bin/sh\n#FAKE --name "job"')
    assert "exec >/tmp/x.log" in text
    assert "pav _run" not in text


# ------------------------------------------------------------------------- the script, with bash

HOSTILE = [
    "with blank",
    "it's",
    'dou"ble',
    "$HOME",
    "$(touch PWNED)",
    "`touch PWNED`",
    "semi;touch PWNED;",
    "amp&touch PWNED&",
    "pipe|tee PWNED",
    "gt>PWNED",
    "st*r?",
    "[a-z]",
    "new\nline",
    "-dash",
    "--",
    "back\\slash",
    "\\",
    "ünï-日本",
    "#hash",
    "tab\t",
    "!bang!",
    "~",
    "{a,b}",
    "a=b",
    "carriage\rreturn",
    "line\u2028separator",
    "ends\n",
]


def run_with_bash(path: Path, cwd: Path, **env: str) -> subprocess.CompletedProcess[str]:
    clean = {"PATH": os.environ["PATH"], "HOME": str(cwd), "LANG": "C.UTF-8", **env}
    return subprocess.run(
        [path], cwd=cwd, env=clean, capture_output=True, text=True, timeout=120, check=False
    )


FAKE_PAV = """
printf 'args: %s\\n' "$*"
printf 'file: %s\\n' "$PAV_CONFIG_FILE"
printf 'dir: %s\\n' "$PAV_CONFIG_DIR"
printf 'self: %s\\n' "$0"
printf 'site: %s\\n' "$SITE"
echo complaint >&2
exit 3
"""


@pytest.mark.parametrize("name", HOSTILE)
def test_paths_may_hold_any_character(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = FakeHost(tmp_path / name)
    host.pav(FAKE_PAV)
    host.pav_cfg.env_setup = ["export SITE='s i t e'"]
    monkeypatch.setenv("PAV_CONFIG_DIR", str(host.folder / "config"))
    plugin, test = FakeSched(), host.test()

    assert plugin.schedule_tests(host.pav_cfg, [test]) == []
    job = plugin.kickoffs[0][0]
    cwd = tmp_path / "cwd"
    cwd.mkdir()
    done = run_with_bash(job.kickoff_path, cwd)

    assert (done.stdout, done.stderr, done.returncode) == ("", "", 3)
    with job.kickoff_log.open(newline="") as log:
        assert log.read() == (
            f"args: _run s1.1\nfile: {host.pav_cfg.pav_cfg_file}\n"
            f"dir: {host.folder / 'config'}\nself: {host.pav_cfg.pav_root / 'bin' / 'pav'}\n"
            f"site: s i t e\ncomplaint\n"
        )
    assert list(tmp_path.rglob("PWNED")) == []
    assert list(cwd.iterdir()) == []


PARENTS = """
for pid in $$ $PPID; do tr '\\0' ' ' </proc/$pid/cmdline; echo; done
exit 3
"""


def test_the_script_becomes_the_guard_of_its_tests(host: FakeHost) -> None:
    host.pav(PARENTS)
    plugin, test = FakeSched(), host.test()
    assert plugin.schedule_tests(host.pav_cfg, [test]) == []
    job = plugin.kickoffs[0][0]
    assert run_with_bash(job.kickoff_path, host.folder).returncode == 3
    command, parent = job.kickoff_log.read_text().splitlines()
    assert command.split()[-2:] == ["_run", "s1.1"]
    assert parent.split()[-4:] == [str(GUARD), "pav", "_run", "s1.1"]


@pytest.mark.parametrize("gone", ["guard.py", "python"])
def test_without_a_guard_the_script_becomes_what_runs_the_tests(
    host: FakeHost, gone: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A queued job outlives the installation that submitted it, and may run elsewhere."""
    if gone == "python":
        monkeypatch.setattr(sys, "executable", str(host.folder / "no such python"))
    else:
        monkeypatch.setattr(kickoff, "GUARD", host.folder / "no such guard.py")
    host.pav("echo $$; exit 3")
    host.pav_cfg.env_setup = ["set -eu"]
    plugin, test = FakeSched(), host.test()
    assert plugin.schedule_tests(host.pav_cfg, [test]) == []
    job = plugin.kickoffs[0][0]
    started = subprocess.Popen([job.kickoff_path], cwd=host.folder)
    assert started.wait(30) == 3
    # No shell was left in between.
    assert job.kickoff_log.read_text() == f"{started.pid}\n"


@pytest.mark.parametrize("name", [name for name in HOSTILE if not name.endswith("\n")])
def test_an_isolated_script_writes_its_log_beside_itself(
    tmp_path: Path, name: str, host: FakeHost
) -> None:
    folder = tmp_path / name
    folder.mkdir()
    tests = host.tests(2)
    tests[1].fake_commands = ["echo second; echo PATH has ${PATH##*:}; pav || echo no pav"]
    host.pav("echo pav was called")
    script = LinesSched().create_kickoff_script(
        host.pav_cfg,
        tests,
        isolate=True,  # type: ignore[arg-type]
        log_path="/not/there/my kick.log",
    )
    script.write(folder / "kickoff.sh")
    cwd = tmp_path / "cwd"
    cwd.mkdir()
    # A CDPATH lets 'cd' print where it went.
    done = subprocess.run(
        ["bash", f"../{name}/kickoff.sh"],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
        env={"PATH": "/usr/bin:/bin", "CDPATH": str(tmp_path)},
    )
    assert (done.stdout, done.stderr) == ("", "")
    assert (folder / "my kick.log").read_text().splitlines()[:2] == ["body of 1", "second"]
    assert (folder / "my kick.log").read_text().endswith("no pav\n")
    assert '#FAKE --name "pav-fake-s1-runs_isolated"' in (folder / "kickoff.sh").read_text()
    assert list(tmp_path.rglob("PWNED")) == []


def test_the_script_of_a_kickoff_is_executable_and_where_the_job_says(host: FakeHost) -> None:
    class Named(FakeSched):
        KICKOFF_FN = "kickoff.pbs"

    for plugin, name in ((FakeSched(), None), (Named(), "kickoff.pbs")):
        test = host.test()
        assert plugin.schedule_tests(host.pav_cfg, [test]) == []
        path = test.job.kickoff_path  # type: ignore[union-attr]
        assert name is None or path.name == name
        assert os.access(path, os.X_OK)


def test_a_folder_that_is_gone_is_an_error_of_its_tests(host: FakeHost) -> None:
    (host.pav_cfg.working_dir / "jobs").rmdir()
    plugin, tests = FakeSched(), host.tests(2)
    with active(plugin):
        errors = plugin.schedule_tests(host.pav_cfg, tests)
    assert [error.tests for error in errors] == [[tests[0]], [tests[1]]]
    assert all(isinstance(error, SchedulerPluginError) for error in errors)
    assert str(host.pav_cfg.working_dir / "jobs") in errors[0].pformat()
    assert all(test.complete for test in tests)
