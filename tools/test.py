"""Run the tests, and say at the end what came of each part.

``tools/test.py [--quick] [--python PATH] [PYTEST ARGUMENT ...]``

Without ``--quick``: on the oldest Python that is found, one in the middle and the newest, each with
the fake schedulers, and with the newest on a real Slurm, Grid Engine, OpenPBS and Flux, where they
can be started.  All parts are run, whatever fails; a table at the end says what came of each.
``--quick`` runs the part of the tests that takes less than a minute, on the newest Python: see
``tests/quick.py``.

The exit code is 0 when all parts passed, 1 when any failed, 130 after Ctrl-C.
Needs nothing but Python 3.9.
"""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / ".test-results"
# How long an interrupted pytest may take to end what it has started.
PATIENCE = 20.0
NOTHING_CHOSEN = 5  # pytest's exit code when it finds no test
SHOWN_FAILURES = 30


class Part(NamedTuple):
    """Some tests on some Python."""

    title: str
    # Of its files.
    name: str
    python: str
    directory: str
    arguments: list[str]
    about: str
    coverage: bool = False


class Outcome(NamedTuple):
    """What came of a part."""

    part: Part
    passed: int = 0
    failed: int = 0
    skipped: int = 0
    seconds: float = 0.0
    # Why it counts as failed, or was left out.
    note: str = ""
    bad: bool = False
    failures: tuple[str, ...] = ()
    # Where to read on.
    report: str = ""


class Interrupted(Exception):
    """By Ctrl-C or a signal."""


def main(arguments: list[str]) -> int:
    """Run what was asked for; the exit code."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # as nohup has it
            signal.signal(number, _interrupt)
    os.chdir(ROOT)
    quick = arguments[:1] == ["--quick"]
    arguments = arguments[1:] if quick else arguments
    pythons: list[str] = []
    while arguments[:1] == ["--python"]:
        pythons.append(arguments[1])
        arguments = arguments[2:]
    outcomes: list[Outcome] = []
    try:
        if not pythons:
            pythons = _find_pythons("newest" if quick else "three")
        parts = _quick_parts(pythons, arguments) if quick else _parts(pythons, arguments)
        RESULTS.mkdir(exist_ok=True)
        measured = [part for part in parts if part.coverage]
        if measured:
            for left in ROOT.glob(".coverage*"):
                left.unlink()
        for part in parts:
            outcomes.append(_run(part))
            if measured and part == measured[-1]:
                outcomes[-1] = _measure(outcomes[-1], f"{part.directory}/bin/python")
    except Interrupted:
        print("\nInterrupted.", flush=True)
        _report(outcomes)
        return 130
    # An expression may match tests of some parts only.
    nothing = [outcome for outcome in outcomes if outcome.note == "no such tests"]
    if arguments and len(nothing) < len(outcomes):
        outcomes = [
            outcome._replace(bad=False) if outcome in nothing else outcome for outcome in outcomes
        ]
    _report(outcomes)
    return int(any(outcome.bad for outcome in outcomes))


def _interrupt(number: int, _: object) -> None:
    raise Interrupted


# ------------------------------------------------------------------------------- what there is to do


def _find_pythons(which: str) -> list[str]:
    found = subprocess.run(
        ["tools/pythons.sh", which], stdout=subprocess.PIPE, text=True, stdin=subprocess.DEVNULL
    )
    if found.returncode != 0:
        sys.exit(found.returncode)
    return found.stdout.splitlines()


def _version(python: str) -> str:
    code = "import sys; print('.'.join(map(str, sys.version_info[:3])))"
    done = subprocess.run([python, "-c", code], stdout=subprocess.PIPE, text=True)
    if done.returncode != 0:
        sys.exit(f"{python} does not run.")
    return done.stdout.strip()


def _short(version: str) -> str:
    return "".join(version.split(".")[:2])


def _why_not(program: str) -> str:
    """Why no real scheduler of a kind can be started here; '' if one can.

    :param program: What starts one in the tests, and says so.
    """
    done = subprocess.run([sys.executable, program], stderr=subprocess.PIPE, text=True)
    return (done.stderr.strip() or "it cannot be started") if done.returncode else ""


def _chosen(arguments: list[str]) -> list[str]:
    """Those of pytest's arguments that name tests: files and directories of tests/."""
    return [
        word
        for before, word in zip(["", *arguments], arguments)
        if before not in ("-k", "-m")
        and (word == "tests" or word.startswith("tests/"))
        and Path(word.partition("::")[0]).exists()
    ]


