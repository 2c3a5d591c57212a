"""Runs in the Python of a checkout: which modules does it have?  Prints a line of JSON.

No ``from __future__`` here: it must also run in a Python that is too old, to report that.
"""

import importlib
import json
import sys
import warnings
from typing import Any, Dict  # noqa: UP035

MARK = "@pavilion-schedulers "
MODULES = ("hostlist", "yapsy", "yaml_config", "yaml")


def _look(name: str) -> Dict[str, Any]:  # noqa: UP006
    try:
        module = importlib.import_module(name)
    except BaseException as exc:
        return {"error": "%s: %s" % (type(exc).__name__, exc)}  # noqa: UP031
    return {
        "file": getattr(module, "__file__", None) or str(getattr(module, "__path__", "?")),
        "version": str(getattr(module, "__version__", "")),
    }


def main() -> None:
    """Print the version of this Python, and the result of importing each module."""
    warnings.simplefilter("ignore")
    found = {name: _look(name) for name in MODULES}
    if "error" not in found["yapsy"]:
        # This module imports 'imp' and 'distutils', which newer Pythons do not have.
        manager = _look("yapsy.PluginManager")
        if "error" in manager:
            found["yapsy"]["manager_error"] = manager["error"]
    print(MARK + json.dumps({"python": list(sys.version_info[:3]), "modules": found}))


if __name__ == "__main__":
    main()
