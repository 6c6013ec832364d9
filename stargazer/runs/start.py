"""Run calls, with progress."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from stargazer.calls.let_go import default_client
from stargazer.errors import ArgumentError
from stargazer.runs.run import Run

if TYPE_CHECKING:
    from collections.abc import Iterator

    from distributed import Client

__all__ = ["run"]


def run(*calls: Any, client: Client | None = None, wait: bool = True, progress: bool | None = None) -> Run:
    """Run calls, with progress; results are in the store the moment a task ends.

    Parameters
    ----------
    *calls
        Calls, or lists, tuples and dicts of them.
    client
        A Dask client (`stargazer.connect`); by default the active one, or threads of this process if there is none.
    wait
        Return only when all have ended. Otherwise return at once, and iterate over the run or ask its `Run.status`.
    progress
        Show a live table; by default in terminals and notebooks, where the run is waited for.

    Returns
    -------
    Run
        ``run(a).result()`` is the result of ``a``; ``run(a, b).result()`` a tuple of two.

    Raises
    ------
    ArgumentError
        Something else than calls was passed, as a task that was not called.
    RunFailed
        Some calls failed; the others ran to their end first.

    Examples
    --------
    >>> stored = run(answer).result()  # doctest: +SKIP
    """
    what = calls[0] if len(calls) == 1 else calls
    if client is not None and not hasattr(client, "run_on_scheduler"):
        raise ArgumentError(f"client is {client!r}, not a Dask client; sg.connect makes one, also of an address")
    with _cancelled_by_ctrl_c() as flights:
        flights.append(flight := Run(what, client or default_client()))
        if wait:
            _show(flight, progress)
    if wait:
        flight.result()
    return flight


@contextlib.contextmanager
def _cancelled_by_ctrl_c() -> Iterator[list[Run]]:
    flights: list[Run] = []
    try:
        yield flights
    except KeyboardInterrupt:
        for flight in flights:
            flight.cancel()
        raise


def _show(flight: Run, progress: bool | None) -> None:
    from stargazer.display import show_run

    show_run(flight, progress)
