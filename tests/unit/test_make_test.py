"""The report of 'make test': tools/test.py."""

from __future__ import annotations

import importlib.util
from collections import Counter
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_test", ROOT / "tools" / "test.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("classname", "name", "shown"),
    [
        ("tests.unit.test_words", "test_a", "tests/unit/test_words.py::test_a"),
        ("tests.unit.test_words.TestB", "test_a", "tests/unit/test_words.py::TestB::test_a"),
        # A file that cannot be collected.
        ("", "tests.unit.test_words", "tests.unit.test_words"),
        ("gone.test_x", "test_a", "gone.test_x test_a"),
    ],
)
def test_failures_are_named_as_pytest_takes_them(
    tool: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    classname: str,
    name: str,
    shown: str,
) -> None:
    monkeypatch.chdir(ROOT)
    assert tool._node_id(classname, name) == shown


def test_no_two_files_of_tests_have_one_name() -> None:
    """pytest could not collect both, as they are in no package."""
    names = Counter(path.name for path in (ROOT / "tests").rglob("test_*.py"))
    assert [name for name, count in names.items() if count > 1] == []
