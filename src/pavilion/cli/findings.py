"""What the sections of 'doctor' find, without what looks like a password."""

from __future__ import annotations

import contextlib
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass

from .output import one_line

OK = "ok"
WARNING = "warning"
PROBLEM = "problem"

_SECRET = r"[\w.-]*(?:token|secret|passw(?:or)?d|passphrase|credential|api_?key|auth|jwt)[\w.-]*"
# What would give a secret away: a value after such a name, or after 'export NAME=', and a
# password in an address.
_SECRETS = (
    (
        # Not a part of a path, as in '/srv/auth:/usr/bin' and 'token.yaml:2'.
        re.compile(rf"(?i)(?<![\w./-])({_SECRET}['\"]?\s*(?:=|:\s)\s*)(?:'[^']*'|\"[^\"]*\"|\S+)"),
        r"\1***",
    ),
    (re.compile(r"\b(export\s+\w+=)(?:'[^']*'|\"[^\"]*\"|\S+)"), r"\1***"),
    (re.compile(r"(\w://[^\s/:@]*:)[^\s/@]+@"), r"\1***@"),
)
_SECRET_NAME = re.compile(rf"(?i)(?:{_SECRET}|\w*_KEY)\Z")


@dataclass(frozen=True)
class Finding:
    """What came of a check.

    :param result: OK, WARNING or PROBLEM.
    :param value: What was found.
    :param advice: What to do, for what is not OK.
    """

    section: str
    name: str
    result: str
    value: str
    advice: str = ""


class Section:
    """A group of checks, and their findings.

    :ivar trying: The check that is being made.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.trying = name
        self.findings: list[Finding] = []
        self.over = threading.Event()

    def add(self, result: str, name: str, value: object, advice: str = "") -> None:
        """Record a finding."""
        text = without_secrets(one_line(str(value)))
        self.findings.append(
            Finding(self.name, name, result, text, without_secrets(one_line(advice)))
        )

    def ok(self, name: str, value: object) -> None:
        """Something that is as it should be, or good to know."""
        self.add(OK, name, value)

    def warn(self, name: str, value: object, advice: str) -> None:
        """Something that may be intended, or may cause trouble."""
        self.add(WARNING, name, value, advice)

    def problem(self, name: str, value: object, advice: str) -> None:
        """Something that keeps tests from being run."""
        self.add(PROBLEM, name, value, advice)

    @contextlib.contextmanager
    def attempt(self, name: str, advice: str = "") -> Iterator[None]:
        """A check.  Whatever it raises is a problem, and the next check is made.

        :param advice: What to do in that case.
        """
        self.trying = name
        try:
            yield
        except (Exception, SystemExit) as exc:
            self.problem(name, describe(exc), advice)


def describe(error: BaseException) -> str:
    """An error as users read it; with its class where the message alone may say too little."""
    from pavilion.errors import PavilionError

    if isinstance(error, PavilionError):
        return str(error)
    if isinstance(error, OSError) and error.strerror and error.filename:
        return f"{error.strerror}: {error.filename}"
    return str(error) if isinstance(error, OSError) else f"{type(error).__name__}: {error}"


def without_secrets(text: str) -> str:
    """The text without values that look like passwords or tokens."""
    for pattern, shown in _SECRETS:
        text = pattern.sub(shown, text)
    return text


def is_secret(name: str) -> bool:
    """Whether a variable of this name is likely to hold a password or token."""
    return _SECRET_NAME.match(name) is not None
