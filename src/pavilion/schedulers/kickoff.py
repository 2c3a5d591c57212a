"""Kickoff scripts: what a scheduler runs on an allocation to start a job's tests."""

from __future__ import annotations

import functools
import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable

from pavilion.errors import SchedulerPluginError
from pavilion.scriptcomposer import ScriptComposer, ScriptHeader
from pavilion.types import NodeRange

from .lifecycle.blaming import blaming_code

if TYPE_CHECKING:
    from pavilion.config import PavConfig

    from .vars import SchedulerVariables


# A directory beside the kickoff log, which is there once a job has begun that must not run twice.
BEGUN = "begun"
# Not resolved: if this directory is a link, the job uses the path through the link.
GUARD = Path(__file__).with_name("lifecycle").joinpath("guard.py").absolute()


class KickoffScriptHeader(ScriptHeader):
    """The header of a kickoff script; the default has a shebang line only.

    Subclasses override :meth:`_kickoff_lines` and use these fields:

    - ``_job_name``: The job's name, a string; it may contain any character.
    - ``_config``: The validated schedule section of the job's tests.
    - ``_sched_vars``: The scheduler variables; called as methods, ``self._sched_vars.account()``.
    - ``_include_nodes``: The names of the nodes that the job must get: all of its nodes if they
      were already picked, otherwise those of ``schedule.include_nodes``.
    - ``_exclude_nodes``: The names of the nodes that it must not get; empty if its nodes were
      already picked.
    - ``_node_min``, ``_node_max``: The least and the greatest number of nodes.  The latter is None
      when there is no upper limit.

    :param nodes: The names of the nodes, if they were already picked; or
    :param node_range: (min, max), if the scheduler picks them.
    :param shebang: The script's interpreter line.  Default: '#!/bin/bash'.
    """

    # Whether the script ends at once when it is started a second time.
    once: bool = False
    # A variable that only the scheduler needs, and that the script unsets; '' for none.
    token_variable: str = ""

    def __init__(
        self,
        job_name: str,
        sched_config: Mapping[str, Any],
        sched_vars: Any = None,
        nodes: Any = None,
        node_range: Any = None,
        shebang: str | None = None,
    ) -> None:
        if _without_vars(sched_vars, nodes, node_range):
            # An old subclass, which does not know sched_vars, passes its arguments by position.
            shebang = shebang or node_range
            sched_vars, nodes, node_range = None, sched_vars, nodes
        super().__init__(shebang or "#!/bin/bash")
        self._job_name = job_name
        self._config = sched_config
        self._sched_vars: Any = sched_vars
        if nodes is not None:
            self._include_nodes: list[str] = list(nodes)
            self._exclude_nodes: list[str] = []
            self._node_min: int = len(self._include_nodes)
            self._node_max: int | None = len(self._include_nodes)
        else:
            self._include_nodes = list(sched_config["include_nodes"])
            self._exclude_nodes = list(sched_config["exclude_nodes"])
            self._node_min, self._node_max = node_range or (1, 1)

    def get_lines(self) -> list[str]:
        """The shebang, then the lines of _kickoff_lines().

        :raises SchedulerPluginError: When that fails, or its lines cannot be used.
        """
        return [*super().get_lines(), *_checked_lines(self)]

    def _kickoff_lines(self) -> list[str]:
        """The lines that follow the shebang: the options of the job, as its scheduler reads them."""
        return []


def _checked_lines(header: KickoffScriptHeader) -> list[str]:
    """What a header's _kickoff_lines() returns.

    :raises SchedulerPluginError: When it fails, or its lines would add commands to the script.
    """
    cls = type(header)
    where = f"_kickoff_lines() of {cls.__qualname__} (module {cls.__module__})"
    with blaming_code(where):
        lines = header._kickoff_lines()
    if not isinstance(lines, (list, tuple)) or not all(isinstance(line, str) for line in lines):
        raise SchedulerPluginError(f"{where} must return a list of lines, not {lines!r}.")
    for line in lines:
        # The rest of a value with a line break in it would become a command.
        rest = [part for part in line.splitlines()[1:] if part and not part.startswith("#")]
        if rest and line.startswith("#"):
            raise SchedulerPluginError(
                f"{where} returned a line that contains a line break, after which "
                f"{rest[0]!r} would be run as a command: {line!r}."
            )
    return list(lines)


def _without_vars(sched_vars: Any, nodes: Any, node_range: Any) -> bool:
    """Whether these arguments are really (nodes, node_range, shebang)."""
    return (
        isinstance(sched_vars, (list, set, frozenset, tuple))
        or isinstance(node_range, str)
        or (isinstance(nodes, tuple) and len(nodes) == 2 and isinstance(nodes[0], int))
    )


@functools.cache
def _takes_vars(init: Callable[..., None]) -> bool:
    """Whether a header class with this __init__ accepts the argument sched_vars."""
    import inspect

    params = inspect.signature(init).parameters
    return "sched_vars" in params or any(
        param.kind is param.VAR_KEYWORD for param in params.values()
    )


