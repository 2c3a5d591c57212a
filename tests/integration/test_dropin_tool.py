"""``make dropin``: a checkout's own tests, as it is and with our folder, side by side."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from made_up_pavilion import ROOT, make_checkout, schedulers_names, tree, write

sys.path.insert(0, str(ROOT / "tools"))
import dropin

GOOD = """
    import unittest
    from pavilion import schedulers


    class SchedTests(unittest.TestCase):
        def setUp(self):
            schedulers.SchedulerPlugin.register_core_plugins()

        def test_raw(self):
            self.assertIn("raw", schedulers.list_plugins())

        def test_unknown(self):
            '''A docstring, which unittest prints.'''
            self.assertIsNone(schedulers.get_plugin("none"))

        def test_zero_nodes(self):
            with self.assertRaises(Exception):
                schedulers.validate_config({"nodes": "0"})

        @unittest.skip("needs a cluster")
        def test_cluster(self):
            pass

        def test_broken_anyway(self):
            print("something without a newline", end="")
            self.fail("always")
    """
WORSE = """
    import unittest
    from pavilion import schedulers


    class FluxTests(unittest.TestCase):
        def test_flux(self):
            schedulers.SchedulerPlugin.register_core_plugins()
            for name in ("raw", "flux"):
                with self.subTest(name):
                    self.assertIn(name, schedulers.list_plugins())
    """


def run_tool(*argv: object, **env: str) -> subprocess.CompletedProcess[str]:
    """Run the tool."""
    return subprocess.run([sys.executable, ROOT / "tools" / "dropin.py", *map(str, argv)],
                          env=dict(os.environ, **env), stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, timeout=60, check=False)


def rows(out: str) -> dict[str, list[str]]:
    """Last two parts of each test's name -> what came before, what after, and the remark."""
    lines = out.partition("BEFORE")[2].partition("\n\n")[0].splitlines()[1:]
    return {".".join(words[0].split(".")[-2:]): words[1:] for words in map(str.split, lines)}


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = make_checkout(tmp_path_factory.mktemp("tool") / "pav 2")
    write(root / "test" / "tests" / "sched_tests.py", GOOD)
    write(root / "test" / "tests" / "other_tests.py", "raise RuntimeError('not to be imported')")
    return root


@pytest.fixture
def worse_checkout(tmp_path: Path) -> Path:
    root = make_checkout(tmp_path / "pav")
    write(root / "test" / "tests" / "sched_tests.py", GOOD)
    write(root / "test" / "tests" / "flux_tests.py", WORSE)
    return root


def test_side_by_side(checkout: Path) -> None:
    before = tree(checkout)
    done = run_tool(checkout, "--python", sys.executable)
    assert done.returncode == 0, done.stdout + done.stderr
    assert rows(done.stdout) == {
        "SchedTests.test_raw": ["ok", "ok"],
        "SchedTests.test_unknown": ["ok", "ok"],
        "SchedTests.test_zero_nodes": ["FAIL", "ok", "better"],
        "SchedTests.test_cluster": ["skipped", "skipped"],
        "SchedTests.test_broken_anyway": ["FAIL", "FAIL"],
    }
    assert "0 worse, 1 better." in done.stdout
    assert tree(checkout) == before
    # The copies are gone.
    copies = next(line for line in done.stdout.splitlines() if line.startswith("Copies:"))
    assert not Path(copies.split()[-1]).exists()


def test_something_worse(worse_checkout: Path, tmp_path: Path) -> None:
    done = run_tool(worse_checkout, "--python", sys.executable, TMPDIR=str(tmp_path))
    assert done.returncode == 1
    assert rows(done.stdout)["FluxTests.test_flux"] == ["ok", "FAIL", "<-", "worse"]
    assert "'flux' not found in" in done.stdout
    assert "1 worse, 1 better." in done.stdout
    # What it was run in is left to look at.
    copies = Path(done.stdout.rstrip().splitlines()[-1].partition(": ")[2])
    assert (copies / "after" / "pav" / "lib" / "pavilion" / "schedulers").is_symlink()


def test_copy_keeps_the_other_plugins(worse_checkout: Path) -> None:
    done = run_tool(worse_checkout, "--python", sys.executable, "--copy")
    assert done.returncode == 0, done.stdout + done.stderr
    assert rows(done.stdout)["FluxTests.test_flux"] == ["ok", "ok"]


@pytest.mark.parametrize("command", [
    "-m unittest -v tests.sched_tests", "-m pytest -p no:cacheprovider -v tests/sched_tests.py"])
def test_command_of_the_user(checkout: Path, command: str) -> None:
    done = run_tool(checkout, "--python", sys.executable,
                    PAVILION_TEST=f"{shlex.quote(sys.executable)} {command}")
    assert done.returncode == 0, done.stdout + done.stderr
    found = {name.rpartition(".")[2].rpartition(":")[2]: row
             for name, row in rows(done.stdout).items()}
    assert found == {
        "test_raw": ["ok", "ok"], "test_unknown": ["ok", "ok"],
        "test_zero_nodes": ["FAIL", "ok", "better"], "test_cluster": ["skipped", "skipped"],
        "test_broken_anyway": ["FAIL", "FAIL"]}


