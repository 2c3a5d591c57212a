"""``pav-sched link``, ``unlink`` and ``check``, on a made-up checkout."""

from __future__ import annotations

import errno
import io
import os
import pty
import select
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import pytest
from cli_tools import PATIENCE, Cli, Done, wait_until
from killed_swaps import KEPT as LSF_KEPT
from made_up_pavilion import (
    BROKEN_LSF,
    COBALT,
    LSF,
    SRC,
    make_checkout,
    make_old_folder,
    replace,
    schedulers_names,
    show_sched,
    tree,
    with_ours,
    write,
)

from pavilion.cli.main import main
from pavilion.dropin import Checkout, DropinError, find_checkout, unlink
from pavilion.dropin import link as link_module
from pavilion.dropin.checkout import Interpreter, find_python, find_version, module_path
from pavilion.dropin.disk import MARKER, Disk, Files
from pavilion.dropin.inside import Scheduler, Smoke, Start
from pavilion.dropin.swap import Piece, Swap, identify, locked

OURS = SRC / "pavilion" / "schedulers"
BACKUP = "schedulers.before-pavilion-schedulers"
RECORD = ".schedulers.pavilion-schedulers.json"
KEPT = ".schedulers.pavilion-schedulers.kept"
# What is kept by the link before the one that is killed.
FIRST_KEPT = {"lsf.py": "# of the first link", "old.py": "# only there"}
# What a finished link leaves.
LINKED = [RECORD, KEPT, "schedulers", BACKUP]
PYTHON = Interpreter(Path(sys.executable), "of the tests")


@pytest.fixture(autouse=True)
def _own_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed commands leave temporary folders here; and waiting for the disk takes long."""
    (tmp_path / "tmp").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.setattr("os.fsync", lambda fd: None)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A checkout whose path has a blank."""
    return make_checkout(tmp_path / "pav 2")


def command(*args: Any) -> list[str]:
    """A command with the Python of the tests as that of the checkout."""
    more = [] if args[0] == "unlink" or "--python" in args else ["--python", sys.executable]
    return [*map(str, args), *more]


