"""The same bits with any number of threads: fixed blocks, one BLAS thread each, results in order."""

from __future__ import annotations

from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Lock
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from concurrent.futures import Future

__all__ = ["one_blas_thread", "ordered_map"]

Item = TypeVar("Item")
Result = TypeVar("Result")

_lock = Lock()
_limits: list[Any] = []


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Keep BLAS to one thread; nested and simultaneous uses share one limit, the last to leave lifts it."""
    _enter()
    try:
        yield
    finally:
        _leave()


def _enter() -> None:
    from threadpoolctl import threadpool_limits

    with _lock:
        _limits.append(_limits[0] if _limits else threadpool_limits(limits=1, user_api="blas"))


def _leave() -> None:
    with _lock:
        limit = _limits.pop()
        if not _limits:
            limit.restore_original_limits()


def ordered_map(function: Callable[[Item], Result], items: Iterable[Item], threads: int = 1) -> Iterator[Result]:
    """Results of a function in the order of its items, computed by some threads with BLAS on one thread each.

    Parameters
    ----------
    function
        Called once an item; should spend its time in NumPy or SciPy, which release the interpreter's lock.
    items
        Read lazily: at most ``threads + 1`` are held at a time.
    threads
        How many run at once.

    Yields
    ------
    Result
        One an item.
    """
    with one_blas_thread():
        if threads <= 1:
            yield from map(function, items)
        else:
            yield from _pooled(function, items, threads)


def _pooled(function: Callable[[Item], Result], items: Iterable[Item], threads: int) -> Iterator[Result]:
    pending: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        for item in items:
            pending.append(pool.submit(function, item))
            if len(pending) > threads:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
