"""doctor: what it finds, and that it finds it whatever is broken."""

from __future__ import annotations

import argparse
import json
import os
import re
import stat
import textwrap
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cli_tools import Cli, Done, wait_until

from pavilion.cli import doctor, doctor_disk, doctor_site, doctor_system, findings
from pavilion.cli.base import Session
from pavilion.cli.findings import Section
from pavilion.cli.main import main
from pavilion.plugins import reset_plugins
from pavilion.schedulers.lifecycle.handover import calls_at_work

ROOT = Path(__file__).resolve().parents[2]
SLURM = ("sbatch", "squeue", "scancel", "scontrol", "sinfo")


@pytest.fixture
def path(tmp_path: Path) -> str:
    """A PATH without Slurm."""
    folder = tmp_path / "bin"
    folder.mkdir()
    return str(folder)


def check(done: Done, name: str) -> dict[str, Any]:
    """The one finding of this name."""
    found = [item for item in done.json["checks"] if item["name"] == name]
    assert len(found) == 1, [item["name"] for item in done.json["checks"]]
    item: dict[str, Any] = found[0]
    return item


def files(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*"))


def test_all_is_well(cli: Cli, path: str) -> None:
    cli.suite("hello: {run: {cmds: ['true']}}")
    cli.work.mkdir()
    before = files(cli.root)
    done = cli("doctor", env={"PATH": path})
    assert done.code == 0, done.out
    assert done.err == ""
    for title in "Program,System,Settings,Plugins,Schedulers,Working directory,Series".split(","):
        assert f"\n{title}\n" in done.out
    assert re.search(rf"^  ok +{re.escape(str(cli.config))} +1 suite, 0 plugins$", done.out, re.M)
    assert re.search(r"^  ok +raw +available$", done.out, re.M)
    # Slurm is missing, and so are Grid Engine, PBS and Flux: warnings only, as long as there is
    # another scheduler.
    assert re.search(r"^  warning +slurm +not available: .*sbatch", done.out, re.M)
    assert re.search(r"^  ok +locks +flock works$", done.out, re.M)
    assert done.out.endswith("0 problems, 4 warnings.\n")
    assert files(cli.root) == before


def test_it_makes_no_working_directory(cli: Cli, path: str) -> None:
    done = cli("doctor", "--json", env={"PATH": path})
    assert done.code == 0
    assert "not there yet" in check(done, "directory")["value"]
    assert not cli.work.exists()


def test_json(cli: Cli, path: str) -> None:
    done = cli("doctor", "--json", env={"PATH": path})
    assert done.json["ok"] is True
    assert done.json["problems"] == 0
    assert {item["result"] for item in done.json["checks"]} <= {"ok", "warning", "problem"}
    assert set(done.json["checks"][0]) == {"section", "name", "result", "value", "advice"}
    assert check(done, "Yapsy")["result"] == "ok"


def test_settings_that_are_broken(cli: Cli, path: str) -> None:
    file = cli.root / "site.yaml"
    file.write_text("working_dir: /x\n  bad: [\n", encoding="utf-8")
    done = cli("doctor", "--json", "--config-file", file, env={"PATH": path})
    assert done.code == 1
    found = check(done, "settings file")
    assert found["result"] == "problem"
    assert f"{file}:2" in found["value"]
    # All else is still there.
    assert check(done, "PyYAML")["result"] == "ok"
    assert "settings cannot be used" in check(done, "schedulers")["value"]


@pytest.mark.parametrize("broken", ["yaml", "yapsy"])
def test_a_module_that_is_missing(cli: Cli, path: str, broken: str) -> None:
    folder = cli.root / "broken"
    (folder / broken).mkdir(parents=True)
    (folder / broken / "__init__.py").write_text(
        "raise ImportError('it was not installed')\n", encoding="utf-8"
    )
    env = {"PATH": path, "PYTHONPATH": str(folder)}
    done = cli("doctor", env=env)
    assert done.code == 1
    assert "Traceback" not in done.err
    assert re.search(r"^  problem +\S+ +ImportError: it was not installed$", done.out, re.M)
    assert "-m pip install '" in done.out
    other = cli("status", env=env)
    assert other.code == 2
    assert "it was not installed" in other.err
    assert "Traceback" not in other.err
    assert "doctor" in other.err


def test_rich_that_is_missing(cli: Cli, path: str) -> None:
    (cli.root / "broken").mkdir()
    (cli.root / "broken" / "rich.py").write_text("raise ImportError('no rich')\n")
    env = {"PATH": path, "PYTHONPATH": str(cli.root / "broken")}
    done = cli("doctor", "--json", env=env)
    assert done.code == 1
    assert check(done, "rich")["result"] == "problem"
    assert check(done, "raw")["value"] == "available"


def test_no_secrets(cli: Cli, path: str) -> None:
    file = cli.root / "site.yaml"
    file.write_text(
        textwrap.dedent("""
            env_setup:
              - export LICENSE_SERVER=hunter2-a
              - login --user me hunter2-b
            """),
        encoding="utf-8",
    )
    env = {
        "PATH": path,
        "SLURM_JWT": "hunter2-c",
        "PAV_API_TOKEN": "hunter2-d",
        "SBATCH_PASSWORD": "hunter2-e",
        "LD_LIBRARY_PATH": "https://me:hunter2-f@host/",
        "PYTHONUSERBASE": "secret=hunter2-g",
    }
    for done in (
        cli("doctor", "--config-file", file, env=env),
        cli("doctor", "--json", "--config-file", file, env=env),
    ):
        assert "hunter2" not in done.out
        assert "hunter2" not in done.err
        assert "2 lines, not shown" in done.out
        assert "SLURM_JWT" in done.out


def test_an_error_gives_no_secret_away(cli: Cli, path: str) -> None:
    file = cli.root / "site.yaml"
    file.write_text('env_setup:\n  - "export KEY=hunter2 \\0"\n', encoding="utf-8")
    done = cli("doctor", "--config-file", file, env={"PATH": path})
    assert done.code == 1
    assert "null character" in done.out
    assert "hunter2" not in done.out


def test_slurm_that_fails(cli: Cli, path: str) -> None:
    for name in SLURM:
        command = Path(path) / name
        command.write_text("#!/bin/sh\necho 'fatal: no slurm.conf here' >&2\nexit 1\n")
        command.chmod(0o755)
    done = cli("doctor", "--json", env={"PATH": path})
    assert done.code == 1
    found = check(done, "slurm")
    assert found["result"] == "problem"
    assert "fatal: no slurm.conf here" in found["value"]
    assert path in check(done, "Slurm's commands")["value"]


def test_slurm_that_works(cli: Cli, path: str) -> None:
    for name in SLURM:
        command = Path(path) / name
        command.write_text(
            '#!/bin/sh\ncase $1 in --version) echo slurm 22.05.8;; *) echo "$0 is UP";; esac\n'
        )
        command.chmod(0o755)
    done = cli("doctor", "--json", env={"PATH": path})
    assert check(done, "slurm")["value"] == "available"
    assert check(done, "Slurm's version")["value"] == "slurm 22.05.8"


def test_what_a_plugin_says_of_its_scheduler(cli: Cli, path: str) -> None:
    """Any plugin may say what there is of its scheduler, and whether it should work here."""
    cli.plugin(
        "site",
        """
        from pavilion.schedulers import Finding, HostCheck, SchedulerPluginBasic

        class Site(SchedulerPluginBasic):
            def __init__(self):
                super().__init__("site", "The site's own.")

            def _available(self):
                self.unavailable_reason = "Its server is down."
                return False

            def check_host(self):
                found = Finding("spool", "/var/spool/site"), Finding("disk", "full", "Clean up.")
                return HostCheck(found, installed=True, advice="Start the server.")
        """,
    )
    done = cli("doctor", "--json", env={"PATH": path})
    assert done.code == 1
    site, spool, disk = (check(done, name) for name in ("site", "spool", "disk"))
    assert (site["result"], site["advice"]) == ("problem", "Start the server.")
    assert site["value"] == "not available: Its server is down."
    assert (spool["result"], spool["value"]) == ("ok", "/var/spool/site")
    assert (disk["result"], disk["value"], disk["advice"]) == ("problem", "full", "Clean up.")


@pytest.mark.parametrize("answer", ["raise KeyError('spool')", "return None", "return [1]"])
def test_a_plugin_that_cannot_say(cli: Cli, path: str, answer: str) -> None:
    cli.plugin(
        "site",
        f"""
        from pavilion.schedulers import Raw

        class Site(Raw):
            def __init__(self):
                super().__init__()
                self.name = "site"

            def check_host(self):
                {answer}
        """,
    )
    done = cli("doctor", "--json", env={"PATH": path})
    assert check(done, "site")["value"] == "available"
    failure = check(done, "site on this host")
    assert failure["result"] == "problem"
    assert "check_host() of scheduler plugin 'site'" in failure["value"]
    assert check(done, "raw queue")["result"] == "ok"


def test_a_raw_queue_that_cannot_be_used(cli: Cli, path: str) -> None:
    cli.queue.chmod(0o777)
    done = cli("doctor", "--json", env={"PATH": path})
    assert done.code == 1
    found = check(done, "raw queue")
    assert found["result"] == "problem" and "can be written by others" in found["value"]
    assert "PAV_RAW_QUEUE_DIR" in found["advice"]


def test_plugins_that_are_refused(cli: Cli, path: str) -> None:
    file = cli.plugin("broken", "raise RuntimeError('half-finished')")
    done = cli("doctor", "--json", env={"PATH": path})
    assert done.code == 1
    found = check(done, "refused")
    assert found["result"] == "problem"
    assert str(file) in found["value"]
    assert "half-finished" in found["value"]


def test_a_scheduler_that_hangs(
    cli: Cli, path: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    cli.plugin(
        "hanging",
        f"""
        import os, time
        from pavilion.schedulers import Raw

        class Hanging(Raw):
            def __init__(self):
                super().__init__()
                self.name = "hanging"

            def _available(self):
                while not os.path.exists({str(cli.root / "go")!r}):
                    time.sleep(0.05)
        """,
    )
    monkeypatch.setattr(doctor_site, "SCHEDULER_PATIENCE", 0.3)
    monkeypatch.setattr(doctor, "PATIENCE", 60.0)
    monkeypatch.setenv("PATH", path)
    assert main([*cli.argv()[3:], "doctor", "--json"]) == 1
    found = {item["name"]: item for item in json.loads(capsys.readouterr().out)["checks"]}
    assert found["hanging"]["result"] == "problem"
    assert "no answer within 0.3 seconds" in found["hanging"]["value"]
    assert found["raw"]["value"] == "available"
    reset_plugins()
    # Other tests look for calls that hang.
    (cli.root / "go").touch()
    wait_until(lambda: calls_at_work() == [], "the end of the call")


def test_config_directories(cli: Cli, path: str) -> None:
    empty, link, file = cli.root / "empty", cli.root / "link", cli.root / "file"
    empty.mkdir()
    link.symlink_to("nowhere")
    file.touch()
    options = [word for item in (empty, link, file) for word in ("--config-dir", item)]
    done = cli(*options, "--config-dir", cli.root / "typo", "doctor", "--json", env={"PATH": path})
    assert done.code == 1
    assert check(done, str(empty))["result"] == "warning"
    for wrong in (link, file, cli.root / "typo"):
        assert check(done, str(wrong))["result"] == "problem"
    assert "broken link" in check(done, str(link))["value"]
    # The default one need not exist.
    assert check(done, str(cli.home / ".pavilion"))["result"] == "ok"


def test_a_working_directory_that_is_a_file(cli: Cli, path: str) -> None:
    cli.work.touch()
    done = cli("doctor", "--json", env={"PATH": path})
    assert done.code == 1
    assert check(done, "directory")["result"] == "problem"


def test_a_working_directory_that_is_everyones(cli: Cli, path: str) -> None:
    cli.work.mkdir()
    cli.work.chmod(0o777)
    done = cli("doctor", "--json", env={"PATH": path})
    assert done.code == 1
    assert check(done, "access")["result"] == "problem"
    assert "chmod +t" in check(done, "access")["advice"]
    cli.work.chmod(0o1777)
    assert cli("doctor", env={"PATH": path}).code == 0


def test_what_was_left_behind(cli: Cli, path: str) -> None:
    cli.suite("hello: {run: {cmds: ['true']}}")
    assert cli("run", "suite").code == 0
    assert check(cli("doctor", "--json", env={"PATH": path}), "leftovers")["value"] == "none"
    record = cli.work / "series" / "s1" / "series.json"
    data = json.loads(record.read_text(encoding="utf-8"))
    # Process 1 has another start time.
    data["starter"].update(pid=1, start_time=1)
    record.write_text(json.dumps(data), encoding="utf-8")
    (record.parent / "starting").touch()
    (cli.work / "series" / "s2").mkdir()
    done = cli("doctor", "--json", env={"PATH": path})
    assert done.code == 0
    assert check(done, "stopped runs")["value"].startswith("s1: ")
    assert "s2" in check(done, "half-made series")["value"]


def test_the_environment(cli: Cli, path: str) -> None:
    env = {"PATH": f"{path}:", "PAV_CONFG_DIR": "/x", "SLURM_JOB_ID": "77"}
    done = cli("doctor", "--json", env=env)
    assert done.code == 0
    assert "Did you mean PAV_CONFIG_DIR?" in check(done, "PAV_CONFG_DIR")["advice"]
    assert check(done, "Slurm")["result"] == "warning"
    assert "SLURM_JOB_ID=77" in check(done, "Slurm")["value"]
    assert check(done, "PATH")["result"] == "warning"


# ------------------------------------------------------------------------------ its parts


def session() -> Session:
    return Session(
        argparse.Namespace(config_file=None, config_dir=[], working_dir=None, debug=False)
    )


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("password: hunter2", "password: ***"),
        ("export X='a b' c", "export X=*** c"),
        ("curl --header auth_token=hunter2 x", "curl --header auth_token=*** x"),
        ('"apiKey": "hun ter2"', '"apiKey": ***'),
        ("ssh://me:hunter2@host/x", "ssh://me:***@host/x"),
        # Nothing of these is one.
        ("/srv/auth:/usr/bin", "/srv/auth:/usr/bin"),
        ("/home/me/token.yaml:2: bad YAML", "/home/me/token.yaml:2: bad YAML"),
        ("Permission denied: /x/secrets/file", "Permission denied: /x/secrets/file"),
    ],
)
def test_what_is_taken_for_a_secret(text: str, shown: str) -> None:
    assert findings.without_secrets(text) == shown


