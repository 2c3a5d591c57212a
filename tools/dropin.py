"""Run a Pavilion checkout's own scheduler tests, as it is and with our folder: what differs?

    make dropin PAVILION=/opt/pavilion2
    make dropin PAVILION=/opt/pavilion2 PAVILION_TEST="./run_tests -o 'sched*'"

The checkout is copied to a temporary folder, once for each run, and is itself not changed. Without
PAVILION_TEST the modules of its test folder whose names have to do with schedulers are run with
unittest. PAVILION_TEST is a shell command to run in place of that, in the 'test' folder of the
copy (the copy's root where there is none), with the copy's 'lib' in PYTHONPATH. Its output is read:
lines as 'python -m unittest -v' and 'pytest -v' print them.

Exit code: 0 when nothing got worse, 1 when something did, 2 when it could not be measured.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pavilion.dropin import SOURCE, Checkout, DropinError, find_checkout, find_python
from pavilion.dropin.checkout import Interpreter, module_path
from pavilion.dropin.checks import other_plugins
from pavilion.dropin.inside import smoke
from pavilion.dropin.link import installed_version
from pavilion.dropin.swap import Swap, locked, read_state

RUNNER = Path(__file__).resolve().with_name("dropin_runner.py")
PATTERNS = [f"*{word}*" for word in ("sched", "slurm", "raw", "flux", "run", "cancel", "status",
                                     "series", "show", "job", "kickoff", "wait", "chunk", "node")]
SKIPPED_FOLDERS = ("__pycache__", "working_dir", ".pytest_cache")

OK, SKIPPED, FAILED, ERROR, MISSING = "ok", "skipped", "FAIL", "ERROR", "-"
# How good an outcome is.
RANK = {OK: 2, SKIPPED: 1, FAILED: 0, ERROR: 0, MISSING: 0}


@dataclass
class Run:
    """A run of the tests.

    :param outcomes: Name of the test -> what came of it.
    :param texts: Name of the test -> what it said.
    """

    outcomes: dict[str, str] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0
    log: str = ""
    note: str = ""

    def add(self, test: str, outcome: str, text: str = "") -> None:
        """Note an outcome.  Of several for one test the worst counts."""
        known = self.outcomes.get(test)
        if known is None or RANK[outcome] < RANK[known]:
            self.outcomes[test] = outcome
            self.texts[test] = text


# ------------------------------------------------------------------------- reading output

_COLOURS = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_WORDS = {"ok": OK, "passed": OK, "expected failure": OK, "xfail": OK, "xfailed": OK,
          "fail": FAILED, "failed": FAILED, "unexpected success": FAILED, "xpass": OK,
          "error": ERROR, "skipped": SKIPPED, "skip": SKIPPED}
_OUTCOME = "|".join(sorted(_WORDS, key=len, reverse=True))
# tests/test_a.py::TestA::test_b PASSED    [ 50%]
_PYTEST = re.compile(rf"^(?P<test>\S+::.+?)\s+(?P<outcome>{_OUTCOME})\b"
                     r"(?:\s+\(.*\))?(?:\s+\[\s*\d+%\])?$", re.IGNORECASE)
# [gw0] [ 50%] PASSED tests/test_a.py::TestA::test_b
_XDIST = re.compile(rf"^\[gw\d+\] \[\s*\d+%\] (?P<outcome>{_OUTCOME}) (?P<test>\S+::.+?)$",
                    re.IGNORECASE)
# test_b (tests.a.TestA)   or, since Python 3.11:   test_b (tests.a.TestA.test_b)
_UNITTEST = re.compile(r"^(?P<method>\w+) \((?P<where>[\w.<>]+)\)")
# The outcome ends the test's line ('... ok'), or stands alone after what the test printed.
_END = re.compile(rf"(?:^|\.\.\. )(?P<outcome>{_OUTCOME})(?: ['\"].*)?$", re.IGNORECASE)
_DETAILS = re.compile(r"^(?P<outcome>FAIL|ERROR): (?P<test>.*)$")


def parse_output(text: str) -> Run:
    """The outcomes that the output of a test runner tells."""
    run = Run()
    open_test = ""
    for raw in text.splitlines():
        line = _COLOURS.sub("", raw).rstrip()
        match = _PYTEST.match(line) or _XDIST.match(line)
        if match:
            run.add(match["test"], _WORDS[match["outcome"].lower()])
            continue
        match = _DETAILS.match(line)
        if match:
            # The summary below all tests; it also names what was never started.
            open_test = ""
            found = _UNITTEST.match(match["test"])
            if found:
                run.add(_name(found), _WORDS[match["outcome"].lower()])
            continue
        match = _UNITTEST.match(line)
        if match:
            open_test = _name(match)
        end = _END.search(line)
        if open_test and end:
            run.add(open_test, _WORDS[end["outcome"].lower()], line)
            open_test = ""
    return run


def _name(match: re.Match[str]) -> str:
    """The name of a test, the same for all Pythons."""
    where, method = match["where"].strip(), match["method"]
    return where if where.endswith(f".{method}") else f"{where}.{method}"


# ------------------------------------------------------------------------- running

def run_tests(checkout: Checkout, python: Interpreter, command: str | None, timeout: float) -> Run:
    """Run the tests of a copy.

    :param command: A shell command; None for our own runner.
    :param timeout: Seconds.
    """
    folder = checkout.root / "test"
    folder = folder if folder.is_dir() else checkout.root
    results = checkout.root.parent / "results.jsonl"
    argv = (["sh", "-c", command] if command else
            [str(python.path), str(RUNNER), str(results), *PATTERNS])
    env = {name: value for name, value in os.environ.items()
           if not name.startswith(("PAV_", "PYTHON", "MAKE", "MFLAGS"))}
    env.update(PYTHONPATH=os.pathsep.join(map(str, module_path(checkout))), PYTHONUNBUFFERED="1")
    log = checkout.root.parent / "log.txt"
    start = time.monotonic()
    with log.open("wb") as out:
        process = subprocess.Popen(argv, cwd=folder, env=env, stdin=subprocess.DEVNULL, stdout=out,
                                   stderr=subprocess.STDOUT, start_new_session=True)
        try:
            note = f"exit code {process.wait(timeout)}"
        except subprocess.TimeoutExpired:
            note = f"stopped after {timeout:g} seconds"
        finally:
            _end(process)
    text = log.read_text(encoding="utf-8", errors="replace")
    run = parse_output(text) if command else _read_results(results)
    run.seconds, run.log, run.note = time.monotonic() - start, text, note
    return run


def _end(process: subprocess.Popen[bytes]) -> None:
    """End what is left of a run."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    process.wait()