def run(*args: Any) -> Done:
    """Run a command, in this process."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        code = main(command(*args))
    return Done(code, out.getvalue(), err.getvalue())


def active(root: Path) -> Path:
    return root / "lib" / "pavilion" / "schedulers"


def findings(done: Done) -> dict[str, tuple[str, str]]:
    """What was looked at -> verdict, and what was found."""
    return {
        item["what"]: (item["verdict"], item["found"] + item["hint"])
        for item in done.json["findings"]
    }


# ------------------------------------------------------------------- the way there and back


def test_check_link_unlink(cli: Cli, root: Path) -> None:
    before = tree(root)
    done = cli(*command("check", root), bare=True)
    assert (done.code, done.err) == (0, "")
    table = {row[0]: row[1:] for row in done.rows}
    assert table["version"][:2] == ["2.6 (RELEASE.txt)", "ok"]
    assert table["schedulers directory"][:2] == ["the checkout's own", "ok"]
    assert table["start"][:2] == ["schedulers: lsf, raw, slurm", "ok"]
    assert table["host modules"][1] == "ok"
    assert table["scheduler lsf"][1:] == ["ok", "A link keeps it."]
    assert table["try-out: start"][:2] == ["import pavilion.plugins", "ok"]
    assert table["try-out: discovery"][:2] == [", ".join(with_ours("lsf")), "ok"]
    assert table["pav show sched"][1] == "ok"
    assert tree(root) == before

    done = cli(*command("link", root / "lib" / "pavilion"), bare=True)
    assert done.code == 0, done.err
    assert active(root).readlink() == OURS
    assert f"unlink '{root}'" in done.out
    assert "It keeps the checkout's own lsf" in done.out
    assert schedulers_names(root) == LINKED
    assert show_sched(root) == with_ours("lsf")

    linked = tree(root)
    done = run("link", root)
    assert done.code == 0
    assert "already linked" in done.out
    done = run("check", active(root) / "plugins", "--json")
    assert done.code == 0
    assert done.json["state"] == "link"
    assert done.json["current"] is True
    assert findings(done)["try-out: import"] == ("ok", str(active(root)))
    assert tree(root) == linked

    done = cli(*command("unlink", root), bare=True)
    assert done.code == 0, done.err
    assert tree(root) == before
    done = run("unlink", root)
    assert done.code == 0
    assert "not linked" in done.out
    assert tree(root) == before


def test_copy_has_the_schedulers_that_are_not_ours(root: Path) -> None:
    before = tree(root)
    done = run("link", root, "--copy", "--json")
    assert done.code == 0, done.err
    assert done.json["changed"] is True
    assert not active(root).is_symlink()
    assert schedulers_names(root) == [RECORD, "schedulers", BACKUP]
    assert show_sched(root) == with_ours("lsf")
    done = run("link", root, "--copy", "--json")
    assert (done.json["done"], done.json["changed"]) == (True, False)

    # A copy of an older version is renewed; its other plugins stay, a site's own as well.
    (active(root) / "placement" / "planning.py").write_text("old = True\n")
    write(active(root) / "plugins" / "site.py", LSF.replace("Lsf", "Site").replace("lsf", "site"))
    write(active(root) / "plugins" / "site.yapsy-plugin", "[Core]\nName = site\nModule = site\n")
    found = findings(run("check", root, "--json"))
    assert found["copy"][0] == "warning"
    assert run("link", root, "--copy", "--json").json["changed"] is True
    assert (active(root) / "placement" / "planning.py").read_bytes() == (
        OURS / "placement" / "planning.py"
    ).read_bytes()
    assert show_sched(root) == with_ours("lsf", "site")

    # From a copy to a link; the backup is still that of the beginning.
    assert run("link", root).code == 0
    assert active(root).is_symlink()
    assert schedulers_names(root) == LINKED
    assert show_sched(root) == with_ours("lsf", "site")
    assert run("unlink", root).code == 0
    assert tree(root) == before


# ------------------------------------------------------------------- built-in schedulers


def test_scheduler_that_cannot_be_kept_is_named(tmp_path: Path) -> None:
    root = make_checkout(tmp_path / "pav", plugins={"lsf": LSF, "cobalt": COBALT})
    assert show_sched(root) == ["cobalt", "lsf", "raw", "slurm"]
    before = tree(root)
    for more in ([], ["--copy"]):
        done = run("link", root, "--json", *more)
        assert done.code == 1
        verdict, text = findings(done)["scheduler cobalt"]
        assert verdict == "FAIL"
        # The reason, and a place that the user knows.
        assert "old_helper" in text
        assert str(active(root) / "plugins" / "cobalt.py") in text
        assert "--without cobalt" in text
        # The others were tried all the same.
        assert findings(done)["scheduler lsf"][0] == "ok"
        assert findings(done)["try-out: variables"][0] == "ok"
        assert tree(root) == before

    assert run("link", root, "--without", "cobalt").code == 0
    assert show_sched(root) == with_ours("lsf")
    # It stays as it is, and check tells.
    assert "already linked" in run("link", root).out
    found = run("check", root, "--json")
    assert found.code == 0
    assert findings(found)["scheduler cobalt"][0] == "warning"
    assert run("unlink", root).code == 0
    assert tree(root) == before


def test_scheduler_that_is_broken_anyway_is_kept(tmp_path: Path) -> None:
    root = make_checkout(tmp_path / "pav", plugins={"lsf": BROKEN_LSF})
    for more in ([], ["--copy"]):
        done = run("link", root, "--json", *more)
        assert done.code == 0
        verdict, text = findings(done)["scheduler lsf"]
        assert verdict == "warning"
        assert "_no_such_thing" in text
        assert show_sched(root) == with_ours("lsf")


def test_package_and_module_with_the_name_of_ours(tmp_path: Path) -> None:
    root = make_checkout(tmp_path / "pav", plugins={})
    plugins = active(root) / "plugins"
    write(plugins / "lsf" / "__init__.py", "from .inner import Lsf\n")
    write(plugins / "lsf" / "inner.py", LSF.replace("..", "..."))
    # In a module with a class of theirs that is called as one of ours.
    write(plugins / "engine.py", LSF.replace("Lsf", "Oar").replace("lsf", "oar"))
    replace(
        active(root) / "__init__.py",
        "AGE =",
        "from .plugins.lsf import Lsf\nfrom .plugins.engine import Oar\nAGE =",
    )
    before = tree(root)
    assert show_sched(root) == ["lsf", "oar", "raw", "slurm"]
    for more in ([], ["--copy"]):
        assert run("link", root, *more).code == 0
        assert show_sched(root) == with_ours("lsf", "oar")
    assert run("unlink", root).code == 0
    assert tree(root) == before


def plugin_classes(root: Path) -> dict[str, str]:
    """Each scheduler of a linked checkout, and whether its class is the one that we export."""
    script = (
        "from pavilion import schedulers as s; s.SchedulerPlugin.register_core_plugins();"
        "print(*(f'{n}={type(s.get_plugin(n)) is getattr(s, n.title(), None)}'"
        " for n in s.list_plugins()))"
    )
    out = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        env=dict(os.environ, PYTHONPATH=str(root / "lib")),
        check=True,
    ).stdout
    return dict(word.split("=") for word in out.split())


@pytest.mark.parametrize("name", ["flux", "pbs"])
def test_a_scheduler_that_we_bundle_by_now_is_ours(tmp_path: Path, name: str) -> None:
    """It is neither lost nor there twice, and nothing of Pavilion's own is kept."""
    theirs = LSF.replace("Lsf", name.title()).replace("lsf", name)
    root = make_checkout(tmp_path / "pav", plugins={name: theirs})
    assert show_sched(root) == sorted([name, "raw", "slurm"])
    before = tree(root)
    for more in ([], ["--copy"]):
        done = run("link", root, "--json", *more)
        assert done.code == 0, done.err
        verdict, text = findings(done)[f"scheduler {name}"]
        assert verdict == "ok" and "Ours takes its place" in text
        assert "keeps the checkout's own" not in done.json["summary"]
        assert show_sched(root) == with_ours()
        assert plugin_classes(root)[name] == "True"
        assert KEPT not in schedulers_names(root)
    assert run("link", root, "--without", name).code == 2
    assert run("unlink", root).code == 0
    assert tree(root) == before


