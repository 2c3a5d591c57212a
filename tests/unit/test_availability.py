"""Why a scheduler cannot be used, where its plugin just says no."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pavilion.schedulers.finding.availability import why_unavailable


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (
            "try:\n    import no_such_module.part\nexcept ImportError:\n    pass\n",
            "This Python has no module 'no_such_module'.",
        ),
        (
            "try:\n    from no_such_module import x\n    import json\nexcept ImportError:\n    pass\n",
            "This Python has no module 'no_such_module'.",
        ),
        (
            "import shutil\nfound = shutil.which('no-such-command') and shutil.which('sh')\n",
            "There is no command 'no-such-command' in PATH.",
        ),
        ("import json\n", "gives no reason"),
        ("def (", "gives no reason"),
    ],
)
def test_what_the_module_looks_for_and_does_not_find(
    code: str, expected: str, tmp_path: Path
) -> None:
    path = tmp_path / "plugin.py"
    path.write_text(code)
    plugin: Any = SimpleNamespace(path=path)
    assert expected in why_unavailable(plugin)


def test_a_plugin_whose_file_is_not_known() -> None:
    plugin: Any = SimpleNamespace(path=Path("<unknown>"))
    assert "gives no reason" in why_unavailable(plugin)
