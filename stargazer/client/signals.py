"""A process that is asked to go gives its workers back first."""

from __future__ import annotations

import os
import signal
import threading
from typing import Any
from weakref import WeakSet

__all__ = ["closed_by_signals"]

WITHIN = 90.0
"""Seconds in which a process may close what it has; then the signal does what it does otherwise."""

SIGNALS = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name))

_open: WeakSet[Any] = WeakSet()


def closed_by_signals(cluster: Any) -> None:
    """Let SIGTERM and SIGHUP give workers back before the process ends.

    Batch systems, ``timeout`` and the shutdown of a machine send SIGTERM, a terminal that goes SIGHUP. Who handles or
    ignores them already (``nohup``) goes on doing that. Python takes signals in the main thread alone: a client that
    is made in another thread is closed only if that thread can be unwound, or the process ends by itself.
    """
    _open.add(cluster)
    if threading.current_thread() is not threading.main_thread():
        return
    for number in SIGNALS:
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, _go)


def _go(number: int, frame: Any) -> None:
    """Unwind the program, which closes its clients; begin with the jobs at once, and end it if it does not end."""
    for each in SIGNALS:
        if signal.getsignal(each) is _go:
            signal.signal(each, signal.SIG_IGN)
    for cluster in list(_open):
        cluster.loop.add_callback_from_signal(_leave, cluster)
    threading.Thread(target=_end, args=(number,), name="stargazer-going", daemon=True).start()
    raise SystemExit(128 + number)


async def _leave(cluster: Any) -> None:
    if cluster.status.name == "running":
        await cluster.staff.close()


def _end(number: int) -> None:
    import time

    time.sleep(WITHIN)
    os.kill(os.getpid(), signal.SIGKILL)
