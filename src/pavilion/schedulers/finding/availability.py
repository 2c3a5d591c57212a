"""Why a scheduler cannot be used here, for plugins that only answer that it cannot."""

from __future__ import annotations

import ast
import importlib.util
import shutil
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..scheduler import SchedulerPlugin


def why_unavailable(plugin: SchedulerPlugin) -> str:
    """What the plugin's module looks for and this host does not have, as sentences: modules that
    it imports inside a try statement, and commands that it looks up with ``shutil.which()``.

    Never raises.
    """
    try:
        tree = ast.parse(plugin.path.read_bytes())
        modules = sorted({name for name in _tried_modules(tree) if _is_missing(name)})
    except (OSError, ValueError, SyntaxError):
        return "Its plugin gives no reason."
    commands = sorted({name for name in _commands(tree) if shutil.which(name) is None})
    reasons = []
    if modules:
        reasons.append(f"this Python has no module {', '.join(map(repr, modules))}")
    if commands:
        reasons.append(f"there is no command {', '.join(map(repr, commands))} in PATH")
    if not reasons:
        return (
            "Its plugin gives no reason. Its commands or modules may be missing, or the scheduler "
            "may not answer."
        )
    text = ", and ".join(reasons)
    return f"{text[0].upper()}{text[1:]}."


def _tried_modules(tree: ast.AST) -> list[str]:
    """The top-level modules that are imported within a try statement; relative imports are left
    out."""
    found: list[str] = []
    for block in ast.walk(tree):
        for node in ast.walk(block) if isinstance(block, ast.Try) else ():
            if isinstance(node, ast.Import):
                found += [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                found.append(node.module)
    return [name.partition(".")[0] for name in found]


def _is_missing(name: str) -> bool:
    try:
        return name != "pavilion" and importlib.util.find_spec(name) is None
    except (ImportError, ValueError):
        return True


def _commands(tree: ast.AST) -> list[str]:
    """The commands that are looked up by their names."""
    found = []
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or not node.args:
            continue
        name = getattr(node.func, "attr", getattr(node.func, "id", ""))
        argument = node.args[0]
        if (
            name in ("which", "find_executable")
            and isinstance(argument, ast.Constant)
            and (isinstance(argument.value, str))
        ):
            found.append(argument.value)
    return found
