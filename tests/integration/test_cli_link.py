"""``pav-sched link``, ``unlink`` and ``check``, on a made-up checkout."""

from __future__ import annotations

import errno
import io
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import pytest
from cli_tools import Cli, Done, wait_until
from made_up_pavilion import (
    SRC,
    make_checkout,
    make_old_folder,
    schedulers_names,
    show_sched,
    tree,
    write,
)

from pavilion.cli.main import main
from pavilion.dropin import Checkout, DropinError, find_checkout, unlink
from pavilion.dropin import link as link_module
from pavilion.dropin.checkout import Interpreter, find_python, find_version, module_path
from pavilion.dropin.disk import MARKER, Disk
from pavilion.dropin.swap import Piece, Swap, identify, locked

OURS = SRC / "pavilion" / "schedulers"
BACKUP = "schedulers.before-pavilion-schedulers"
RECORD = ".schedulers.pavilion-schedulers.json"
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
    return {item["what"]: (item["verdict"], item["found"] + item["hint"])
            for item in done.json["findings"]}


# ------------------------------------------------------------------- the way there and back

def test_check_link_unlink(cli: Cli, root: Path) -> None:
    before = tree(root)
    done = cli(*command("check", root), bare=True)
    assert (done.code, done.err) == (0, "")
    table = {row[0]: row[1:] for row in done.rows}
    assert table["version"][:2] == ["2.6.1 (RELEASE.md)", "ok"]
    assert table["schedulers folder"][:2] == ["the checkout's own", "ok"]
    assert table["try-out: discovery"][:2] == ["raw, slurm", "ok"]
    assert table["pav show sched"][1] == "ok"
    assert tree(root) == before

    done = cli(*command("link", root / "lib" / "pavilion"), bare=True)
    assert done.code == 0, done.err
    assert active(root).readlink() == OURS
    assert f"unlink '{root}'" in done.out
    assert schedulers_names(root) == [RECORD, "schedulers", BACKUP]
    assert show_sched(root) == ["raw", "slurm"]

    linked = tree(root)
    done = run("link", root)
    assert done.code == 0
    assert "linked already" in done.out
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


def test_copy_has_the_plugins_that_are_not_ours(root: Path) -> None:
    before = tree(root)
    assert "flux" in findings(run("check", root, "--json"))["other plugins"][1]
    done = run("link", root, "--copy", "--json")
    assert done.code == 0, done.err
    assert done.json["changed"] is True
    assert not active(root).is_symlink()
    assert show_sched(root) == ["flux", "raw", "slurm"]
    done = run("link", root, "--copy", "--json")
    assert (done.json["done"], done.json["changed"]) == (True, False)

    # A copy of an older version is renewed; its other plugins stay.
    (active(root) / "planning.py").write_text("old = True\n")
    found = findings(run("check", root, "--json"))
    assert found["schedulers folder"][0] == "warning"
    assert found["other plugins"][0] == "ok"
    assert run("link", root, "--copy", "--json").json["changed"] is True
    assert (active(root) / "planning.py").read_bytes() == (OURS / "planning.py").read_bytes()
    assert show_sched(root) == ["flux", "raw", "slurm"]

    # From a copy to a link; the backup is still that of the beginning.
    assert run("link", root).code == 0
    assert active(root).is_symlink()
    assert schedulers_names(root) == [RECORD, "schedulers", BACKUP]
    assert run("unlink", root).code == 0
    assert tree(root) == before


# -------------------------------------------------------------------------- what is refused

def test_failure_in_place_is_undone(root: Path) -> None:
    (root / "break").touch()
    before = tree(root)
    done = run("link", root)
    assert done.code == 1
    assert "Everything was undone" in done.err
    assert "no, thanks" in done.out
    assert tree(root) == before


def test_host_that_lacks_something_is_found_before(root: Path) -> None:
    file = root / "lib" / "pavilion" / "jobs.py"
    file.write_text(file.read_text().replace("def save_node_data", "def other"))
    before = tree(root)
    done = run("link", root, "--json")
    assert done.code == 1
    assert findings(done)["try-out: host modules"] == (
        "FAIL", "this Pavilion lacks pavilion.jobs.Job.save_node_data")
    assert tree(root) == before


def test_other_version_needs_force(tmp_path: Path) -> None:
    root = make_checkout(tmp_path / "pav", version="2.4")
    before = tree(root)
    done = run("link", root)
    assert done.code == 1
    assert "2.4 (RELEASE.md)" in done.out
    assert "--force" in done.out
    assert tree(root) == before
    assert run("link", root, "--force").code == 0
    assert show_sched(root) == ["raw", "slurm"]


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
    old = write(root / "oldpython", """
        #!/bin/sh
        echo '@pavilion-schedulers {"python": [3, 6, 8], "modules": {
            "hostlist": {"error": "x"}, "yapsy": {"file": "y", "version": ""},
            "yaml_config": {"file": "y", "version": ""}, "yaml": {"error": "x"}}}' | tr -d '\\n'
        """)
    old.chmod(0o755)
    done = run("check", root, "--python", old, "--json")
    assert done.code == 1
    assert findings(done)["Python"][0] == "FAIL"
    assert findings(done)["hostlist"][0] == "warning"


