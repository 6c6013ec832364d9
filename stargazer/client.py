"""A Dask client from one word: ``"local"``, or a scheduler's address."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from stargazer.errors import ConfigError

if TYPE_CHECKING:
    from distributed import Client

__all__ = ["connect"]


def connect(target: str = "local", *, workers: int | None = None, threads: int = 1) -> Client:
    """Return a Dask client on which calls run; it becomes the active one.

    Parameters
    ----------
    target
        ``"local"`` for processes on this machine, or the address of a scheduler (``"tcp://…"``, ``"tls://…"``).
    workers
        Number of worker processes for ``"local"``; one a core by default.
    threads
        Threads in each worker process.

    Raises
    ------
    ConfigError
        The target is neither.

    Examples
    --------
    >>> with connect() as client:  # doctest: +SKIP
    ...     sg.run(answer)
    """
    from distributed import Client

    if "://" in target:
        return Client(target)
    if target != "local":
        raise ConfigError(f"cannot connect to {target!r}; use 'local' or an address as 'tcp://host:8786'")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    client = Client(n_workers=workers or cores, threads_per_worker=threads, dashboard_address=":0")
    client.run(_leave_telling_to_client)
    return client


def _leave_telling_to_client() -> None:
    """Keep workers from writing into the terminal what the run tells: failed calls, and a Ctrl-C that reaches all."""
    import logging
    import signal

    signal.signal(signal.SIGINT, lambda *_: None)
    logging.getLogger("distributed.worker.memory").setLevel(logging.WARNING)
    logging.getLogger("distributed.worker").setLevel(logging.CRITICAL)
