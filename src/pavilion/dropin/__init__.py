"""Our schedulers folder in the place of the one of a Pavilion checkout, and back.

``checkout`` finds the checkout and what it is; ``checks`` looks at it and changes nothing;
``swap`` makes the change so that it is whole at any time; ``link`` puts these together.
``inside_*`` run in the checkout's own Python.
"""

from __future__ import annotations

from .checkout import SOURCE, Checkout, DropinError, find_checkout, find_python
from .checks import Finding, Report, examine
from .link import Outcome, link, unlink

__all__ = [
    "SOURCE",
    "Checkout",
    "DropinError",
    "Finding",
    "Outcome",
    "Report",
    "examine",
    "find_checkout",
    "find_python",
    "link",
    "unlink",
]
