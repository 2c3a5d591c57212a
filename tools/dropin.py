"""Run a Pavilion checkout's own scheduler tests, without and with our directory: what differs?

    make dropin PAVILION=/opt/pavilion2
    make dropin PAVILION=/opt/pavilion2 PAVILION_TEST="./run_tests -o 'sched*'"

The checkout is copied to a temporary directory, once for each run; it is not changed itself. Its
tests are run with its own 'test/run_tests' if that exists, limited to modules whose names have to do
with schedulers. Otherwise, modules with such names are run with unittest. PAVILION_TEST is a shell
command to run instead, in the 'test' directory of the copy (or in its root, if there is none), with
the copy's 'lib' in PYTHONPATH. Its output is parsed: lines as printed by 'python -m unittest -v' and
'pytest -v'.

Exit code: 0 when nothing got worse, 1 when something did, 2 when it could not be measured.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dropin_output import ERROR, FAILED, OK, RANK, SKIPPED, Run, parse_output

from pavilion.dropin import SOURCE, Checkout, DropinError, examine, find_checkout, find_python
from pavilion.dropin.checkout import Interpreter, module_path, outer_path
from pavilion.dropin.checks import UNLESS_LEFT_OUT, Report
from pavilion.dropin.inside import smoke
from pavilion.dropin.kept import files_of, unusable
from pavilion.dropin.link import installed_version
from pavilion.dropin.swap import Swap, locked, read_state

RUNNER = Path(__file__).resolve().with_name("dropin_runner.py")
PATTERNS = [
    f"*{word}*"
    for word in (
        "sched",
        "slurm",
        "raw",
        "flux",
        "run",
        "cancel",
        "status",
        "series",
        "show",
        "job",
        "kickoff",
        "wait",
        "chunk",
        "node",
    )
]
# For run_tests, which compares these with the names of modules, classes and tests.  Patterns such as
# '*run*' would match most of its tests.
OWN_PATTERNS = [
    "sched*",
    "slurm*",
    "raw*",
    "flux*",
    "cancel*",
    "status*",
    "run_cmd*",
    "series*",
    "show*",
    "isolate*",
    "plugin*",
    "testset*",
]
SKIPPED_FOLDERS = ("__pycache__", "working_dir", ".pytest_cache")
# The default number of seconds that Pavilion's tests wait for a job: their own default is short for
# a machine that is also busy with other things.
PATIENCE = "60"


# ------------------------------------------------------------------------- running


@dataclass(frozen=True)
class Suite:
    """How the tests of a checkout are run.

    :param command: The user's shell command; None to run them in the usual way.
    :param own: Whether this is the checkout's own run_tests.
    """

    command: str | None
    own: bool

    def __str__(self) -> str:
        if self.command is not None:
            return self.command
        return f"run_tests -o {' -o '.join(OWN_PATTERNS)}" if self.own else "unittest"

    def argv(self, python: Interpreter, results: Path, only: Sequence[str] = ()) -> list[str]:
        """The command.

        :param results: The file to which our own runner writes.
        :param only: The tests to run, when the checkout's own run_tests runs them.
        """
        if self.command is not None:
            return ["sh", "-c", self.command]
        if not self.own:
            return [str(python.path), str(RUNNER), str(results), *PATTERNS]
        patterns = [test.partition(".")[2] for test in only] or OWN_PATTERNS
        return [
            str(python.path),
            "run_tests",
            *(word for pattern in patterns for word in ("-o", pattern)),
        ]


def find_suite(checkout: Checkout, command: str | None) -> Suite:
    """How the tests are run: with the user's command, or in the way that suits the checkout."""
    return Suite(command, command is None and (checkout.root / "test" / "run_tests").is_file())