@pytest.mark.parametrize("name", ["flux", "pbs"])
def test_one_that_an_earlier_version_kept_is_not_used(root: Path, name: str) -> None:
    assert run("link", root).code == 0
    kept = active(root).with_name(KEPT)
    write(kept / f"{name}.py", LSF.replace("Lsf", name.title()).replace("lsf", name))
    write(kept / f"{name}.yapsy-plugin", f"[Core]\nName = {name}\nModule = {name}\n")
    assert show_sched(root) == with_ours("lsf")
    classes = plugin_classes(root)
    assert classes[name] == "True" and classes["lsf"] == "False"
    assert run("check", root).code == 0
    assert "already linked" in run("link", root).out


def test_scheduler_that_is_left_out_and_taken_back(root: Path) -> None:
    done = run("link", root, "--without", "nothing")
    assert done.code == 2
    assert "lsf" in done.err
    assert run("link", root).code == 0
    assert run("link", root, "--without", "lsf").code == 0
    assert show_sched(root) == with_ours()
    assert schedulers_names(root) == [RECORD, "schedulers", BACKUP]
    assert run("unlink", root).code == 0
    assert run("link", root).code == 0
    assert show_sched(root) == with_ours("lsf")


def test_kept_schedulers_that_were_changed_are_renewed(root: Path) -> None:
    assert run("link", root).code == 0
    kept = active(root).with_name(KEPT)
    (kept / "lsf.py").write_text("oops =\n")
    done = run("check", root, "--json")
    assert findings(done)["kept schedulers"][0] == "warning"
    assert run("link", root, "--json").json["changed"] is True
    assert show_sched(root) == with_ours("lsf")
    # One that we bundle by now: ours is taken.
    write(kept / "raw.yapsy-plugin", "[Core]\nName = raw\nModule = other\n")
    write(kept / "other.py", LSF.replace('"lsf"', '"raw"'))
    done = run("link", root, "--json")
    assert done.code == 0
    assert show_sched(root) == with_ours("lsf")
    script = (
        "from pavilion import schedulers as s; s.SchedulerPlugin.register_core_plugins();"
        "print(type(s.get_plugin('raw')) is s.Raw, type(s.get_plugin('lsf')).__module__)"
    )
    out = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        env=dict(os.environ, PYTHONPATH=str(root / "lib")),
        check=True,
    ).stdout
    assert out.split() == ["True", "pavilion.schedulers.plugins.lsf"]


