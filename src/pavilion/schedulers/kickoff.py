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

if TYPE_CHECKING:
    from pavilion.config import PavConfig

    from .vars import SchedulerVariables


# Not resolved: where this directory is a link, the job goes by that.
GUARD = Path(__file__).with_name("guard.py").absolute()


class KickoffScriptHeader(ScriptHeader):
    """The header of a kickoff script; the default has a shebang line only.

    Subclasses override :meth:`_kickoff_lines` and use these fields:

    - ``_job_name``: The job's name, as text; it may hold any character.
    - ``_config``: The validated schedule section of the job's tests.
    - ``_sched_vars``: The scheduler variables; called as methods, ``._sched_vars.account()``.
    - ``_include_nodes``: The names of nodes that the job must get: all of its nodes when they
      were picked already, else those of ``schedule.include_nodes``.
    - ``_exclude_nodes``: The names of nodes it must not get; empty when nodes were picked.
    - ``_node_min``, ``_node_max``: How many nodes it needs and can use.  The latter is None
      when there is no upper limit.

    :param nodes: The picked nodes, or
    :param node_range: (min, max), when the scheduler picks them.
    :param shebang: The script's interpreter line.
    """

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
            # A subclass from before sched_vars was there passes its arguments on by position.
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
        """The shebang, then what _kickoff_lines gives."""
        return [*super().get_lines(), *_checked_lines(self)]

    def _kickoff_lines(self) -> list[str]:
        """Lines to stand below the shebang, such as '#SBATCH -p main'."""
        return []


def _checked_lines(header: KickoffScriptHeader) -> list[str]:
    """What a header's _kickoff_lines() gives.

    :raises SchedulerPluginError: When that fails, or would put commands into the script.
    """
    cls = type(header)
    where = f"_kickoff_lines() of {cls.__qualname__} (module {cls.__module__})"
    try:
        lines = header._kickoff_lines()
    except SchedulerPluginError:
        raise
    except (Exception, SystemExit) as exc:
        raise SchedulerPluginError(
            f"{where} failed with {type(exc).__name__}", prior_error=exc
        ) from exc
    if not isinstance(lines, (list, tuple)) or not all(isinstance(line, str) for line in lines):
        raise SchedulerPluginError(f"{where} must give a list of lines, not {lines!r}.")
    for line in lines:
        # A value with a line end in it would go on as a command.
        rest = [part for part in line.splitlines()[1:] if part and not part.startswith("#")]
        if rest and line.startswith("#"):
            raise SchedulerPluginError(
                f"{where} gave a line with a line end in it, after which "
                f"{rest[0]!r} would be a command of its own: {line!r}."
            )
    return list(lines)


def _without_vars(sched_vars: Any, nodes: Any, node_range: Any) -> bool:
    """Whether these are really (nodes, node_range, shebang)."""
    return (
        isinstance(sched_vars, (list, set, frozenset, tuple))
        or isinstance(node_range, str)
        or (isinstance(nodes, tuple) and len(nodes) == 2 and isinstance(nodes[0], int))
    )


@functools.cache
def _takes_vars(init: Callable[..., None]) -> bool:
    """Whether a header class, of which this is the __init__, can be made with sched_vars."""
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
    """Make a header object, also of a class that knows nothing of sched_vars.

    :raises SchedulerPluginError: When the class cannot be made with these arguments.
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
    try:
        header = cls(**kwargs)
    except (Exception, SystemExit) as exc:
        raise SchedulerPluginError(
            f"The kickoff script header class {cls.__name__} failed", prior_error=exc
        ) from exc
    if getattr(header, "_sched_vars", None) is None:
        # An old class does not pass them on, whether it takes them or not.
        header._sched_vars = sched_vars
    return header


def compose_stub(
    pav_cfg: PavConfig, header: ScriptHeader, log_path: None | str | Path, isolate: bool = False
) -> ScriptComposer:
    """The part of a kickoff script that stands before its job: header, log, environment.

    :param log_path: The kickoff log; with ``isolate`` its name alone counts, and it is written
        beside the script, wherever that is.
    :param isolate: Leave the environment of Pavilion out; that of the site stays.
    """
    script = ScriptComposer(header=header)
    script.newline()
    script.comment("All output from here on goes to the kickoff log.")
    if isolate:
        name = shlex.quote(Path(log_path).name if log_path else "kickoff.log")
        script.command(f'exec >"$(dirname -- "${{BASH_SOURCE[0]}}")"/{name} 2>&1')
        script.newline()
        _add_env_setup(script, pav_cfg)
        return script
    if log_path is not None:
        script.command(f"exec >{shlex.quote(os.fspath(log_path))} 2>&1")
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


def _add_env_setup(script: ScriptComposer, pav_cfg: PavConfig) -> None:
    """The site's own lines; programs of isolated tests need them as well."""
    if pav_cfg["env_setup"]:
        script.comment("The site's own environment (env_setup).")
        script.command(list(pav_cfg["env_setup"]))
        script.newline()


def add_run_command(script: ScriptComposer, test_ids: Sequence[str]) -> None:
    """The end of a kickoff script: it becomes the process that runs the tests.

    There is no shell left to die of the scheduler's signals while the tests go on.
    """
    # A line each: hosts mark the first line of a comment only.
    script.comment("The guard ends all that the tests started when they, or the job, end.")
    script.comment("Where it is missing, the job does without.")
    words = [sys.executable or "python3", "-I", "-S", os.fspath(GUARD)]
    script.command(f"set -- {shlex.join(words)}")
    script.command('[ -x "$1" ] && [ -r "$4" ] || set --')
    # The command has a line of its own, for those who look for it.
    script.command(['exec ${1+"$@"} \\', "pav _run " + " ".join(test_ids)])
