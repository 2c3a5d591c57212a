"""--junit: the report for CI systems, however a command ends."""

from __future__ import annotations

import os
import signal
from collections import Counter
from pathlib import Path
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

import pytest
from cli_tools import SLEEPER, Cli, finish, interrupt, wait_until

# What junit-10.xsd of Jenkins allows: children and attributes of each element.
SHAPE = {
    "testsuites": ({"testsuite"}, {"name", "time", "tests", "failures", "errors"}),
    "testsuite": (
        {"properties", "testcase", "system-out", "system-err"},
        "name tests failures errors group time skipped timestamp hostname id package".split(),
    ),
    "properties": ({"property"}, set()),
    "property": (set(), {"name", "value"}),
    "testcase": (
        {"skipped", "error", "failure", "system-out", "system-err"},
        {"name", "time", "classname", "group"},
    ),
    "failure": (set(), {"type", "message"}),
    "error": (set(), {"type", "message"}),
    "system-out": (set(), set()),
}


def read(path: Path) -> Element:
    """The report, once its shape and its sums are found to be right."""
    root = ElementTree.parse(path).getroot()
    assert root.tag == "testsuites"
    for elem in root.iter():
        children, attributes = SHAPE[elem.tag]
        assert {child.tag for child in elem} <= children
        assert set(elem.attrib) <= set(attributes)
    for elem in [root, *root]:
        cases = list(elem.iter("testcase"))
        assert elem.get("tests") == str(len(cases))
        assert elem.get("failures") == str(sum(case.find("failure") is not None for case in cases))
        assert elem.get("errors") == str(sum(case.find("error") is not None for case in cases))
    for suite in root:
        names = Counter(
            (case.get("classname"), case.get("name")) for case in suite.iter("testcase")
        )
        assert set(names.values()) <= {1}
    return root


def cases(root: Element) -> dict[str, Element]:
    return {f"{case.get('classname')}/{case.get('name')}": case for case in root.iter("testcase")}


def properties(root: Element) -> dict[str, str]:
    return {item.attrib["name"]: item.attrib["value"] for item in root.iter("property")}


def test_results_of_a_run(cli: Cli, tmp_path: Path) -> None:
    cli.suite(r"""
        good:
          run: {cmds: ["echo fine"]}
        bad:
          run:
            cmds:
              - seq 100
              - printf '<b> & \033[31m \001 \377 \357\277\277 日本\r\n'
              - exit 3
        sizes:
          variables: {case: [{size: 1k, n: 1}, {size: 2k, n: 2}]}
          permute_on: case
          subtitle: "{{case.size}}"
          run: {cmds: ["true"]}
        """)
    report = tmp_path / "out dir" / "results.xml"
    report.parent.mkdir()
    done = cli("run", "suite", "suite.good", "--junit", report)
    assert done.code == 1
    root = read(report)
    assert [suite.get("name") for suite in root] == ["s1"]
    found = cases(root)
    assert list(found) == [
        "suite/good",
        "suite/bad",
        "suite.sizes/1k",
        "suite.sizes/2k",
        # The same test once more: CI systems would take it for the first.
        "suite/good [2]",
    ]
    failure = found["suite/bad"].find("failure")
    assert failure is not None
    assert failure.attrib == {"type": "FAIL", "message": "Exit code 3."}
    text = failure.text or ""
    assert "\n100\n" in text
    assert "\n50\n" not in text
    assert r"<b> & \x1b[31m \x01 \xff \uffff 日本" in text
    out = found["suite/bad"].findtext("system-out") or ""
    assert "\n1\n2\n3\n" in out
    assert "fine" in (found["suite/good"].findtext("system-out") or "")
    assert float(found["suite/bad"].attrib["time"]) > 0
    assert found["suite/good"].find("failure") is found["suite/good"].find("error") is None
    known = properties(root)
    assert known["s1.3.permutation"] == "case.size=1k, case.n=1"
    assert known["s1.1.job_id"] == cli("status", "s1.1", "--json").json["tests"][0]["job_id"]
    assert known["s1.1.nodes"] == known["s1.1.host"] == os.uname().nodename
    assert known["s1.2.path"] == str(cli.test_path("s1.2"))
    assert list(report.parent.iterdir()) == [report]


def test_a_large_log_is_quoted_in_part(cli: Cli, tmp_path: Path) -> None:
    cli.suite("""
        loud:
          run: {cmds: ["seq 1000000", "exit 1"]}
        """)
    report = tmp_path / "r.xml"
    assert cli("run", "suite", "--junit", report).code == 1
    out = cases(read(report))["suite/loud"].findtext("system-out") or ""
    assert out.rstrip().endswith("\n1000000")
    assert len(out) < 20_000
    assert str(cli.test_path("s1.1") / "run.log") in out
    # No half of a number.
    assert all(line == "" or len(line) >= 6 for line in out.partition("the end (")[2].splitlines())