@pytest.fixture
def end() -> Iterator[threading.Event]:
    event = threading.Event()
    yield event
    event.set()


def test_a_section_that_hangs_holds_up_no_other(end: threading.Event) -> None:
    def hang(section: Section, session: Session) -> None:
        section.ok("first", "seen")
        section.trying = "disk"
        end.wait()

    def fail(section: Section, session: Session) -> None:
        section.trying = "lock"
        raise SystemExit("no more")

    def well(section: Section, session: Session) -> None:
        section.ok("last", "seen")

    found = [
        (item.name, item.result, item.value)
        for section in doctor.examine(
            session(), [[("A", hang), ("B", well)], [("C", fail), ("D", well)]], patience=0.3
        )
        for item in section.findings
    ]
    assert found == [
        ("first", "ok", "seen"),
        ("disk", "problem", "no answer within 0.3 seconds"),
        # Behind the one that hangs.
        ("B", "problem", "no answer within 0.3 seconds"),
        ("lock", "problem", "SystemExit: no more"),
        ("last", "ok", "seen"),
    ]


def test_locks_that_lock_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    section = Section("disk")
    monkeypatch.setattr("fcntl.flock", lambda *args: None)
    doctor_disk._locks(section, tmp_path)
    assert section.findings[0].result == "problem"


