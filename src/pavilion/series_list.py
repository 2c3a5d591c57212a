"""What can be said about a series without loading its tests: small records, and marks.

Series may be other users', or damaged; whatever is wrong with one, the others are shown.
"""

from __future__ import annotations

import os
import pwd
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pavilion.config import PavConfig
from pavilion.errors import quoted
from pavilion.files import read_json
from pavilion.series import MAX_TESTS, RECORD_FN, REMOVED_FN, list_series
from pavilion.test_run import ERROR, FAIL, PASS


@dataclass
class SeriesInfo:
    """A series, as far as it can be read.

    - ``created``: seconds since the epoch; 0 when that is not known
    - ``owner``: the name of its user
    - ``results``: result -> how many tests have it
    - ``unfinished``: how many tests have not ended, as far as is recorded
    - ``problem``: why it cannot be read; None when it can
    """

    id: str
    path: Path
    owner: str = ""
    created: float = 0.0
    targets: list[str] = field(default_factory=list)
    tests: int = 0
    results: dict[str, int] = field(default_factory=dict)
    unfinished: int = 0
    problem: str | None = None

    @property
    def passed(self) -> int:
        """How many tests passed."""
        return self.results.get(PASS, 0)

    @property
    def failed(self) -> int:
        """How many tests failed."""
        return self.results.get(FAIL, 0)

    @property
    def errors(self) -> int:
        """How many tests ended in another way."""
        return sum(self.results.values()) - self.passed - self.failed


def series_infos(pav_cfg: PavConfig) -> Iterator[SeriesInfo]:
    """All series, newest first, each read when it is its turn.

    Series that are being made, and what 'clean' leaves of a series, are left out.
    """
    folder = pav_cfg.working_dir / "series"
    for number in reversed(list_series(pav_cfg)):
        info = series_info(folder / f"s{number}")
        if info is not None:
            yield info


def series_info(path: Path) -> SeriesInfo | None:
    """A series; None when there is none, or not yet, or not any more."""
    info = SeriesInfo(path.name, path)
    try:
        found = path.lstat()
        info.owner = user_name(found.st_uid)
        if not stat.S_ISDIR(found.st_mode):
            info.problem = "it is a link or a file, not a directory"
            return info
        record = read_json(path / RECORD_FN)
    except FileNotFoundError:
        return None
    except NotADirectoryError:
        return None
    except (OSError, ValueError) as exc:
        info.problem = str(getattr(exc, "strerror", None) or exc)
        return info
    try:
        _take(info, record)
    except (KeyError, TypeError, ValueError) as exc:
        info.problem = f"its record is damaged: {exc}"
        return info
    _count(info)
    return info


def was_removed(path: Path) -> bool:
    """Whether 'clean' has begun to remove a series, or kept its directory to reserve its number."""
    return os.path.lexists(path / REMOVED_FN)


def user_name(uid: int) -> str:
    """The name of a user; the number if there is no name."""
    try:
        return pwd.getpwuid(uid).pw_name
    except (KeyError, OSError):
        return str(uid)


def _take(info: SeriesInfo, record: Any) -> None:
    """Take over what a record says.  :raises KeyError, TypeError, ValueError: When it is damaged."""
    count, created = record["tests"], record.get("created", 0.0)
    if type(count) is not int or not 0 <= count <= MAX_TESTS:
        raise ValueError(f"'tests' has the value {quoted(count)}")
    if isinstance(created, (int, float)) and 0 <= created < 2**40:
        info.created = float(created)
    targets = record.get("targets")
    if isinstance(targets, list):
        info.targets = [target for target in targets if isinstance(target, str)]
    info.tests = count


def _count(info: SeriesInfo) -> None:
    """Count results by the files in the tests' directories."""
    for number in range(1, info.tests + 1):
        # As strings: this is done for every test.
        test = f"{info.path}/{info.id}.{number}"
        if not os.path.lexists(f"{test}/RUN_COMPLETE"):
            info.unfinished += 1
            continue
        result = ERROR
        try:
            found = read_json(Path(f"{test}/results.json"))
            if isinstance(found, dict) and isinstance(found.get("result"), str):
                result = found["result"]
        except (OSError, ValueError):
            # It ended without a result.
            pass
        info.results[result] = info.results.get(result, 0) + 1
