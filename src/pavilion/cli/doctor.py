"""``pav-sched doctor``: what a bug report needs, and what is wrong with an installation.

It must work where nothing else does.  So each section is checked in a thread of its own, with a
time limit, and whatever a check raises is a finding.  Nothing is imported here that needs a module
from outside the standard library; the sections import what they need.
"""

from __future__ import annotations

import sys
import threading
import time
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Callable

from . import base
from .base import PROGRAM, Command, Session
from .findings import PROBLEM, WARNING, Finding, Section, describe
from .output import clock, plural, print_json, tell

# Seconds that the sections get.  A server that takes longer to answer is not waited for.
PATIENCE = 10.0

Look = Callable[[Section, Session], None]


def _system_looks() -> list[tuple[str, Look]]:
    from . import doctor_system

    return [
        ("Program", doctor_system.program),
        ("Python and modules", doctor_system.python),
        ("System", doctor_system.system),
        ("Limits", doctor_system.limits),
        ("Environment", doctor_system.environment),
    ]


def _all_looks() -> list[list[tuple[str, Look]]]:
    from . import doctor_disk, doctor_site

    return [
        _system_looks(),
        [("Settings", doctor_site.settings)],
        [("Config directories", doctor_site.config_dirs)],
        [("Plugins", doctor_site.plugins), ("Schedulers", doctor_site.schedulers)],
        [("Working directory", doctor_disk.working_dir), ("Series", doctor_disk.series)],
    ]


def examine(
    session: Session, looks: Sequence[Sequence[tuple[str, Look]]], patience: float = PATIENCE
) -> Iterator[Section]:
    """Check everything.

    :param looks: The titles of the sections and the functions that check them.  The sections of
        one list are checked one after the other, the lists at the same time.
    :param patience: Seconds that all of it may take.
    :returns: The sections, in their order, each as soon as it is ready.
    """
    deadline = time.monotonic() + patience
    sections: list[Section] = []
    for group in looks:
        members = [(Section(title), look) for title, look in group]
        sections += [section for section, _ in members]
        threading.Thread(target=_look, args=(members, session), daemon=True).start()
    for section in sections:
        if not section.over.wait(max(0.0, deadline - time.monotonic())):
            section.problem(
                section.trying,
                f"no answer within {patience:g} seconds",
                "Something hangs: a file server or a scheduler does not answer. Try "
                "it by hand ('ls', 'sinfo').",
            )
        yield section


def _look(members: Sequence[tuple[Section, Look]], session: Session) -> None:
    for section, look in members:
        try:
            look(section, session)
        except BaseException as exc:
            if session.args.debug:
                traceback.print_exc()
            section.problem(section.trying, describe(exc), "")
        finally:
            section.over.set()


def _doctor(session: Session) -> int:
    from .doctor_site import LenientSession

    lenient = LenientSession(session.args)
    return _report(lenient, examine(lenient, _all_looks()))


def _report(session: Session, sections: Iterator[Section]) -> int:
    """Print what was found, section by section.

    :returns: The exit code.
    """
    findings: list[Finding] = []
    as_json = session.args.json
    if not as_json:
        print(f"{PROGRAM} doctor, {clock(time.time())}")
    for section in sections:
        # Its thread may still add some.
        found = list(section.findings)
        findings += found
        if not as_json:
            _print(section.name, found)
    number = {kind: sum(item.result == kind for item in findings) for kind in (PROBLEM, WARNING)}
    if as_json:
        print_json(
            {
                "checks": [asdict(item) for item in findings],
                "problems": number[PROBLEM],
                "warnings": number[WARNING],
                "ok": not number[PROBLEM],
            }
        )
    else:
        counts = f"{plural(number[PROBLEM], 'problem')}, {plural(number[WARNING], 'warning')}"
        print(f"\n{counts[0].upper()}{counts[1:]}.")
    return base.FAILED if number[PROBLEM] else base.OK


def _print(title: str, findings: Sequence[Finding]) -> None:
    print(f"\n{title}")
    width = max((len(item.name) for item in findings), default=0)
    for item in findings:
        print(f"  {item.result:<7}  {item.name:<{width}}  {item.value}".rstrip())
        if item.advice:
            print(f"           {'':<{width}}  -> {item.advice}")
    sys.stdout.flush()


def start_without(error: ImportError) -> int:
    """What is left to do if a module that the commands need is missing: say which one or, for
    'doctor', everything that can be found out all the same.

    :returns: The exit code.
    """
    import argparse

    if "doctor" in sys.argv[1:]:
        args = argparse.Namespace(
            config_file=None,
            config_dir=[],
            working_dir=None,
            debug=False,
            json="--json" in sys.argv,
        )
        session = Session(args)
        return _report(session, examine(session, [[*_system_looks(), ("The rest", _nothing)]]))
    tell(
        f"{PROGRAM}: error: {error}. A module that it needs is missing or broken, for "
        f"{sys.executable}.\nInstall pavilion-schedulers again, with its dependencies. "
        f"'{PROGRAM} doctor' shows what is missing."
    )
    return base.USAGE


def _nothing(section: Section, session: Session) -> None:
    """The finding in place of the sections that need missing modules."""
    section.problem(
        "settings and more",
        "not checked: a module that is needed for that is missing or broken",
        "See 'Python and modules' above.",
    )


COMMANDS = [
    Command(
        name="doctor",
        summary="check the installation, and print what a bug report needs",
        description=(
            "Check the installation, the settings, the plugins, the schedulers and the working\n"
            "directory, and print what a bug report needs. Values that look like passwords are\n"
            "left out, and so are the lines of env_setup. To test the working directory, a few\n"
            "files are made in it, and removed again.\n\n"
            "The exit code is 1 when there is a problem; warnings do not count."
        ),
        examples=["doctor", "doctor --json", "--config-file site.yaml doctor"],
        run=_doctor,
        json=True,
    )
]