def on_terminal(answer: str, *args: Any) -> tuple[int, str]:
    """Run a command on a terminal of its own, and answer its question: exit code, output."""
    here, there = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "pavilion.cli", *command(*args)],
        stdin=there,
        stdout=there,
        stderr=there,
        env=dict(os.environ, TERM="dumb"),
    )
    os.close(there)
    os.write(here, answer.encode())
    text = b""
    try:
        while select.select([here], [], [], PATIENCE)[0]:
            text += os.read(here, 4096)
    except OSError as exc:
        # The other end is closed.
        assert exc.errno == errno.EIO
    os.close(here)
    return process.wait(PATIENCE), text.decode().replace("\r", "")


def test_the_user_is_asked_on_a_terminal(tmp_path: Path) -> None:
    root = make_checkout(tmp_path / "pav", plugins={"lsf": LSF, "cobalt": COBALT})
    before = tree(root)
    for answer, expected in (("\n", 1), ("no\n", 1), ("\x04", 1), ("y\n", 0)):
        assert tree(root) == before
        code, text = on_terminal(answer, "link", root)
        assert code == expected, text
        assert "old_helper" in text
        assert "Link without cobalt? [y/N] " in text
    assert show_sched(root) == with_ours("lsf")


# -------------------------------------------------------------------------- what is refused


def test_failure_in_place_is_undone(root: Path) -> None:
    (root / "break").touch()
    before = tree(root)
    done = run("link", root)
    assert done.code == 1
    assert "Everything was undone" in done.err
    assert "no, thanks" in done.out
    assert "\x1b" not in done.out
    assert tree(root) == before


def test_host_that_lacks_something_is_found_before(root: Path) -> None:
    replace(root / "lib" / "pavilion" / "jobs.py", "self.sched_log =", "self.other =")
    before = tree(root)
    done = run("link", root, "--json")
    assert done.code == 1
    verdict, text = findings(done)["host modules"]
    assert verdict == "FAIL"
    assert "this Pavilion lacks pavilion.jobs: a Job without 'sched_log'" in text
    assert "try-out: start" not in findings(done)
    assert tree(root) == before


def test_2_5_is_not_supported_and_why(tmp_path: Path) -> None:
    root = make_checkout(tmp_path / "pav", version="2.5")
    before = tree(root)
    for args in (["check"], ["link"], ["link", "--force"]):
        done = run(args[0], root, *args[1:], "--json")
        assert done.code == 1
        assert findings(done)["version"][0] == "FAIL"
        verdict, text = findings(done)["host modules"]
        assert verdict == "FAIL"
        assert "pavilion.errors.SchedConfigError, pavilion.status_file.STATES.SCHED_WARNING" in text
        assert "not supported" in text
        assert tree(root) == before
    # The reason is told even if it does not start.
    (root / "lib" / "pavilion" / "result" / "__init__.py").write_text("import no_such_module\n")
    found = findings(run("check", root, "--json"))
    assert "no_such_module" in found["start"][1]
    assert "SchedConfigError, pavilion.status_file.STATES.SCHED_WARNING" in found["host modules"][1]


def test_pavilion_that_does_not_start(root: Path) -> None:
    """Then there is no telling which schedulers would be lost."""
    write(active(root) / "plugins" / "lsf.py", "import lsf_bindings\n")
    before = tree(root)
    done = run("link", root, "--json")
    assert done.code == 1
    assert findings(done)["start"][0] == "FAIL"
    assert "No module named 'lsf_bindings'" in findings(done)["start"][1]
    assert tree(root) == before


def test_other_version_needs_force(tmp_path: Path) -> None:
    root = make_checkout(tmp_path / "pav", version="2.4")
    before = tree(root)
    done = run("link", root)
    assert done.code == 1
    assert "2.4 (RELEASE.txt)" in done.out
    assert "--force" in done.out
    assert tree(root) == before
    assert run("link", root, "--force").code == 0
    assert show_sched(root) == with_ours("lsf")


def test_pav_that_never_worked_is_a_warning(root: Path) -> None:
    write(root / "bin" / "pav", "#!/bin/sh\necho no such module; exit 3\n")
    done = run("link", root, "--json")
    assert done.code == 0
    verdict, text = findings(done)["pav show sched"]
    assert verdict == "warning"
    assert "exit code 3: no such module" in text


