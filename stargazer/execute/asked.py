"""Which variables of the environment code asks for while it runs, whatever name it has for ``os.environ``."""

from __future__ import annotations

import functools
import os
import sys
import threading
from typing import TYPE_CHECKING, Any

from stargazer import config

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

__all__ = ["install"]

VIEWS = ("collections.abc", "_collections_abc")
_here = threading.local()


def _is_ours(frame: FrameType | None) -> bool:
    """Whether it is the engine that asks: a body may run calls itself, and what our settings say is in no result."""
    while frame is not None and frame.f_globals.get("__name__") in (*VIEWS, "os"):
        frame = frame.f_back
    return frame is not None and frame.f_globals.get("__name__") == config.__name__


def install(told: Callable[[str], None]) -> None:
    """Tell of each variable that is asked for by its name; once a process.

    No audit event tells that. Who goes through all of them, or copies them for a program, asks for none by name.

    Parameters
    ----------
    told
        Called with the name; it must be cheap.
    """
    kind = config.environment_class()
    ask, walk = kind.__getitem__, kind.__iter__

    @functools.wraps(ask)
    def asking(self: Any, name: Any) -> Any:
        frame = sys._getframe(1)
        in_view = frame.f_code.co_name == "__iter__" and frame.f_globals.get("__name__") in VIEWS
        walked = getattr(_here, "walks", None) == (id(frame), frame.f_lasti)
        if not in_view and not walked and not _is_ours(frame):
            told(os.fsdecode(name) if isinstance(name, bytes) else str(name))
        return ask(self, name)

    @functools.wraps(walk)
    def walking(self: Any) -> Iterator[Any]:
        frame = sys._getframe(1)
        while frame.f_back is not None and frame.f_globals.get("__name__") in VIEWS:
            frame = frame.f_back
        _here.walks = id(frame), frame.f_lasti  # ``dict(os.environ)`` asks for each name in one instruction
        return walk(self)

    kind.__getitem__, kind.__iter__ = asking, walking  # type: ignore[method-assign]
