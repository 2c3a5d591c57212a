"""``make dropin``: a checkout's own tests, as it is and with our directory, side by side."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from made_up_pavilion import (
    COBALT,
    LSF,
    ROOT,
    make_checkout,
    schedulers_names,
    tree,
    write,
)

sys.path.insert(0, str(ROOT / "tools"))
import dropin
import dropin_output

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


    class KeptTests(unittest.TestCase):
        def test_lsf(self):
            schedulers.SchedulerPlugin.register_core_plugins()
            for name in ("raw", "lsf"):
                with self.subTest(name):
                    self.assertIn(name, schedulers.list_plugins())

        def test_age(self):
            self.assertEqual(getattr(schedulers, "AGE", "new"), "old")

        def test_unsteady(self):
            # Fails once with ours.
            if not hasattr(schedulers, "AGE") and not os.path.exists("failed once"):
                open("failed once", "w").close()
                self.fail("only this time")
    """.replace("import unittest\n", "import os\n    import unittest\n", 1)
# As Pavilion's own: it runs what it is told to, and names the rest as skipped.
RUN_TESTS = """
    #!/usr/bin/env python3
    import fnmatch, os, sys, unittest
    from pathlib import Path
    here = Path(__file__).resolve().parent
    sys.path.insert(0, str(here.parent / "lib"))
    only = sys.argv[2::2]
    assert sys.argv[1::2] == ["-o"] * len(only), sys.argv
    assert os.environ["PAV_UNITTEST_UNIVERSAL_TIMEOUT"] == "60"


    def choose(suite):
        for test in suite:
            if isinstance(test, unittest.TestSuite):
                choose(test)
            else:
                module, cls, method = test.id().rsplit(".", 2)
                names = (module, cls.lower(), method[len("test_"):], f"{cls}.{method}")
                if not any(fnmatch.fnmatch(name, glob) for name in names for glob in only):
                    setattr(test, method, unittest.skip("via cmdline")(lambda: None))


    print("Finding all tests.")
    suite = unittest.TestLoader().discover(str(here / "tests"), pattern="*_tests.py")
    choose(suite)
    result = unittest.TextTestRunner(verbosity=2).run(suite)
    print("ERROR: not the summary")
    sys.exit(len(result.errors) + len(result.failures))
    """


