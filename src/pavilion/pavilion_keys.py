"""What Pavilion's tests have and the tests of this host do not, with what to do instead.

The author of a suite written for Pavilion learns which of its keys are merely missing here, and
which are mistakes.
"""

from __future__ import annotations

from collections.abc import Sequence

import yaml_config as yc

_SET_BY_PAVILION = "Pavilion sets it itself; leave it out"
_RESULTS = (
    "the exit code of the last command is the result: check the output in run.cmds, for "
    "example with 'grep -q'"
)
_CONDITIONS = "name the tests to run (SUITE.TEST), or check the condition in run.cmds"
_VERSIONS = "nothing depends on it here; leave it out, or put it in 'doc'"
_SPACK = "load packages in run.cmds: 'spack load NAME'"
_FILES = "write the file in run.cmds: 'cat > NAME <<EOF'"

# Dotted keys of a test -> what to do instead.
INSTEAD: dict[str, str] = {
    "build": (
        "there is no build step: build before the tests are run, or with the first commands "
        "of run.cmds"
    ),
    "result_parse": _RESULTS,
    "result_evaluate": _RESULTS,
    "only_if": _CONDITIONS,
    "not_if": _CONDITIONS,
    "maintainer": "put the name and the address in 'doc'",
    "test_version": _VERSIONS,
    "compatible_pav_versions": _VERSIONS,
    "group": "files of a test get the group of its directory: set that of the working directory",
    "umask": "set it in run.cmds: 'umask 0027'",
    "spack": _SPACK,
    "module_wrappers": "write the commands that it stands for in run.cmds",
    "run.modules": "load them in run.cmds: 'module load NAME'",
    "run.purge_modules": "write 'module purge' in run.cmds",
    "run.spack": _SPACK,
    "run.preamble": (
        "make it the first commands of run.cmds; what all tests need can be in "
        "env_setup of the settings"
    ),
    "run.prepend_cmds": "write all commands in run.cmds; 'cmds+' adds only after inherited ones",
    "run.append_cmds": "use 'cmds+', which adds after inherited commands",
    "run.create_files": _FILES,
    "run.templates": _FILES,
    "run.verbose": "write 'set -x' first in run.cmds",
    "run.autoexit": (
        "write 'set -e' first in run.cmds to stop at the first command that fails; "
        "without it the last command decides"
    ),
    "run.timeout_file": (
        "run.timeout counts from the start of the test, whatever it prints; leave it out"
    ),
    **dict.fromkeys(
        (
            "name",
            "cfg_label",
            "suite",
            "suite_path",
            "working_dir",
            "platform",
            "os",
            "host",
            "modes",
            "overrides",
            "permute_base",
            "sched_data_id",
        ),
        _SET_BY_PAVILION,
    ),
}

_HAS_KEY = "Pavilion has this key, this host does not: "


def explained(error: yc.ConfigError, elem: yc.KeyedElem, in_suite: bool = True) -> yc.ConfigError:
    """The error about an unknown key, as one about a key of Pavilion where it is one.

    Where the key belongs in a section of the test, the error says so, too.

    :param elem: The test's element.
    :param in_suite: Whether the error's path starts with the name of the test.
    """
    if not isinstance(error, yc.UnknownKeyError):
        return error
    path = [str(part) for part in error.path[in_suite:]]
    message = _message(path)
    if message is not None:
        changed = yc.UnknownKeyError(message, path=error.path)
        changed.file, changed.line = error.file, error.line
        return changed
    if len(path) == 1:
        error.near = _elsewhere(path[0].rstrip("+"), elem) or error.near
    return error


def _message(path: Sequence[str]) -> str | None:
    if len(path) == 2 and path[0] == "variables" and path[1].endswith("?"):
        name = path[1][:-1]
        return (
            f"Pavilion has default values ('{path[1]}'), this host does not: write '{name}', "
            "and set it again in the tests that inherit from this one"
        )
    instead = INSTEAD.get(".".join(path).rstrip("+"))
    return None if instead is None else _HAS_KEY + instead


def _elsewhere(name: str, elem: yc.KeyedElem) -> list[str]:
    """The keys of this name in the sections of a test."""
    return [
        f"{section}.{name}"
        for section in ("run", "schedule")
        if name in getattr(elem.config_elems[section], "config_elems", ())
    ]