def run_tests(
    checkout: Checkout, python: Interpreter, suite: Suite, timeout: float, only: Sequence[str] = ()
) -> Run:
    """Run the tests of a copy.

    :param timeout: Seconds after which they are stopped.
    :param only: As for Suite.argv.
    """
    folder = checkout.root / "test"
    folder = folder if folder.is_dir() else checkout.root
    results = checkout.root.parent / "results.jsonl"
    log = checkout.root.parent / ("again.txt" if only else "log.txt")
    start = time.monotonic()
    with log.open("wb") as out:
        process = subprocess.Popen(
            suite.argv(python, results, only),
            cwd=folder,
            env=_environment(checkout, python),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            note = f"exit code {process.wait(timeout)}"
        except subprocess.TimeoutExpired:
            note = f"stopped after {timeout:g} seconds"
        finally:
            _end(process)
    text = log.read_text(encoding="utf-8", errors="replace")
    read = suite.own or suite.command is not None
    run = parse_output(text) if read else _read_results(results)
    run.seconds, run.log, run.note = time.monotonic() - start, text, note
    return run


def _environment(checkout: Checkout, python: Interpreter) -> dict[str, str]:
    """The environment without variables that lead Pavilion elsewhere, and with its Python first in
    PATH."""
    env = {
        name: value
        for name, value in os.environ.items()
        if name.startswith("PAV_UNITTEST_")
        or not name.startswith(("PAV_", "PYTHON", "MAKE", "MFLAGS", "VIRTUAL_ENV"))
    }
    env.setdefault("PAV_UNITTEST_UNIVERSAL_TIMEOUT", PATIENCE)
    path = os.pathsep.join([str(python.path.parent), outer_path()])
    return dict(
        env,
        PATH=path,
        PYTHONUNBUFFERED="1",
        PYTHONPATH=os.pathsep.join(map(str, module_path(checkout))),
    )


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
    """Copy a checkout, with its own schedulers directory in place.

    :raises DropinError: When its own schedulers directory is not available.
    """
    root = folder / checkout.root.name
    lock, output = checkout.hidden("lock"), checkout.root / "test" / "output"
    shutil.copytree(
        checkout.root,
        root,
        symlinks=True,
        ignore=lambda parent, names: [
            name
            for name in names
            if name in SKIPPED_FOLDERS or Path(parent, name) in (lock, output)
        ],
    )
    copy = Checkout(root.resolve())
    with locked(copy):
        swap = Swap(copy)
        swap.recover()
        if read_state(copy).ours:
            swap.restore()
    if not copy.package.resolve().is_relative_to(copy.root):
        raise DropinError(
            f"{copy.package} is a link that leads out of the copy: the tests would run elsewhere."
        )
    return copy


def look(copy: Checkout, python: Interpreter, as_copy: bool) -> Report:
    """Check whether our directory works in a copy, and which of its own schedulers are kept.

    :raises DropinError: When it does not work.
    """
    report = examine(copy, python, as_copy)
    for finding in report.blocking(force=True):
        if finding.blocks == UNLESS_LEFT_OUT:
            print(f"Left out: {finding.what}: {finding.found}", flush=True)
            report.without.update(report.unusable)
        else:
            raise DropinError(
                f"Our directory does not work in the checkout: {finding.what}: "
                f"{finding.found}. {finding.hint}"
            )
    if report.kept:
        print(
            f"Kept:     {', '.join(plugin.name for plugin in report.kept)} (of the checkout's "
            "own schedulers)",
            flush=True,
        )
    return report


def put_ours(copy: Checkout, python: Interpreter, as_copy: bool) -> None:
    """Link a copy to our directory.  :raises DropinError: When it does not work there."""
    report = look(copy, python, as_copy)
    with locked(copy):
        swap = Swap(copy)
        swap.install(SOURCE, installed_version(), as_copy, files_of(report.kept), report.without)
        swap.commit()
    steps, broken = smoke(copy, python, report.kept)
    problems = [f"{step.name}: {step.found}" for step in steps if not step.passed]
    problems += [f"{name}: {why}" for name, why in unusable(report.kept, broken).items()]
    if problems:
        raise DropinError(f"Our directory does not work in the checkout: {problems[0]}")


# ----------------------------------------------------------------------- reporting


def compare(before: Run, after: Run) -> tuple[list[str], list[str]]:
    """The tests that got worse, and those that got better."""
    worse: list[str] = []
    better: list[str] = []
    for test in sorted({*before.outcomes, *after.outcomes}):
        one, other = before.of(test), after.of(test)
        if test not in before.outcomes:
            # A test that did not exist before: it only counts as worse if it fails.
            (worse if RANK[other] == 0 else better).append(test)
        elif RANK[other] < RANK[one]:
            worse.append(test)
        elif RANK[other] > RANK[one]:
            better.append(test)
    return worse, better


def print_runs(before: Run, after: Run, worse: Sequence[str], better: Sequence[str]) -> None:
    """Print totals, and what differs."""
    columns = (OK, FAILED, ERROR, SKIPPED)
    print(
        "".join(
            [
                f"{'':8}",
                f"{'TESTS':>7}",
                *(f"{word.upper():>9}" for word in columns),
                f"{'SECONDS':>9}",
            ]
        )
    )
    for name, run in (("Before", before), ("After", after)):
        values = list(run.outcomes.values())
        print(
            "".join(
                [
                    f"{name:8}",
                    f"{len(values):7}",
                    *(f"{values.count(word):9}" for word in columns),
                    f"{run.seconds:9.0f}",
                    f"  {run.note}",
                ]
            )
        )
    same = [
        test
        for test in sorted(before.outcomes)
        if RANK[before.of(test)] == 0 and RANK[after.of(test)] == 0
    ]
    for title, tests in (("Better", better), ("Failing in both", same), ("Worse", worse)):
        print(f"\n{title}: {len(tests)}")
        for test in tests:
            print(f"  {test}: {before.of(test)} -> {after.of(test)}")
            if tests is worse:
                for line in after.texts.get(test, "").strip().splitlines()[-25:]:
                    print(f"      {line}".rstrip())


def once_more(
    copy: Checkout,
    python: Interpreter,
    suite: Suite,
    timeout: float,
    after: Run,
    worse: Sequence[str],
) -> None:
    """Run tests that got worse again, because those that wait for real jobs occasionally fail for
    other reasons.

    Tests that pass now count as passed, and are reported.
    """
    if not worse or not suite.own:
        return
    print(f"Running again what got worse ({len(worse)}) ...", flush=True)
    again = run_tests(copy, python, suite, timeout, worse)
    for test in worse:
        if again.of(test) == OK:
            print(f"  {test}: passed this time")
            after.outcomes[test] = OK


def measure(args: argparse.Namespace, folder: Path) -> int:
    """Do everything.  Returns the exit code."""
    checkout = find_checkout(args.pavilion)
    python = find_python(checkout, args.python)
    suite = find_suite(checkout, args.command)
    print(
        f"Checkout: {checkout.root}\nPython:   {python.path} ({python.how})\n"
        f"Tests:    {suite}\nCopies:   {folder}",
        flush=True,
    )
    copies = [make_copy(checkout, folder / name) for name in ("before", "after")]
    put_ours(copies[1], python, args.copy)
    print("Running the tests as it is ...", flush=True)
    before = run_tests(copies[0], python, suite, args.timeout)
    if OK not in before.outcomes.values():
        tail = "\n".join(f"    {line}" for line in before.log.splitlines()[-15:])
        print(
            f"No test passes in the checkout as it is ({before.note}), so nothing can be "
            "compared. Say how to run its tests: PAVILION_TEST='./run_tests ...'. The output "
            f"ended with:\n{tail}",
            file=sys.stderr,
        )
        return 2
    print("Running the tests with our directory ...", flush=True)
    after = run_tests(copies[1], python, suite, args.timeout)
    once_more(copies[1], python, suite, args.timeout, after, compare(before, after)[0])
    print()
    worse, better = compare(before, after)
    print_runs(before, after, worse, better)
    return 1 if worse else 0


def main(argv: Sequence[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("pavilion", type=Path, help="the checkout")
    parser.add_argument(
        "--command",
        default=os.environ.get("PAVILION_TEST") or None,
        help="a shell command that runs the tests; default: $PAVILION_TEST",
    )
    parser.add_argument(
        "--python",
        default=os.environ.get("PAVILION_PYTHON") or None,
        help="the Python of the checkout; default: $PAVILION_PYTHON, otherwise it is searched for",
    )
    parser.add_argument("--timeout", type=float, default=3600.0, help="seconds for each run")
    parser.add_argument("--copy", action="store_true", help="copy our directory instead of linking")
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