def test_missing_dependency(root: Path) -> None:
    shutil.rmtree(root / "lib" / "yaml_config")
    # Stands in for a Python without it.
    write(root / "lib" / "yaml_config.py", "raise ImportError('is not installed')")
    done = run("link", root, "--json")
    assert done.code == 1
    verdict, text = findings(done)["yaml_config"]
    assert verdict == "FAIL"
    assert "is not installed" in text
    assert "try-out: import" not in findings(done)


def test_python_that_is_too_old(root: Path) -> None:
    old = write(
        root / "oldpython",
        """
        #!/bin/sh
        echo '@pavilion-schedulers {"python": [3, 6, 8], "modules": {
            "hostlist": {"error": "x"}, "yapsy": {"file": "y", "version": ""},
            "yaml_config": {"file": "y", "version": ""}, "yaml": {"error": "x"}}}' | tr -d '\\n'
        """,
    )
    old.chmod(0o755)
    done = run("check", root, "--python", old, "--json")
    assert done.code == 1
    assert findings(done)["Python"][0] == "FAIL"
    assert findings(done)["hostlist"][0] == "warning"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("nowhere", "does not exist"),
        ("", "is not a Pavilion checkout"),
    ],
)
def test_no_checkout(tmp_path: Path, given: str, message: str) -> None:
    for name in ("check", "link", "unlink"):
        done = run(name, tmp_path / given)
        assert done.code == 2
        assert message in done.err


def test_python_that_is_not_there(root: Path) -> None:
    done = run("check", root, "--python", "/no/python")
    assert done.code == 2
    assert "--python" in done.err


# ------------------------------------------------------------------------ what others did


def test_git_brought_back_the_old_folder(root: Path) -> None:
    """It is the same as the backup, which is no longer needed."""
    before = tree(root)
    assert run("link", root).code == 0
    active(root).unlink()
    make_old_folder(active(root))
    done = run("unlink", root)
    assert done.code == 0
    assert "may be removed" in done.out
    assert schedulers_names(root) == [RECORD, "schedulers", BACKUP]
    assert run("link", root).code == 0
    assert active(root).is_symlink()
    assert run("unlink", root).code == 0
    assert tree(root) == before


def test_backup_that_differs_is_never_lost(root: Path) -> None:
    assert run("link", root).code == 0
    active(root).unlink()
    make_old_folder(active(root))
    (active(root) / "new.py").write_text("# of a newer Pavilion\n")
    before = tree(root)
    done = run("link", root)
    assert done.code == 1
    assert "which differs" in done.out
    assert tree(root) == before


def test_unlink_without_a_backup(root: Path) -> None:
    shutil.rmtree(active(root))
    active(root).symlink_to(OURS)
    before = tree(root)
    found = run("check", root, "--json")
    assert found.code == 0
    assert findings(found)["backup"][0] == "warning"
    assert "already linked" in run("link", root).out
    done = run("unlink", root)
    assert done.code == 2
    assert "git checkout -- lib/pavilion/schedulers" in done.err
    assert tree(root) == before


def test_link_that_leads_nowhere(root: Path) -> None:
    """The installation it was made from is gone."""
    before = tree(root)
    checkout = find_checkout(root)
    with locked(checkout):
        swap = Swap(checkout)
        swap.install(root / "gone", "0", copy=False)
        swap.commit()
    done = run("check", root, "--json")
    assert done.code == 1
    assert findings(done)["schedulers directory"][0] == "FAIL"
    assert run("link", root).code == 0
    assert show_sched(root) == with_ours("lsf")
    assert run("unlink", root).code == 0
    assert tree(root) == before


def test_sites_own_link_is_kept(root: Path) -> None:
    active(root).rename(root / "their schedulers")
    active(root).symlink_to(root / "their schedulers")
    before = tree(root)
    assert run("link", root).code == 0
    assert run("unlink", root).code == 0
    assert tree(root) == before