def _read_results(file: Path) -> Run:
    run = Run()
    if file.exists():
        for line in file.read_text(encoding="utf-8").splitlines():
            item = json.loads(line)
            run.add(item["test"], item["outcome"], item["text"])
    return run


def make_copy(checkout: Checkout, folder: Path) -> Checkout:
    """Copy a checkout, with its own schedulers folder in its place.

    :raises DropinError: When that is not to be had.
    """
    root = folder / checkout.root.name
    skip = {".schedulers.pavilion-schedulers.lock"}
    shutil.copytree(checkout.root, root, symlinks=True, ignore=lambda _, names: [
        name for name in names if name in SKIPPED_FOLDERS or name in skip])
    copy = Checkout(root.resolve())
    with locked(copy):
        swap = Swap(copy)
        swap.recover()
        if read_state(copy).ours:
            swap.restore()
    if not copy.package.resolve().is_relative_to(copy.root):
        raise DropinError(f"{copy.package} leads out of the copy: the tests would run elsewhere.")
    return copy


def put_ours(copy: Checkout, python: Interpreter, as_copy: bool) -> None:
    """Link a copy to our folder.  :raises DropinError: When it does not work there."""
    with locked(copy):
        swap = Swap(copy)
        swap.install(SOURCE, installed_version(), as_copy,
                     other_plugins(copy.active) if as_copy else ())
        swap.commit()
    problems = [step for step in smoke(copy, python) if not step.passed]
    if problems:
        raise DropinError(f"Our folder does not work in the checkout: {problems[0].name}: "
                          f"{problems[0].found}")


# ------------------------------------------------------------------------- telling