def test_a_linked_checkout_is_compared_with_its_own_folder(worse_checkout: Path) -> None:
    with dropin.locked(dropin.find_checkout(worse_checkout)):
        swap = dropin.Swap(dropin.find_checkout(worse_checkout))
        swap.install(dropin.SOURCE, "1", copy=False)
        swap.commit()
    names = schedulers_names(worse_checkout)
    done = run_tool(worse_checkout, "--python", sys.executable, "--copy")
    assert rows(done.stdout)["FluxTests.test_flux"][0] == "ok"
    assert schedulers_names(worse_checkout) == names


def test_nothing_to_compare(checkout: Path) -> None:
    done = run_tool(checkout, "--python", sys.executable, "--command", "echo no such thing; exit 5")
    assert done.returncode == 2
    assert "PAVILION_TEST" in done.stderr
    assert "no such thing" in done.stderr
    assert "exit code 5" in done.stderr


def test_tests_that_hang_are_stopped(checkout: Path) -> None:
    done = run_tool(checkout, "--python", sys.executable, "--timeout", "0.5",
                    "--command", "echo 'test_a (x.Y) ... ok'; echo 'test_b (x.Y) ... '; sleep 60")
    assert done.returncode == 0, done.stderr
    assert rows(done.stdout) == {"Y.test_a": ["ok", "ok"]}
    assert "stopped after 0.5 seconds" in done.stdout


def test_no_checkout(tmp_path: Path) -> None:
    done = run_tool(tmp_path)
    assert done.returncode == 2
    assert "is no Pavilion checkout" in done.stderr


def test_make_target_wants_a_path() -> None:
    done = subprocess.run(["make", "--dry-run", "dropin", "PAVILION=/a b"], cwd=ROOT,
                          capture_output=True, text=True, timeout=30, check=False)
    assert 'tools/dropin.py "/a b"' in done.stdout


OUTPUTS = {
    "unittest before 3.11": ("test_a (tests.x.Tests) ... ok\n", {"tests.x.Tests.test_a": "ok"}),
    "unittest": ("test_a (tests.x.Tests.test_a) ... FAIL\n", {"tests.x.Tests.test_a": "FAIL"}),
    "docstring": ("test_a (x.T.test_a)\nWhat it does. ... ok\n", {"x.T.test_a": "ok"}),
    "printed": ("test_a (x.T) ... Starting\nall is ok here\nok\n", {"x.T.test_a": "ok"}),
    "colours": ("test_a (x.T) ... \x1b[32mok\x1b[0m\n", {"x.T.test_a": "ok"}),
    "skipped": ("test_a (x.T) ... skipped 'not ok'\n", {"x.T.test_a": "skipped"}),
    "words in what it says": ("test_a (x.T) ... an error is ok\nERROR\n", {"x.T.test_a": "ERROR"}),
    "summary": ("=====\nERROR: test_a (x.T.test_a)\n-----\nok\n", {"x.T.test_a": "ERROR"}),
    "expected": ("test_a (x.T) ... expected failure\ntest_b (x.T) ... unexpected success\n",
                 {"x.T.test_a": "ok", "x.T.test_b": "FAIL"}),
    "pytest": ("a.py::T::test_a PASSED   [ 50%]\na.py::T::test_b[x y] FAILED [100%]\n"
               "a.py::test_c SKIPPED (no cluster) [100%]\nFAILED a.py::T::test_b[x y] - oops\n",
               {"a.py::T::test_a": "ok", "a.py::T::test_b[x y]": "FAIL",
                "a.py::test_c": "skipped"}),
    "xdist": ("[gw1] [ 50%] PASSED a.py::test_a \n", {"a.py::test_a": "ok"}),
}


@pytest.mark.parametrize(("text", "outcomes"), OUTPUTS.values(), ids=list(OUTPUTS))
def test_output_is_read(text: str, outcomes: dict[str, str]) -> None:
    assert dropin.parse_output(text).outcomes == outcomes


@pytest.mark.parametrize(("before", "after", "expected"), [
    ("ok", "skipped", "worse"), ("ok", "FAIL", "worse"), ("ok", None, "worse"),
    ("skipped", "ERROR", "worse"), (None, "FAIL", "worse"), ("FAIL", "ERROR", "same"),
    ("FAIL", None, "same"), ("FAIL", "ok", "better"), (None, "ok", "better"),
])
def test_what_counts_as_worse(before: str | None, after: str | None, expected: str) -> None:
    runs = [dropin.Run({} if outcome is None else {"t": outcome}) for outcome in (before, after)]
    worse, better = dropin.compare(*runs)
    assert ("worse" if worse else "better" if better else "same") == expected