def _processes() -> int:
    # Three for each processor: most of what tests do is waiting.
    return max(4, min(8, 3 * len(os.sched_getaffinity(0))))


# Tests that are for particular schedulers, and those that all batch plugins have in common.
_SLURM, _ENGINE, _BATCH = "tests/slurm", "tests/gridengine", "tests/batch"
_PBS, _FLUX = "tests/pbs", "tests/flux"


def _parts(pythons: list[str], arguments: list[str]) -> list[Part]:
    """The parts of 'make test', announced."""
    versions = {python: _version(python) for python in pythons}
    chosen = _chosen(arguments)
    why_not = {
        _SLURM: _why_not("tests/slurm/real_slurm.py"),
        _ENGINE: _why_not("tests/gridengine/real_gridengine.py"),
        _PBS: _why_not("tests/pbs/installed_pbs.py"),
        _FLUX: _why_not("tests/flux/real_flux.py"),
    }
    startable = [name for name, reason in why_not.items() if not reason]
    parts = [
        _fake_part(python, versions[python], pythons, arguments, startable) for python in pythons
    ]
    for name in why_not:
        wanted = [path for path in chosen if path == "tests" or path.startswith((name, _BATCH))]
        if chosen and not wanted:
            why_not[name] = "none of its tests was chosen"
    real = [name for name, reason in why_not.items() if not reason]
    if real:
        parts.append(_real_part(pythons[-1], versions[pythons[-1]], arguments, real))
    print("Tests to run, one part after the other:")
    for part in parts:
        print(f"  {part.title}" + ("" if arguments else f": {part.about}"))
    _left_out[:] = [f"not on {_TITLES[name]}: {why}" for name, why in why_not.items() if why]
    for line in _left_out:
        print(f"  {line}")
    print("'make quick' runs what takes less than a minute.", flush=True)
    return parts


# What is not run here, and why: printed at the start, and again at the end.
_left_out: list[str] = []
# The fakes, and for which real schedulers they stand in.  That of a PBS without a job history has the
# same tests again, for which there is no time here: 'pytest tests/batch' has them all.
_FAKES = {_SLURM: "fake-slurm", _PBS: "fake-pbs", _FLUX: "fake-flux"}
_TITLES = {
    **{_SLURM: "a real Slurm", _ENGINE: "a real Grid Engine"},
    **{_PBS: "a real OpenPBS", _FLUX: "a real Flux"},
}


def _fake_part(
    python: str, version: str, pythons: list[str], arguments: list[str], real: Collection[str]
) -> Part:
    """The tests that need no real scheduler, on one Python.

    The oldest one has all of them.  The newest leaves to the real Slurm what that runs too, where
    there is one; and those in between have what is not about processes.

    :param real: The directories of the tests of real schedulers that can be started.
    """
    chosen, real_slurm = _chosen(arguments), _SLURM in real
    newest = python == pythons[-1]
    options = ["-n", str(_processes()), "--dist", "loadfile"]
    # Where there is a real scheduler, its fake need not show the same.
    fakes = [kind for name, kind in _FAKES.items() if name not in real]
    options.append(f"--batch={','.join(['minibatch', *fakes])}")
    if real_slurm:
        # Without a choice pytest takes the fake Slurm too, and says aloud what it left out.
        options.append("--slurm=fake")
    tests, about = ["tests", f"--ignore={_ENGINE}"], "15 minutes on two cores"
    if python not in (pythons[0], pythons[-1]):
        tests, about = ["tests/unit", "tests/contract"], "unit and contract tests, 3 minutes"
    elif newest and python != pythons[0] and real_slurm:
        tests += [f"--ignore={_SLURM}", f"--ignore={_BATCH}"]
        about = "without those that the real Slurm has, 10 minutes"
    return Part(
        f"Python {version}",
        f"py{_short(version)}",
        python,
        f".venv-{_short(version)}",
        [*options, *([] if chosen else tests), *arguments],
        about,
        coverage=newest and not arguments,
    )