@pytest.mark.parametrize(("given", "message"), [
    ("nowhere", "does not exist"), ("", "is no Pavilion checkout"),
])
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
    assert "it differs" in done.out
    assert tree(root) == before


def test_unlink_without_a_backup(root: Path) -> None:
    shutil.rmtree(active(root))
    active(root).symlink_to(OURS)
    before = tree(root)
    found = run("check", root, "--json")
    assert found.code == 0
    assert findings(found)["backup"][0] == "warning"
    assert "linked already" in run("link", root).out
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
    assert findings(done)["schedulers folder"][0] == "FAIL"
    assert run("link", root).code == 0
    assert show_sched(root) == ["raw", "slurm"]
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
    assert show_sched(root) == ["raw", "slurm"]
    half = tree(root)
    done = run("check", root, "--json")
    assert done.code == 1
    assert done.json["state"] == "interrupted"
    assert "linking was interrupted" in findings(done)["schedulers folder"][1]
    assert tree(root) == half

    done = run("unlink", root)
    assert done.code == 0
    assert "put right" in done.err
    assert tree(root) == before

    kill_link(cli, root)
    done = run("link", root)
    assert done.code == 0, done.err
    assert schedulers_names(root) == [RECORD, "schedulers", BACKUP]
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
    assert "being changed" in findings(run("check", root, "--json"))["schedulers folder"][1]
    # Ctrl-C undoes it.
    os.killpg(process.pid, signal.SIGINT)
    process.communicate(timeout=15)
    assert process.returncode == 130
    assert schedulers_names(root) == ["schedulers"]


@pytest.mark.parametrize("exchanges", [True, False], ids=["exchange", "renames"])
@pytest.mark.parametrize(("first", "action"), [
    (None, "link"), (None, "copy"), (None, "fail"), ("link", "unlink"), ("copy", "unlink"),
    ("copy", "link"), ("link", "copy"), ("copy", "copy"), ("copy", "fail"),
])
def test_killed_at_each_step(tmp_path: Path, first: str | None, action: str, exchanges: bool
                             ) -> None:
    """Whatever was being done, and wherever it stopped: both ways lead on from there."""
    model = tmp_path / "model"
    make_old_folder(active(model))
    original = tree(model)
    if first is not None:
        checkout = find_checkout(model)
        with locked(checkout):
            Swap(checkout).install(small_source(tmp_path), "0", copy=first == "copy")
            Swap(checkout).commit()
    # What is put in its place now is another one.
    source = small_source(tmp_path)
    whole = [contents(active(model)), contents(source), str(source)]
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
        capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


def contents(place: Path) -> str | dict[str, str]:
    """What a schedulers folder is: a link's text, or its files without our marker."""
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
            swap.install(source, "2", copy=False)
            swap.commit()
    assert active(other).readlink() == source
    assert schedulers_names(other) == [RECORD, "schedulers", BACKUP]
    backup = {name.replace(BACKUP, "schedulers"): text for name, text in tree(other).items()
              if BACKUP in name}
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

    def write_record(self, path: Path, data: Any) -> None:
        self._use(path)
        super().write_record(path, data)


@pytest.mark.parametrize("left", range(1, 7))
def test_failing_disk_is_undone(root: Path, monkeypatch: pytest.MonkeyPatch, left: int) -> None:
    monkeypatch.setattr("pavilion.dropin.inside.smoke", lambda checkout, python: [])
    monkeypatch.setattr("pavilion.dropin.inside.rehearse", lambda checkout, python: [])
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


def test_record_that_cannot_be_understood(root: Path) -> None:
    checkout = find_checkout(root)
    checkout.record.write_text('{"state": "lin')
    with pytest.raises(DropinError, match=r"cannot be understood") as caught:
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

@pytest.mark.parametrize(("file", "text", "version"), [
    ("RELEASE.md", "# Pavilion 2 Release Notes\n\n## Release 2.6\nText 9.9\n\n## 2.5.1", "2.6"),
    ("RELEASE.md", "# Release Notes\n## 2.3\n## 2.4\n## Pavilion 2.6.1", "2.6.1"),
    ("RELEASE.md", "# Version 2.10\n# Version 2.9", "2.10"),
    ("VERSION", "2.5\n", "2.5"),
    ("lib/pavilion/version.py", "__version__ = '2.6.2'\n", "2.6.2"),
    ("setup.cfg", "[metadata]\nversion = 2.4\n", "2.4"),
    ("README.txt", "2.6", None),
    ("RELEASE.md", "# Notes\n\n# Needs Python 3.9\n", None),
])
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
