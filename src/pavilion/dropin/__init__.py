"""Replacing the schedulers directory of a Pavilion checkout by ours, and undoing that.

``checkout`` finds the checkout, its version and its Python.  ``checks`` examines it without changing
anything.  ``swap`` makes the change, in a way that can be interrupted at any time.  ``link`` combines
these.  ``inside_*`` run in the checkout's own Python.
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