def _real_part(python: str, version: str, arguments: list[str], real: list[str]) -> Part:
    """The tests of real schedulers.  These mostly wait, each process for schedulers of its own;
    and a scheduler is the same for every Python.

    :param real: The directories of the tests of those that can be started.
    """
    chosen = _chosen(arguments)
    places = (*real, _BATCH)
    rest = [
        part
        for word in arguments
        for part in (places if word == "tests" else [word])
        if word == "tests" or word not in chosen or word.startswith(places)
    ]
    kinds = {
        **{_SLURM: "real-slurm", _ENGINE: "real-gridengine"},
        **{_PBS: "real-pbs", _FLUX: "real-flux"},
    }
    return Part(
        f"{' and '.join(_TITLES[name] for name in real)}, Python {version}",
        "real",
        python,
        f".venv-{_short(version)}",
        [
            *("-n", str(_processes()), "--dist", "loadfile"),
            *(["--slurm=real"] if _SLURM in real else []),
            f"--batch={','.join(kinds[name] for name in real)}",
            *([] if chosen else places),
            *rest,
        ],
        "8 minutes",
        coverage=not arguments,
    )


def _quick_parts(pythons: list[str], arguments: list[str]) -> list[Part]:
    version = _version(pythons[-1])
    return [
        Part(
            f"Python {version}, what is quick",
            "quick",
            pythons[-1],
            f".venv-{_short(version)}",
            [
                *["-n", str(_processes()), "--dist", "loadfile", "--quick", "--slurm=fake"],
                *([] if _chosen(arguments) else ["--ignore=tests/gridengine"]),
                *([] if _chosen(arguments) else ["tests"]),
                *arguments,
            ],
            "less than a minute",
        )
    ]


# ------------------------------------------------------------------------------------ running a part


def _run(part: Part) -> Outcome:
    print(f"\n== Tests on {part.title}", flush=True)
    began = time.monotonic()
    code = _pump(["tools/venv.sh", part.python, part.directory, ".[test]"], None)
    if code != 0:
        seconds = time.monotonic() - began
        return Outcome(part, seconds=seconds, note="could not be set up", bad=True)
    report, log = RESULTS / f"{part.name}.xml", RESULTS / f"{part.name}.log"
    report.unlink(missing_ok=True)
    python = f"{part.directory}/bin/python"
    words = [python, "-m", *(["coverage", "run", "-m"] if part.coverage else []), "pytest"]
    if part.coverage:
        # Much quicker than a trace function; for branches it would need Python 3.14.
        os.environ["COVERAGE_CORE"] = "sysmon"
    colour = ["--color=yes"] if sys.stdout.isatty() else []
    began = time.monotonic()
    code = _pump([*words, *colour, f"--junitxml={report}", *part.arguments], log)
    os.environ.pop("COVERAGE_CORE", None)
    return _read(part, code, report, log)._replace(seconds=time.monotonic() - began)