def test_git_is_mentioned_and_left_alone(root: Path) -> None:
    git = ["git", "-c", "user.name=x", "-c", "user.email=x@localhost", "-C", str(root)]
    try:
        subprocess.run([*git, "init", "-q"], check=True)
    except FileNotFoundError:
        pytest.skip("there is no git")
    (root / ".gitignore").write_text("__pycache__\n")
    subprocess.run([*git, "add", "-A"], check=True)
    subprocess.run([*git, "commit", "-q", "-m", "all"], check=True)
    before = tree(root / ".git")
    done = run("link", root)
    assert "git status" in done.out
    assert run("unlink", root).code == 0
    assert tree(root / ".git") == before
    changed = subprocess.run([*git, "status", "--short"], check=True, stdout=subprocess.PIPE)
    assert changed.stdout == b""


# ---------------------------------------------------------------------------- being killed


def kill_link(cli: Cli, root: Path) -> None:
    """Kill a link after the folder was put in its place, while it is tried there."""
    (root / "hang").touch()
    process = cli.start(*command("link", root))
    wait_until((root / "hanging").exists, "the try in place")
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    (root / "hang").unlink()
    (root / "hanging").unlink()


@pytest.fixture
def no_children(root: Path) -> Iterator[None]:
    """The pav that hangs outlives its caller."""
    yield
    for cmdline in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if str(root / "bin" / "pav").encode() in cmdline.read_bytes().split(b"\0"):
                os.kill(int(cmdline.parent.name), signal.SIGKILL)
        except OSError:
            continue


@pytest.mark.usefixtures("no_children")
def test_killed_command_is_put_right_by_the_next(cli: Cli, root: Path) -> None:
    before = tree(root)
    kill_link(cli, root)
    # Pavilion works all the same, and somebody who looks is told.
    assert show_sched(root) == with_ours("lsf")
    half = tree(root)
    done = run("check", root, "--json")
    assert done.code == 1
    assert done.json["state"] == "interrupted"
    assert "linking was interrupted" in findings(done)["schedulers directory"][1]
    assert tree(root) == half

    done = run("unlink", root)
    assert done.code == 0
    assert "repaired" in done.err
    assert tree(root) == before

    kill_link(cli, root)
    done = run("link", root)
    assert done.code == 0, done.err
    assert schedulers_names(root) == LINKED
    assert run("unlink", root).code == 0
    assert tree(root) == before


@pytest.mark.usefixtures("no_children")
def test_one_at_a_time(cli: Cli, root: Path) -> None:
    (root / "hang").touch()
    process = cli.start(*command("link", root))
    wait_until((root / "hanging").exists, "the try in place")
    done = run("unlink", root)
    assert done.code == 2
    assert "another pav-sched" in done.err
    assert "being changed" in findings(run("check", root, "--json"))["schedulers directory"][1]
    # Ctrl-C undoes it.
    os.killpg(process.pid, signal.SIGINT)
    process.communicate(timeout=15)
    assert process.returncode == 130
    assert schedulers_names(root) == ["schedulers"]


@pytest.mark.parametrize("exchanges", [True, False], ids=["exchange", "renames"])
@pytest.mark.parametrize(
    ("first", "action"),
    [
        (None, "link"),
        (None, "copy"),
        (None, "fail"),
        ("link", "unlink"),
        ("copy", "unlink"),
        ("copy", "link"),
        ("link", "copy"),
        ("copy", "copy"),
        ("copy", "fail"),
    ],
)
def test_killed_at_each_step(
    tmp_path: Path, first: str | None, action: str, exchanges: bool
) -> None:
    """Whatever was being done, and wherever it stopped: both ways lead on from there."""
    model = tmp_path / "model"
    make_old_folder(active(model))
    original = tree(model)
    if first is not None:
        checkout = find_checkout(model)
        with locked(checkout):
            Swap(checkout).install(
                small_source(tmp_path), "0", copy=first == "copy", kept=FIRST_KEPT
            )
            Swap(checkout).commit()
    # What is put in its place now is another one.
    source = small_source(tmp_path)
    copy = {**contents(source), **{f"plugins/{name}": text for name, text in LSF_KEPT.items()}}
    whole = [contents(active(model)), copy, str(source)]
    if action == "unlink":
        whole.append(contents(active(model).with_name(BACKUP)))
    run_killed(source, model, action, exchanges)
    folders = sorted(folder for folder in tmp_path.iterdir() if folder.name.isdigit())
    assert len(folders) >= 6
    for folder in folders:
        if os.path.lexists(active(folder)):
            assert contents(active(folder)) in whole
        else:
            # Without exchange there is a moment at which there is none.
            assert not exchanges
        kept = active(folder).with_name(KEPT)
        if active(folder).is_symlink() and (exchanges or kept.exists()):
            # A link never stands without the schedulers that it keeps.
            assert contents(kept) in (FIRST_KEPT, LSF_KEPT)
        go_on(folder, original, source)