def compare(before: Run, after: Run) -> tuple[list[str], list[str]]:
    """The tests that got worse, and those that got better."""
    worse: list[str] = []
    better: list[str] = []
    for test in sorted({*before.outcomes, *after.outcomes}):
        one = before.outcomes.get(test, MISSING)
        other = after.outcomes.get(test, MISSING)
        if test not in before.outcomes:
            # It was not there before: only its failing is news.
            (worse if RANK[other] == 0 else better).append(test)
        elif RANK[other] < RANK[one]:
            worse.append(test)
        elif RANK[other] > RANK[one]:
            better.append(test)
    return worse, better


def print_runs(before: Run, after: Run, worse: Sequence[str], better: Sequence[str]) -> None:
    """Both runs side by side, and what differs."""
    tests = sorted({*before.outcomes, *after.outcomes})
    width = max([4, *map(len, tests)])
    print(f"{'TEST':{width}}  {'BEFORE':8}{'AFTER':8}")
    for test in tests:
        mark = "<- worse" if test in worse else "better" if test in better else ""
        print(f"{test:{width}}  {before.outcomes.get(test, MISSING):8}"
              f"{after.outcomes.get(test, MISSING):8}{mark}".rstrip())
    print()
    for name, run in (("Before", before), ("After", after)):
        values = list(run.outcomes.values())
        counts = ", ".join(f"{values.count(word)} {word}" for word in (OK, SKIPPED, FAILED, ERROR)
                           if word in values)
        print(f"{name + ':':8} {len(values)} tests: {counts or 'none'}. "
              f"{run.seconds:.1f} s, {run.note}.")
    for test in worse:
        print(f"\n{test}: {before.outcomes.get(test, MISSING)} -> "
              f"{after.outcomes.get(test, MISSING)}")
        for line in after.texts.get(test, "").strip().splitlines()[-15:]:
            print(f"    {line}")
    print(f"\n{len(worse)} worse, {len(better)} better.")


def measure(args: argparse.Namespace, folder: Path) -> int:
    """Do it all; gives the exit code."""
    checkout = find_checkout(args.pavilion)
    python = find_python(checkout, args.python)
    print(f"Checkout: {checkout.root}\nPython:   {python.path} ({python.how})\n"
          f"Copies:   {folder}", flush=True)
    copy = make_copy(checkout, folder / "before")
    print("Running the tests as it is ...", flush=True)
    before = run_tests(copy, python, args.command, args.timeout)
    if OK not in before.outcomes.values():
        tail = "\n".join(f"    {line}" for line in before.log.splitlines()[-15:])
        print(f"No test passes in the checkout as it is ({before.note}), so nothing can be "
              "compared. Say how its tests are run: PAVILION_TEST='./run_tests ...'. It ended "
              f"with:\n{tail}", file=sys.stderr)
        return 2
    copy = make_copy(checkout, folder / "after")
    put_ours(copy, python, args.copy)
    print("Running the tests with our folder ...", flush=True)
    after = run_tests(copy, python, args.command, args.timeout)
    print()
    worse, better = compare(before, after)
    print_runs(before, after, worse, better)
    return 1 if worse else 0


def main(argv: Sequence[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pavilion", type=Path, help="the checkout")
    parser.add_argument("--command", default=os.environ.get("PAVILION_TEST") or None,
                        help="a shell command that runs the tests; default: $PAVILION_TEST")
    parser.add_argument("--python", default=os.environ.get("PAVILION_PYTHON") or None,
                        help="the Python of the checkout; default: $PAVILION_PYTHON, or found")
    parser.add_argument("--timeout", type=float, default=3600.0, help="seconds for each run")
    parser.add_argument("--copy", action="store_true", help="copy our folder, do not link it")
    parser.add_argument("--keep", action="store_true", help="keep the copies and logs")
    args = parser.parse_args(argv)
    folder = Path(tempfile.mkdtemp(prefix="dropin-")).resolve()
    code = 2
    try:
        code = measure(args, folder)
    except (DropinError, OSError) as exc:
        print(f"dropin: {exc.pformat() if isinstance(exc, DropinError) else exc}", file=sys.stderr)
    finally:
        if args.keep or code == 1:
            print(f"Copies and logs: {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)
    return code


if __name__ == "__main__":
    sys.exit(main())