def test_a_clock_that_is_late(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    section = Section("disk")
    now = time.time()
    monkeypatch.setattr(doctor_disk.time, "time", lambda: now + 100)
    doctor_disk._clock(section, tmp_path)
    assert section.findings[0].result == "warning"
    assert "100 seconds behind" in section.findings[0].value


def test_modes_that_are_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    section = Section("disk")
    monkeypatch.setattr(Path, "chmod", lambda self, mode: os.chmod(self, 0o777))  # noqa: PTH101
    doctor_disk._modes(section, tmp_path)
    assert section.findings[0].result == "problem"
    assert stat.S_IMODE((tmp_path / "script").stat().st_mode) == 0o777


MOUNTS = r"""22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
30 22 0:25 / /tmp rw,nosuid - tmpfs tmpfs rw
31 22 0:26 /x /home\040of\040all ro,relatime shared:2 - nfs4 server:/home rw,vers=4.2
32 31 0:27 / /home\040of\040all rw - lustre 10.0.0.1@o2ib:/fs rw
damaged line
"""


@pytest.mark.parametrize(
    ("path", "kind", "source"),
    [
        ("/usr/lib", "ext4", "/dev/sda1"),
        ("/tmp", "tmpfs", "tmpfs"),
        ("/tmpfile", "ext4", "/dev/sda1"),
        # Of two at one place the later one is on top.
        ("/home of all/me", "lustre", "10.0.0.1@o2ib:/fs"),
    ],
)
def test_file_systems(path: str, kind: str, source: str) -> None:
    mount = doctor_disk.mount_of(Path(path), MOUNTS)
    assert mount is not None
    assert (mount.kind, mount.source) == (kind, source)


def test_dependencies_are_those_of_the_project() -> None:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    listed = re.search(r"^dependencies = \[(.*?)\]", text, re.M | re.S)
    assert listed is not None
    assert re.findall(r'"(.*?)>=(.*?)"', listed[1]) == [
        (name, oldest) for name, _, oldest in doctor_system.DEPENDENCIES
    ]


def test_own_variables_are_all_that_there_are() -> None:
    text = (ROOT / "docs" / "host.md").read_text(encoding="utf-8")
    documented = set(re.findall(r"^\| `(PAV_[A-Z_]+)` \|", text, re.M))
    used = {
        name
        for file in (ROOT / "src").rglob("*.py")
        if file.name != "doctor_system.py"
        for name in re.findall(r"\bPAV_[A-Z_]+\b", file.read_text(encoding="utf-8"))
    }
    assert documented <= set(doctor_system.OWN_VARIABLES) <= used
