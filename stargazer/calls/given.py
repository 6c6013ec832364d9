"""What is given to be planned or run, and is no call."""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from typing import Any

from stargazer.errors import ArgumentError

__all__ = ["check_no_call_lost"]


def check_no_call_lost(value: Any) -> None:
    """Refuse what stands where a call should, and would be passed over in silence.

    Parameters
    ----------
    value
        Neither a call nor a list, tuple or dict. Stored assets and plain values are fine: they are results already.

    Raises
    ------
    ArgumentError
        A task that was not called, a function, a generator or set of calls, a collection of Dask's, a Dask client.
    """
    if why := _mistake(value):
        raise ArgumentError(why)


def _mistake(value: Any) -> str:
    kind = type(value)
    if hasattr(kind, "check_code"):
        return f"{value.name} is a task, not a call of it: write {value.name}(…)"
    if isinstance(value, (Iterator, AbstractSet)):
        return f"{kind.__name__} is no list of calls: write a list, as in [task(x) for x in …]"
    if hasattr(kind, "__dask_graph__"):
        return f"{value!r} is not a call of a task; dask.compute runs it, with the calls that it needs"
    if hasattr(value, "run_on_scheduler"):
        return "a Dask client is passed by keyword: client=…"
    if callable(value) and hasattr(value, "__name__"):
        return f"{value.__name__} is a function: call it, and pass the calls that it returns"
    return ""