def test_what_has_no_result_is_an_error(cli: Cli, tmp_path: Path) -> None:
    cli.suite(SLEEPER)
    report = tmp_path / "r.xml"
    assert cli("run", "suite", "--detach").code == 0
    assert cli("wait", "--timeout", "0.2", "--junit", report).code == 3
    for case in cases(read(report)).values():
        error = case.find("error")
        assert error is not None
        assert error.get("type") == "UNFINISHED"
        assert "has not finished" in (error.get("message") or "")
    assert cli("cancel", "s1").code == 0
    assert cli("wait", "--junit", report).code == 1
    errors = [case.find("error") for case in cases(read(report)).values()]
    assert [None if item is None else item.get("type") for item in errors] == ["CANCELLED"] * 2


def test_what_was_refused_is_an_error(cli: Cli, tmp_path: Path) -> None:
    from cli_tools import REFUSING_PLUGIN

    cli.plugin("refusing", REFUSING_PLUGIN)
    cli.suite("""
        first:
          scheduler: refusing
          run: {cmds: ["true"]}
        """)
    report = tmp_path / "r.xml"
    assert cli("run", "suite", "--junit", report).code == 1
    error = cases(read(report))["suite/first"].find("error")
    assert error is not None
    assert error.get("type") == "SCHED_ERROR"
    assert "The queue is closed." in (error.text or "")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_it_is_written_when_the_command_is_stopped(
    cli: Cli, tmp_path: Path, number: signal.Signals
) -> None:
    cli.suite(SLEEPER)
    report = tmp_path / "r.xml"
    process = cli.start("run", "suite", "--junit", report)
    for test in ("s1.1", "s1.2"):
        cli.wait_for_file(cli.test_path(test) / "work" / "started")
    # Handing over ends when all are handed over, and its guard with it; from then on it waits.
    wait_until(
        lambda: not (cli.work / "series" / "s1" / "starting").exists(),
        "the tests being handed over",
    )
    interrupt(process, number)
    done = finish(process)
    assert done.code == 128 + number
    assert "left running" in done.err
    assert len(cases(read(report))) == 2
    assert read(report).get("errors") == "2"


def test_several_series_are_several_suites(cli: Cli, tmp_path: Path) -> None:
    cli.suite("""
        good:
          run: {cmds: ["true"]}
        """)
    assert cli("run", "suite").code == cli("run", "suite").code == 0
    report = tmp_path / "r.xml"
    done = cli("wait", "s1", "s2", "--json", "--junit", report)
    assert done.code == 0
    assert [suite.get("name") for suite in read(report)] == ["s1", "s2"]
    assert done.json["summary"]["passed"] == 2


def no_directory(path: Path) -> Path:
    return path / "missing" / "r.xml"


def other_file(path: Path) -> Path:
    (path / "suite.yaml").write_text("hello: {}\n", encoding="utf-8")
    return path / "suite.yaml"


def directory(path: Path) -> Path:
    return path


def pipe(path: Path) -> Path:
    os.mkfifo(path / "pipe")
    return path / "pipe"


def link_to_nowhere(path: Path) -> Path:
    (path / "link").symlink_to(path / "missing" / "r.xml")
    return path / "link"


@pytest.mark.parametrize("make", [no_directory, other_file, directory, pipe, link_to_nowhere])
def test_nothing_starts_without_a_place_for_it(cli: Cli, tmp_path: Path, make: object) -> None:
    cli.suite("""
        good:
          run: {cmds: ["true"]}
        """)
    folder = tmp_path / "reports"
    folder.mkdir()
    assert callable(make)
    path = make(folder)
    before = sorted(folder.iterdir())
    done = cli("run", "suite", "--junit", path)
    assert done.code == 2
    assert str(path) in done.err
    assert "othing was started" in done.err
    assert not cli.work.exists()
    assert sorted(folder.iterdir()) == before


def test_detach_has_no_results(cli: Cli, tmp_path: Path) -> None:
    cli.suite("""
        good:
          run: {cmds: ["true"]}
        """)
    done = cli("run", "suite", "--detach", "--junit", tmp_path / "r.xml")
    assert done.code == 2
    assert "wait SERIES --junit" in done.err
    assert not cli.work.exists()


def test_an_earlier_report_is_not_taken_for_this_one(cli: Cli, tmp_path: Path) -> None:
    cli.suite("""
        good:
          run: {cmds: ["true"]}
        """)
    real, report = tmp_path / "real.xml", tmp_path / "r.xml"
    report.symlink_to(real)
    assert cli("run", "suite", "--junit", report).code == 0
    read(real)
    assert report.is_symlink()
    assert cli("run", "suit", "--junit", report).code == 2
    assert not real.exists()


def test_a_report_that_cannot_be_written_is_told(cli: Cli, tmp_path: Path) -> None:
    folder = tmp_path / "reports"
    folder.mkdir()
    cli.suite(f"""
        good:
          run: {{cmds: ["rmdir '{folder}'"]}}
        """)
    done = cli("run", "suite", "--junit", folder / "r.xml")
    assert "1 passed" in done.out
    assert "could not be written" in done.err
    assert done.code == 1
