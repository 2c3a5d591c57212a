"""``--junit FILE``: the results of tests as the XML that CI systems read.

It has the shape of Jenkins's ``junit-10.xsd``, which GitLab and others read, too.  A test
without a result is an error in it, never skipped: a run that was cut short must not look green.
"""

from __future__ import annotations

import argparse
import os
import re
import signal
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, Callable

from pavilion.errors import ConfigError
from pavilion.files import read_tail
from pavilion.schedulers.placement import hostlists
from pavilion.test_run import FAIL, PASS, TestRun

from . import base
from .base import PROGRAM, Session
from .output import clock, first_line, plural, tell
from .results import test_record

# xml.etree is imported where it is used: few commands write a report.
if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

# How many bytes of logs are quoted: for a test that passed, for another, and for all together.
# CI systems refuse reports that are too large.
QUOTED_PASSED = 2 * 1024
QUOTED = 16 * 1024
QUOTED_IN_ALL = 8 * 1024 * 1024
# The number of lines of the log that are quoted next to what went wrong.
LAST_LINES = 20

# What XML 1.0 cannot represent, and control characters that nobody can read.
_NOT_XML = re.compile("[^\t\n\r\x20-\x7e\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
# How much of a file is read to see whether it is an earlier report.
_LOOK = 4096
_SIGNALS = (signal.SIGTERM, signal.SIGHUP)


def add_junit(parser: argparse.ArgumentParser) -> None:
    """The option --junit."""
    parser.add_argument(
        "--junit",
        type=Path,
        metavar="FILE",
        help=(
            "write the results to FILE as JUnit XML, for CI systems; also when the command is "
            "interrupted or runs out of time. Tests without a result are errors in it"
        ),
    )


def with_report(session: Session, work: Callable[[Session], int]) -> int:
    """Run a command and write the report of its tests, however it ends.

    :returns: The exit code of the command; 1 when only the report could not be written.
    :raises ConfigError: When the file cannot be written.  Nothing was done then.
    """
    path = _checked(session)
    numbers: list[int] = []
    try:
        with _interrupted_by_signals(numbers):
            code = work(session)
    except BaseException:
        _write(session, path)
        raise
    if numbers:
        code = 128 + numbers[0]
    return code if _write(session, path) else code or base.FAILED


@contextmanager
def _interrupted_by_signals(numbers: list[int]) -> Iterator[None]:
    """A context in which TERM and HUP, as CI systems send them, end the command as Ctrl-C does.

    :param numbers: Collects the signals that came.
    """

    def interrupt(number: int, frame: FrameType | None) -> None:
        numbers.append(number)
        raise KeyboardInterrupt

    before: dict[int, Any] = {}
    for item in _SIGNALS:
        if signal.getsignal(item) != signal.SIG_IGN:
            before[item] = signal.signal(item, interrupt)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _checked(session: Session) -> Path:
    """The file to write.  An earlier report in its place is removed, so that nobody
    takes it for the result of this run.

    :raises ConfigError: When it cannot be written, or a file that is not a report is in its place.
    """
    from pavilion.schedulers.talk import safe_files

    if getattr(session.args, "detach", False):
        raise ConfigError(
            "--junit needs results, but --detach does not wait for any. "
            f"'{PROGRAM} wait SERIES --junit FILE' writes them later."
        )
    named: Path = session.args.junit
    path = Path(os.path.realpath(base.absolute(named)))
    if not path.parent.is_dir():
        raise ConfigError(
            f"The report {named} cannot be written: the directory {path.parent} does not exist. "
            "Nothing was started."
        )
    try:
        if os.path.lexists(path) and not _is_report(path):
            raise ConfigError(
                f"The report {named} would replace a file that is not a JUnit report. Name another "
                "file, or remove that one. Nothing was started."
            )
        probe = path.with_name(f".{path.name}.{os.getpid()}")
        safe_files.write_new(probe, b"", anywhere=True)
        probe.unlink()
        path.unlink(missing_ok=True)
    except OSError as exc:
        raise ConfigError(
            f"The report {named} cannot be written, so nothing was started", prior_error=exc
        ) from exc
    return path


def _is_report(path: Path) -> bool:
    """Whether a file is a report, or empty.  :raises OSError: When it cannot be read."""
    from pavilion.schedulers.talk import safe_files

    fd, _ = safe_files.open_regular(path)
    try:
        start = os.read(fd, _LOOK)
    finally:
        os.close(fd)
    return not start.strip() or b"<testsuite" in start


def _write(session: Session, path: Path) -> bool:
    """Write the report, if there are tests to report.

    :returns: Whether it was written.  An error was printed if not.
    """
    from pavilion.schedulers.talk import safe_files

    if session.tests is None:
        return True
    records = session.records or [test_record(test) for test in session.tests]
    try:
        text = report(session.tests, records)
        safe_files.write_atomic(path, text, mode=0o666, anywhere=True)
    except OSError as exc:
        tell(f"{PROGRAM}: error: The report {path} could not be written: {exc}")
        return False
    return True


# ------------------------------------------------------------------------------- the XML


def report(tests: Sequence[TestRun], records: Sequence[dict[str, Any]]) -> bytes:
    """The report of some tests: XML with a suite for each series.

    :param records: The record of each test; see :func:`.results.test_record`.
    """
    from xml.etree import ElementTree

    series: dict[str, list[tuple[TestRun, dict[str, Any]]]] = {}
    for test, record in zip(tests, records):
        series.setdefault(test.series, []).append((test, record))
    logs = _Logs()
    root = ElementTree.Element("testsuites", name=PROGRAM)
    totals: Counter[str] = Counter()
    for name, members in series.items():
        suite, counts = _suite(name, members, logs)
        totals += counts
        root.append(suite)
    for key in ("tests", "failures", "errors"):
        root.set(key, str(totals[key]))
    ElementTree.indent(root)
    data: bytes = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    return data + b"\n"


def _suite(
    name: str, members: Sequence[tuple[TestRun, dict[str, Any]]], logs: _Logs
) -> tuple[Element, Counter[str]]:
    """A series, and how many tests of which kind it has."""
    from datetime import datetime
    from xml.etree.ElementTree import Element, SubElement

    counts = Counter(tests=len(members))
    began = min(test.created for test, _ in members)
    ended = max([began, *(_seconds(record["finished"]) for _, record in members)])
    suite = Element("testsuite", name=name)
    properties = SubElement(suite, "properties")
    names: Counter[str] = Counter()
    for test, record in members:
        for key, value in _properties(record):
            if key != "id":
                SubElement(properties, "property", name=f"{test.id}.{key}", value=_xml(value))
        names[test.name] += 1
        case = _case(test, record, names[test.name], logs)
        counts["failures"] += case.find("failure") is not None
        counts["errors"] += case.find("error") is not None
        suite.append(case)
    for key in ("tests", "failures", "errors"):
        suite.set(key, str(counts[key]))
    suite.set("skipped", "0")
    suite.set("time", f"{ended - began:.3f}")
    suite.set("hostname", _xml(os.uname().nodename))
    try:
        when = datetime.fromtimestamp(began).astimezone().isoformat(timespec="seconds")
    except (OverflowError, ValueError, OSError):
        when = clock(time.time())
    suite.set("timestamp", when)
    return suite, counts


def _case(test: TestRun, record: dict[str, Any], number: int, logs: _Logs) -> Element:
    """A test.

    :param number: Its number among the tests of this name in its series, from 1.
    """
    from xml.etree.ElementTree import Element, SubElement

    suite, name = _names(test.name)
    if number > 1:
        # CI systems take two tests of the same name for one.
        name = f"{name} [{number}]"
    case = Element("testcase", classname=_xml(suite), name=_xml(name))
    case.set("time", f"{_seconds(record['duration']):.3f}")
    log = logs.tail(test, QUOTED_PASSED if record["result"] == PASS else QUOTED)
    kind, why = _verdict(record)
    if kind:
        state = record["result"] if kind == "failure" else _kind_of_error(record)
        item = SubElement(case, kind, type=_xml(state), message=_xml(first_line(why)))
        last = "\n".join(log.splitlines()[-LAST_LINES:])
        item.text = _xml(f"{why}\n\n{last}".strip())
    facts = "\n".join(f"{key}: {value}" for key, value in _properties(record))
    SubElement(case, "system-out").text = _xml(f"{facts}\n\n{log}")
    return case


def _seconds(value: Any) -> float:
    """A time in a record, which may be another user's; 0 for what is not a time."""
    return float(value) if isinstance(value, (int, float)) and 0 <= value < 1e10 else 0.0


def _names(name: str) -> tuple[str, str]:
    """Class and name of a test: ('suite.test', 'subtitle'), or ('suite', 'test')."""
    suite, _, rest = name.partition(".")
    test, _, subtitle = rest.partition(".")
    return (f"{suite}.{test}", subtitle) if subtitle else (suite, test or suite)


def _verdict(record: dict[str, Any]) -> tuple[str, str]:
    """The element that a test gets ('' when it passed), and why."""
    note = record["note"].strip()
    if record["result"] is None:
        return "error", f"The test has not finished; its state is {record['state']}: {note}"
    if not record["recorded"]:
        return "error", f"The end of the test ({record['result']}) is not recorded. {note}".strip()
    if record["result"] == PASS:
        return "", ""
    if record["result"] == FAIL:
        return "failure", note.partition(f"{FAIL}: ")[2] or note
    return "error", note or record["state"]


def _kind_of_error(record: dict[str, Any]) -> str:
    return "UNFINISHED" if record["result"] is None else str(record["state"])


def _properties(record: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Further facts about a test, as far as they are known."""
    for key in (
        "id",
        "scheduler",
        "job_id",
        "nodes",
        "host",
        "chunk",
        "permutation",
        "return_value",
        "state",
        "path",
    ):
        value = record.get(key)
        if value in (None, "", [], {}):
            continue
        if isinstance(value, dict):
            value = ", ".join(_choices(value))
        elif key == "nodes":
            # A record may have names that no host list can contain.
            value = hostlists.fold_short(record[key], limit=10**9, count=False)
        yield key, str(value)


def _choices(permutation: dict[str, Any]) -> Iterator[str]:
    """What a permutation chose: 'size=1k'; for a mapping each of its values, 'case.size=1k'."""
    for name, item in permutation.items():
        if isinstance(item, dict):
            yield from (f"{name}.{key}={value}" for key, value in item.items())
        else:
            yield f"{name}={item}"


class _Logs:
    """The ends of logs, as long as there is room for them in a report."""

    def __init__(self) -> None:
        self._left = QUOTED_IN_ALL

    def tail(self, test: TestRun, size: int) -> str:
        """The end of what a test printed or, if it printed nothing, of what its job printed."""
        job = test.job
        for path in (test.run_log, *(() if job is None else (job.kickoff_log, job.sched_log))):
            try:
                length = path.lstat().st_size
                if not length:
                    continue
                if min(length, size) > self._left:
                    return f"(There is no room for the log in this report: {path})\n"
                data = read_tail(path, size)
            except OSError:
                continue
            self._left -= len(data)
            text = data.decode("utf-8", "backslashreplace")
            if length <= size:
                return f"{path.name}:\n{text}"
            # The first line, and its first character, may be incomplete.
            whole = text.partition("\n")[2] or text
            return f"{path.name}, the end ({plural(length, 'byte')} in {path}):\n{whole}"
        return ""


def _xml(text: str) -> str:
    """The text with what XML cannot represent written as escapes."""
    return _NOT_XML.sub(
        lambda found: found[0].encode("unicode_escape", "surrogatepass").decode("ascii"), text
    )