def small_source(folder: Path) -> Path:
    """A new folder to install, which is quicker to copy than ours."""
    source = folder / f"source{len(list(folder.iterdir()))}"
    write(source / "__init__.py", f"NAME = '{source.name}'\n")
    write(source / "other.py", "")
    write(source / "plugins" / "__init__.py", "")
    return source


def run_killed(source: Path, model: Path, action: str, exchanges: bool) -> None:
    """See killed_swaps.py."""
    script = Path(__file__).with_name("killed_swaps.py")
    done = subprocess.run(
        [sys.executable, script, source, model, action, "yes" if exchanges else "no"],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def contents(place: Path) -> Any:
    """What a schedulers directory is: a link's text, or its files without our marker."""
    if place.is_symlink():
        return str(place.readlink())
    return {name: text for name, text in tree(place).items() if name != MARKER}


def go_on(folder: Path, original: dict[str, str], source: Path) -> None:
    """unlink, or link again."""
    other = folder.with_name(f"{folder.name} again")
    shutil.copytree(folder, other, symlinks=True)
    unlink(find_checkout(folder))
    assert tree(folder) == original
    checkout = find_checkout(other)
    with locked(checkout):
        swap = Swap(checkout)
        swap.recover()
        if identify(active(other)) != Piece("link", str(source)):
            swap.install(source, "2", copy=False, kept=LSF_KEPT)
            swap.commit()
    assert active(other).readlink() == source
    assert schedulers_names(other) == LINKED
    assert contents(active(other).with_name(KEPT)) == LSF_KEPT
    backup = {
        name.replace(BACKUP, "schedulers"): text
        for name, text in tree(other).items()
        if BACKUP in name
    }
    assert backup == original


# ------------------------------------------------------------------- errors on the way


class Full(Disk):
    """Runs out of space with the n-th change."""

    def __init__(self, left: int) -> None:
        self.left = left

    def _use(self, path: Path) -> None:
        self.left -= 1
        if self.left == 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    def rename(self, old: Path, new: Path) -> None:
        self._use(new)
        super().rename(old, new)

    def symlink(self, target: str, path: Path) -> None:
        self._use(path)
        super().symlink(target, path)

    def fill(self, path: Path, marker: Any, files: Files) -> None:
        self._use(path)
        super().fill(path, marker, files)

    def write_record(self, path: Path, data: Any) -> None:
        self._use(path)
        super().write_record(path, data)


@pytest.mark.parametrize("left", range(1, 11))
def test_failing_disk_is_undone(root: Path, monkeypatch: pytest.MonkeyPatch, left: int) -> None:
    monkeypatch.setattr("pavilion.dropin.inside.smoke", lambda *args: Smoke([], {}))
    monkeypatch.setattr("pavilion.dropin.inside.rehearse", lambda *args: Smoke([], {}))
    lsf = Scheduler("lsf", "", active(root) / "plugins" / "lsf.py", {})
    monkeypatch.setattr("pavilion.dropin.inside.start", lambda *args: Start("", [lsf], []))
    monkeypatch.setattr("pavilion.dropin.inside.show_sched", lambda checkout, python: None)
    monkeypatch.setattr("pavilion.dropin.checks._dependencies", lambda checkout, python: [])
    before = tree(root)
    disk = Full(left)
    try:
        outcome = link_module(find_checkout(root), PYTHON, disk=disk)
    except OSError as exc:
        assert exc.errno == errno.ENOSPC
        assert tree(root) == before
    else:
        assert disk.left > 0
        assert outcome.done


def test_lock_is_not_opened_through_a_link(root: Path, tmp_path: Path) -> None:
    """Somebody else's link would have us make, or open, a file of their choice."""
    victim = tmp_path / "victim"
    lock = active(root).with_name(".schedulers.pavilion-schedulers.lock")
    lock.symlink_to(victim)
    before = tree(root)
    for name in ("link", "unlink"):
        done = run(name, root)
        assert done.code == 2
        assert "is a link" in done.err
        assert str(lock) in done.err
    assert run("check", root).code == 0
    assert not victim.exists()
    assert tree(root) == before


def test_kept_directory_of_somebody_else_is_left_alone(root: Path) -> None:
    write(active(root).with_name(KEPT) / "their.py", "# not ours\n")
    before = tree(root)
    done = run("link", root)
    assert done.code == 2
    assert "is in the way" in done.err
    assert tree(root) == before


def test_record_that_cannot_be_understood(root: Path) -> None:
    checkout = find_checkout(root)
    checkout.record.write_text('{"state": "lin')
    with pytest.raises(DropinError, match=r"is not valid") as caught:
        unlink(checkout)
    assert str(checkout.record) in caught.value.pformat()


def test_original_that_somebody_removed_meanwhile(root: Path) -> None:
    """Nothing is deleted when it is not to be found."""
    checkout = find_checkout(root)
    with locked(checkout):
        Swap(checkout).install(OURS, "1", copy=False)
    shutil.rmtree(checkout.backup)
    before = tree(root)
    with pytest.raises(DropinError, match=r"git checkout -- lib/pavilion/schedulers"):
        unlink(checkout)
    assert tree(root) == before


# ------------------------------------------------------------------- finding out about it


@pytest.mark.parametrize(
    ("file", "text", "version"),
    [
        ("RELEASE.md", "# Pavilion 2 Release Notes\n\n## Release 2.6\nText 9.9\n\n## 2.5.1", "2.6"),
        ("RELEASE.md", "# Release Notes\n## 2.3\n## 2.4\n## Pavilion 2.6.1", "2.6.1"),
        ("RELEASE.md", "# Version 2.10\n# Version 2.9", "2.10"),
        (
            "RELEASE.txt",
            "# Text.\nRELEASE=2.6\n\n# Release History\n## 2.7 Pre-Release Notes\n",
            "2.6",
        ),
        ("RELEASE.md", "RELEASE=2.6.1\n\n## 2.7 Pre-Release Notes\n## 2.6.1", "2.6.1"),
        ("RELEASE.txt", "# Text.\nRELEASE=2.4\n## 2.5 Pre-Release Notes\n", "2.4"),
        ("VERSION.txt", "# Text.\n2.0\n", None),
        ("VERSION", "2.5\n", "2.5"),
        ("lib/pavilion/version.py", "__version__ = '2.6.2'\n", "2.6.2"),
        ("setup.cfg", "[metadata]\nversion = 2.4\n", "2.4"),
        ("README.txt", "2.6", None),
        ("RELEASE.md", "# Notes\n\n# Needs Python 3.9\n", None),
    ],
)
def test_version(tmp_path: Path, file: str, text: str, version: str | None) -> None:
    write(tmp_path / file, text)
    found = find_version(Checkout(tmp_path))
    assert found.text == version
    assert found.supported == (None if version is None else version.startswith("2.6"))


def test_python_of_the_checkout(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkout = find_checkout(root)
    assert find_python(checkout).path == Path(sys.executable)
    assert "bin/pav" in find_python(checkout).how
    write(root / "pav_venv" / "pyvenv.cfg", "")
    python = write(root / "pav_venv" / "bin" / "python3", "#!/bin/sh\n")
    python.chmod(0o755)
    assert find_python(checkout).path == python
    shutil.rmtree(root / "pav_venv")
    (root / "bin" / "pav").unlink()
    folder = write(root / "path" / "python3", "#!/bin/sh\n").parent
    (folder / "python3").chmod(0o755)
    # Not that of the environment that we run in.
    monkeypatch.setenv("PATH", os.pathsep.join([str(Path(sys.prefix) / "bin"), str(folder)]))
    assert find_python(checkout).path == folder / "python3"


def test_modules_in_sub_repos_are_found(root: Path) -> None:
    repo = root / "lib" / "sub_repos" / "yaml_config" / "lib"
    repo.mkdir(parents=True)
    (root / "lib" / "yaml_config").rename(repo / "yaml_config")
    assert repo in module_path(find_checkout(root))


def test_this_package_is_no_checkout(tmp_path: Path) -> None:
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "pavilion").symlink_to(SRC / "pavilion")
    with pytest.raises(DropinError, match=r"this package itself"):
        find_checkout(tmp_path)
