"""Copied as ``sitecustomize.py``: imports of anything that the folder may not use fail, by name.

Each is also written to ``$ALONE_LOG``, so that one that somebody catches is found all the same.
"""

from __future__ import annotations

import os
import sys
import sysconfig
from importlib.abc import MetaPathFinder
from importlib.machinery import PathFinder

HOME = os.path.dirname(os.path.abspath(__file__))  # noqa: PTH100, PTH120
ALLOWED_TOPS = ("yaml_config", "yaml", "yapsy", "hostlist")
ALLOWED_MODULES = (
    "errors",
    "types",
    "status_file",
    "jobs",
    "deferred",
    "var_dict",
    "scriptcomposer",
    "sys_vars",
    "test_run",
    "config",
    "schedulers",
)
# What the host's own modules import.  That the folder imports none of it is in its text; see
# test_the_folder_imports_what_it_may_and_nothing_else.
HOSTS_OWN = ("test_ids", "result", "result_parsers")
SITE = tuple(sysconfig.get_path(name) + os.sep for name in ("purelib", "platlib"))


class Guard(MetaPathFinder):
    """Stands before all other finders, and finds nothing itself."""

    def find_spec(self, fullname, path=None, target=None):
        top, _, rest = fullname.partition(".")
        if top == "pavilion":
            if rest and rest.partition(".")[0] not in ALLOWED_MODULES + HOSTS_OWN:
                refuse(fullname)
        elif path is None and top not in ALLOWED_TOPS:
            spec = PathFinder.find_spec(fullname)
            if spec is not None and (spec.origin or "").startswith(SITE):
                refuse(fullname)
        return


def refuse(name):
    with open(os.environ["ALONE_LOG"], "a") as file:  # noqa: PTH123
        file.write(f"{name}\n")
    raise ImportError(f"the schedulers folder must not import {name}", name=name)


def is_ours(folder):
    return not os.path.exists(f"{folder}/pavilion/__init__.py")  # noqa: PTH110


# What an editable installation of this project adds is not to be found.
sys.path[:] = [entry for entry in sys.path if entry == HOME or is_ours(entry)]
sys.meta_path.insert(0, Guard())