def run_tool(*argv: object, **env: str) -> subprocess.CompletedProcess[str]:
    """Run the tool."""
    return subprocess.run(
        [sys.executable, ROOT / "tools" / "dropin.py", *map(str, argv)],
        env=dict(os.environ, **env),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def totals(out: str) -> dict[str, list[int]]:
    """'Before' and 'After' -> tests, ok, FAIL, ERROR, skipped."""
    return {
        words[0]: list(map(int, words[1:6]))
        for words in map(str.split, out.splitlines())
        if words and words[0] in ("Before", "After")
    }


def told(out: str, title: str) -> list[str]:
    """The tests below a title, by the last parts of their names, and what came of them."""
    lines = out.partition(f"\n{title}: ")[2].partition("\n\n")[0].splitlines()
    tests = [line.strip() for line in lines[1:] if line.startswith("  ") and line[2] != " "]
    assert int(lines[0]) == len(tests)
    return [".".join(re.split(r"\.|::", test)[-2:]) for test in tests]


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
    write(root / "test" / "tests" / "series_tests.py", WORSE)
    return root


def test_side_by_side(checkout: Path) -> None:
    before = tree(checkout)
    done = run_tool(checkout, "--python", sys.executable)
    assert done.returncode == 0, done.stdout + done.stderr
    assert totals(done.stdout) == {"Before": [5, 2, 2, 0, 1], "After": [5, 3, 1, 0, 1]}
    assert told(done.stdout, "Better") == ["SchedTests.test_zero_nodes: FAIL -> ok"]
    assert told(done.stdout, "Failing in both") == ["SchedTests.test_broken_anyway: FAIL -> FAIL"]
    assert told(done.stdout, "Worse") == []
    assert "Kept:     lsf" in done.stdout
    # Short: what is as before is counted only.
    assert "test_raw" not in done.stdout
    assert "test_cluster" not in done.stdout
    assert tree(checkout) == before
    # The copies are gone.
    copies = next(line for line in done.stdout.splitlines() if line.startswith("Copies:"))
    assert not Path(copies.split()[-1]).exists()


def test_something_worse(worse_checkout: Path, tmp_path: Path) -> None:
    done = run_tool(worse_checkout, "--python", sys.executable, TMPDIR=str(tmp_path))
    assert done.returncode == 1
    assert told(done.stdout, "Worse") == [
        "KeptTests.test_age: ok -> FAIL",
        "KeptTests.test_unsteady: ok -> FAIL",
    ]
    assert "AssertionError: 'new' != 'old'" in done.stdout
    # What it was run in is left to look at.
    copies = Path(done.stdout.rstrip().splitlines()[-1].partition(": ")[2])
    assert (copies / "after" / "pav" / "lib" / "pavilion" / "schedulers").is_symlink()


def test_the_checkouts_own_run_tests_is_used(worse_checkout: Path) -> None:
    write(worse_checkout / "test" / "run_tests", RUN_TESTS)
    write(
        worse_checkout / "test" / "tests" / "other_tests.py",
        GOOD.replace("SchedTests", "OtherTests").replace("test_raw", "test_more"),
    )
    before = tree(worse_checkout)
    done = run_tool(worse_checkout, "--python", sys.executable, "--copy")
    assert done.returncode == 1, done.stdout + done.stderr
    # Other tests are not asked for, and are no skipped ones.
    assert totals(done.stdout) == {"Before": [8, 5, 2, 0, 1], "After": [8, 5, 2, 0, 1]}
    assert told(done.stdout, "Better") == ["SchedTests.test_zero_nodes: FAIL -> ok"]
    # What passes when it is run again is told, and is no worse.
    assert "KeptTests.test_unsteady: passed this time" in done.stdout
    assert told(done.stdout, "Worse") == ["KeptTests.test_age: ok -> FAIL"]
    assert "Traceback (most recent call last):" in done.stdout
    assert "AssertionError: 'new' != 'old'" in done.stdout
    assert "not the summary" not in done.stdout
    assert tree(worse_checkout) == before


def test_unsupported_pavilion_is_told_before_tests_are_run(tmp_path: Path) -> None:
    done = run_tool(make_checkout(tmp_path / "pav", version="2.5"), "--python", sys.executable)
    assert done.returncode == 2
    assert "SchedConfigError" in done.stderr
    assert "not supported" in done.stderr
    assert "Running" not in done.stdout


def test_scheduler_that_cannot_be_kept_is_told(tmp_path: Path) -> None:
    root = make_checkout(tmp_path / "pav", plugins={"lsf": LSF, "cobalt": COBALT})
    write(root / "test" / "tests" / "sched_tests.py", GOOD)
    done = run_tool(root, "--python", sys.executable)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Left out: scheduler cobalt" in done.stdout
    assert "Kept:     lsf" in done.stdout


@pytest.mark.parametrize(
    "command",
    ["-m unittest -v tests.sched_tests", "-m pytest -p no:cacheprovider -v tests/sched_tests.py"],
)
def test_command_of_the_user(checkout: Path, command: str) -> None:
    done = run_tool(
        checkout,
        "--python",
        sys.executable,
        PAVILION_TEST=f"{shlex.quote(sys.executable)} {command}",
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert totals(done.stdout) == {"Before": [5, 2, 2, 0, 1], "After": [5, 3, 1, 0, 1]}
    assert told(done.stdout, "Better") == ["SchedTests.test_zero_nodes: FAIL -> ok"]
    assert told(done.stdout, "Failing in both") == ["SchedTests.test_broken_anyway: FAIL -> FAIL"]


def test_a_linked_checkout_is_compared_with_its_own_folder(worse_checkout: Path) -> None:
    with dropin.locked(dropin.find_checkout(worse_checkout)):
        swap = dropin.Swap(dropin.find_checkout(worse_checkout))
        swap.install(dropin.SOURCE, "1", copy=False)
        swap.commit()
    names = schedulers_names(worse_checkout)
    done = run_tool(worse_checkout, "--python", sys.executable, "--copy")
    assert told(done.stdout, "Worse")[0] == "KeptTests.test_age: ok -> FAIL"
    assert schedulers_names(worse_checkout) == names


def test_nothing_to_compare(checkout: Path) -> None:
    done = run_tool(checkout, "--python", sys.executable, "--command", "echo no such thing; exit 5")
    assert done.returncode == 2
    assert "PAVILION_TEST" in done.stderr
    assert "no such thing" in done.stderr
    assert "exit code 5" in done.stderr


def test_tests_that_hang_are_stopped(checkout: Path) -> None:
    done = run_tool(
        checkout,
        "--python",
        sys.executable,
        "--timeout",
        "0.5",
        "--command",
        "echo 'test_a (x.Y) ... ok'; echo 'test_b (x.Y) ... '; sleep 60",
    )
    assert done.returncode == 0, done.stderr
    assert totals(done.stdout) == {"Before": [1, 1, 0, 0, 0], "After": [1, 1, 0, 0, 0]}
    assert "stopped after 0.5 seconds" in done.stdout


def test_no_checkout(tmp_path: Path) -> None:
    done = run_tool(tmp_path)
    assert done.returncode == 2
    assert "is not a Pavilion checkout" in done.stderr


def test_make_target_wants_a_path() -> None:
    done = subprocess.run(
        ["make", "--dry-run", "dropin", "PAVILION=/a b"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
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
    "printed like the summary": (
        "test_a (x.T) ... ERROR: test_b (x.T)\nERROR: test_c (x.T)\nok\n",
        {"x.T.test_a": "ok"},
    ),
    "not asked for": (
        "test_a (x.T)\nWhat ... skipped 'via cmdline'\ntest_b (x.T) ... ok\n",
        {"x.T.test_b": "ok"},
    ),
    "expected": (
        "test_a (x.T) ... expected failure\ntest_b (x.T) ... unexpected success\n",
        {"x.T.test_a": "ok", "x.T.test_b": "FAIL"},
    ),
    "pytest": (
        "a.py::T::test_a PASSED   [ 50%]\na.py::T::test_b[x y] FAILED [100%]\n"
        "a.py::test_c SKIPPED (no cluster) [100%]\nFAILED a.py::T::test_b[x y] - oops\n",
        {"a.py::T::test_a": "ok", "a.py::T::test_b[x y]": "FAIL", "a.py::test_c": "skipped"},
    ),
    "xdist": ("[gw1] [ 50%] PASSED a.py::test_a \n", {"a.py::test_a": "ok"}),
}


@pytest.mark.parametrize(("text", "outcomes"), OUTPUTS.values(), ids=list(OUTPUTS))
def test_output_is_read(text: str, outcomes: dict[str, str]) -> None:
    assert dropin_output.parse_output(text).outcomes == outcomes


def test_tracebacks_are_read() -> None:
    run = dropin_output.parse_output(
        "test_a (x.T)\nWhat it does. ... FAIL\ntest_b (x.T) ... ERROR\n\n"
        + "=" * 70
        + "\nERROR: test_b (x.T)\n"
        + "-" * 70
        + "\nTraceback b\n\n"
        + "=" * 70
        + "\nFAIL: test_a (x.T)\nWhat it does.\n"
        + "-" * 70
        + "\nTraceback a\n\n"
        + "-" * 70
        + "\nRan 2 tests in 0.1s\n\nFAILED\n"
    )
    assert run.outcomes == {"x.T.test_a": "FAIL", "x.T.test_b": "ERROR"}
    assert run.texts["x.T.test_b"].strip() == "Traceback b"
    assert run.texts["x.T.test_a"].strip() == "What it does.\nTraceback a"


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ("ok", "skipped", "worse"),
        ("ok", "FAIL", "worse"),
        ("ok", None, "worse"),
        ("skipped", "ERROR", "worse"),
        (None, "FAIL", "worse"),
        ("FAIL", "ERROR", "same"),
        ("FAIL", None, "same"),
        ("FAIL", "ok", "better"),
        (None, "ok", "better"),
    ],
)
def test_what_counts_as_worse(before: str | None, after: str | None, expected: str) -> None:
    runs = [
        dropin_output.Run({} if outcome is None else {"t": outcome}) for outcome in (before, after)
    ]
    worse, better = dropin.compare(*runs)
    assert ("worse" if worse else "better" if better else "same") == expected
