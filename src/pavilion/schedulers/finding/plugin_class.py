"""What is changed in the class of a plugin, so that hosts can call its methods as they do."""

from __future__ import annotations

import functools
import sys
from pathlib import Path
from types import FunctionType
from typing import TYPE_CHECKING, Any, Callable

from ..lifecycle.blaming import CAUGHT, blame

if TYPE_CHECKING:
    from ..scheduler import SchedulerPlugin


def adapt(cls: Any) -> None:
    """Wrap the methods that the class itself defines.

    - ``available()`` is called for each test, and its answer is remembered until refresh().
    - ``cancel()`` is called without a guard, for one job after the other: an exception becomes its
      message.
    - The method that queries one job is called ``job_status`` in the guide of Pavilion for plugin
      authors, like the one that hosts call.
    """
    own = vars(cls)
    if isinstance(own.get("available"), FunctionType):
        cls.available = _asked_once(own["available"])
    if isinstance(own.get("cancel"), FunctionType):
        cls.cancel = _giving_a_message(own["cancel"])
    status = own.get("job_status")
    if isinstance(status, FunctionType) and "_job_status" not in own:
        params = status.__code__.co_varnames[: status.__code__.co_argcount]
        if len(params) == 3 and "test" not in params[2]:
            cls._job_status = status
            del cls.job_status


def _asked_once(own: Callable[[Any], Any]) -> Callable[[Any], bool]:
    @functools.wraps(own)
    def available(self: SchedulerPlugin) -> bool:
        return self._ask_once(own, own)

    return available


def _giving_a_message(own: Callable[..., Any]) -> Callable[..., str | None]:
    @functools.wraps(own)
    def cancel(self: SchedulerPlugin, *args: Any, **kwargs: Any) -> str | None:
        try:
            message = own(self, *args, **kwargs)
        except CAUGHT as exc:
            return blame(self, "cancel", exc)
        return message if message is None or isinstance(message, str) else str(message)

    return cancel


def file_of(cls: type) -> Path:
    """The file that defines a class; '<unknown>' for a class without one."""
    module = sys.modules.get(cls.__module__)
    return Path(getattr(module, "__file__", None) or "<unknown>")