def _pump(words: list[str], log: Path | None) -> int:
    """Run a command, show what it prints, and keep that in a file; its exit code.

    It is in a session of its own: what a Ctrl-C means for it is decided here, once.
    """
    process = subprocess.Popen(
        words,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    assert process.stdout is not None
    copy = log.open("wb") if log else None
    try:
        while piece := os.read(process.stdout.fileno(), 65536):
            sys.stdout.buffer.write(piece)
            sys.stdout.flush()
            if copy:
                copy.write(piece)
                copy.flush()
        return process.wait()
    except Interrupted:
        print("\nInterrupted: ending what was started...", flush=True)
        _end(process)
        raise
    finally:
        if copy:
            copy.close()


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a command and what it has started; a second Ctrl-C does not wait."""
    try:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=PATIENCE)
    except (subprocess.TimeoutExpired, Interrupted):
        pass
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    process.wait()


# ------------------------------------------------------------------------------------- what came of it


def _read(part: Part, code: int, report: Path, log: Path) -> Outcome:
    """The numbers of pytest's report."""
    where = str(log.relative_to(ROOT))
    try:
        suites = list(ET.parse(report).getroot().iter("testsuite"))
    except (OSError, ET.ParseError):
        return Outcome(part, note=f"ended with {code}, without a report", bad=True, report=where)
    counts = {
        key: sum(int(suite.get(key, 0)) for suite in suites)
        for key in ("tests", "failures", "errors", "skipped")
    }
    bad = counts["failures"] + counts["errors"]
    failures = []
    for case in (case for suite in suites for case in suite.iter("testcase")):
        if case.find("failure") is not None or case.find("error") is not None:
            failures.append(_node_id(case.get("classname", ""), case.get("name", "")))
    note = ""
    if code == NOTHING_CHOSEN:
        note = "no such tests"
    elif code != 0 and not bad:
        note = f"pytest ended with {code}"
    return Outcome(
        part,
        passed=counts["tests"] - bad - counts["skipped"],
        failed=bad,
        skipped=counts["skipped"],
        note=note,
        bad=code != 0,
        failures=tuple(failures),
        report=where,
    )


def _node_id(classname: str, name: str) -> str:
    """What pytest calls a test, from the names in its report: a.b.test_c.Class, test_d."""
    # A file that cannot be collected has no class.
    words = classname.split(".") if classname else []
    for count in range(len(words), 0, -1):
        path = Path(*words[:count]).with_suffix(".py")
        if path.exists():
            return "::".join([str(path), *words[count:], name])
    return f"{classname} {name}".strip()


def _measure(outcome: Outcome, python: str) -> Outcome:
    """Hold the coverage to its floor, which is in pyproject.toml."""
    subprocess.run([python, "-m", "coverage", "combine", "--quiet"], check=False)
    done = subprocess.run(
        [python, "-m", "coverage", "report"], stdout=subprocess.PIPE, text=True, check=False
    )
    report = RESULTS / "coverage.txt"
    report.write_text(done.stdout, encoding="utf-8")
    total = next((line for line in done.stdout.splitlines() if line.startswith("TOTAL")), "")
    note = f"coverage {total.split()[-1]} of src" if total else "coverage could not be measured"
    if done.returncode != 0:
        note += f", below the floor in pyproject.toml: see {report.relative_to(ROOT)}"
    notes = [text for text in (outcome.note, note) if text]
    return outcome._replace(note="; ".join(notes), bad=outcome.bad or done.returncode != 0)


def _report(outcomes: list[Outcome]) -> None:
    if not outcomes:
        return
    rows = [("PART", "PASSED", "FAILED", "SKIPPED", "SECONDS", "LOG", "")]
    for outcome in outcomes:
        numbers = (outcome.passed, outcome.failed, outcome.skipped, round(outcome.seconds))
        rows.append((outcome.part.title, *map(str, numbers), outcome.report, outcome.note))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    print()
    for row in rows:
        cells = [
            cell.rjust(width) if 1 <= column <= 4 else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths))
        ]
        print("  ".join(cells).rstrip())
    for line in _left_out:
        print(line)
    for outcome in outcomes:
        if outcome.failures:
            print(f"\nFailed on {outcome.part.title}:")
            for name in outcome.failures[:SHOWN_FAILURES]:
                print(f"  {name}")
            if len(outcome.failures) > SHOWN_FAILURES:
                print(f"  and {len(outcome.failures) - SHOWN_FAILURES} more")
            words = [f"{outcome.part.directory}/bin/python", "-m", "pytest"]
            kept = [word for word in outcome.part.arguments if word.startswith("--slurm=")]
            print(f"  One of them again: {shlex.join([*words, *kept, outcome.failures[0]])}")
    print(flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