def make_header(
    cls: type[KickoffScriptHeader],
    job_name: str,
    sched_config: Mapping[str, Any],
    sched_vars: SchedulerVariables,
    nodes: Sequence[str] | None,
    node_range: NodeRange | None,
    shebang: str | None,
) -> KickoffScriptHeader:
    """Create a header object, even of a class whose __init__ does not accept sched_vars.

    :raises SchedulerPluginError: When the class cannot be instantiated with these arguments.
    """
    kwargs: dict[str, Any] = {
        "job_name": job_name,
        "sched_config": sched_config,
        "nodes": nodes,
        "node_range": node_range,
        "shebang": shebang,
    }
    takes_vars = _takes_vars(cls.__init__)
    if takes_vars:
        kwargs["sched_vars"] = sched_vars
    with blaming_code(f"__init__() of {cls.__qualname__} (module {cls.__module__})"):
        header = cls(**kwargs)
    if getattr(header, "_sched_vars", None) is None:
        # An old class does not pass them on, even if it accepts them.
        header._sched_vars = sched_vars
    return header


def compose_stub(
    pav_cfg: PavConfig, header: ScriptHeader, log_path: None | str | Path, isolate: bool = False
) -> ScriptComposer:
    """The start of a kickoff script, before its tests: header, log, environment.

    :param log_path: The kickoff log.  With ``isolate``, only its name is used, and it is written
        to the directory of the script, wherever that is.
    :param isolate: Leave out the environment of Pavilion, but keep that of the site.
    """
    script = ScriptComposer(header=header)
    script.newline()
    script.comment("All output from here on goes to the kickoff log.")
    if isolate:
        name = shlex.quote(Path(log_path).name if log_path else "kickoff.log")
        script.command(f'exec >"$(dirname -- "${{BASH_SOURCE[0]}}")"/{name} 2>&1')
        _add_unset(script, header)
        script.newline()
        _add_env_setup(script, pav_cfg)
        return script
    if log_path is not None:
        if getattr(header, "once", False):
            _add_once(script, Path(log_path).parent / BEGUN)
        script.command(f"exec >{shlex.quote(os.fspath(log_path))} 2>&1")
    _add_unset(script, header)
    script.newline()
    script.comment("What the pav command needs to find its code and configuration.")
    bin_dir = Path(pav_cfg.pav_root) / "bin"
    script.command(f"export PATH={shlex.quote(os.fspath(bin_dir))}:${{PATH}}")
    if pav_cfg.pav_cfg_file is not None:
        cfg_file = shlex.quote(os.fspath(pav_cfg.pav_cfg_file))
        script.command(f"export PAV_CONFIG_FILE={cfg_file}")
    if "PAV_CONFIG_DIR" in os.environ:
        script.command(f"export PAV_CONFIG_DIR={shlex.quote(os.environ['PAV_CONFIG_DIR'])}")
    script.newline()
    _add_env_setup(script, pav_cfg)
    return script


def _add_once(script: ScriptComposer, begun: Path) -> None:
    """Have the script end at once when it has been started before; the log of that is kept."""
    mark = shlex.quote(os.fspath(begun))
    said = "'The scheduler started this job a second time. It is not run again.'"
    script.comment("A scheduler may run a job again, whatever its options say.")
    # Where the mark cannot be made, the job runs.
    script.command(f"mkdir {mark} 2>/dev/null || [ ! -d {mark} ] || {{ echo {said}; exit 75; }}")


def _add_unset(script: ScriptComposer, header: ScriptHeader) -> None:
    """Keep the token of the job from jobs that its tests submit with their environment."""
    variable = getattr(header, "token_variable", "")
    if variable:
        script.newline()
        script.comment("The scheduler knows this job by it; jobs that the tests submit are others.")
        script.command(f"unset {variable}")


def _add_env_setup(script: ScriptComposer, pav_cfg: PavConfig) -> None:
    """Add the site's own lines; programs of isolated tests need them, too."""
    if pav_cfg["env_setup"]:
        script.comment("The site's own environment (env_setup).")
        script.command(list(pav_cfg["env_setup"]))
        script.newline()


def add_run_command(script: ScriptComposer, test_ids: Sequence[str]) -> None:
    """Add the end of a kickoff script, where it becomes the process that runs the tests.

    So there is no shell that the scheduler's signals could kill while the tests continue.
    """
    # Two calls, because hosts only mark the first line of a comment.
    script.comment("The guard ends everything that the tests started when they, or the job, end.")
    script.comment("Where it is missing, the job runs without it.")
    words = [sys.executable or "python3", "-I", "-S", os.fspath(GUARD)]
    script.command(f"set -- {shlex.join(words)}")
    script.command('[ -x "$1" ] && [ -r "$4" ] || set --')
    # The command is on a line of its own, so that it can be found.
    script.command(['exec ${1+"$@"} \\', "pav _run " + " ".join(test_ids)])
