"""The same bits with any number of threads: fixed blocks, one BLAS thread each, results in order."""

from __future__ import annotations

from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Condition
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from concurrent.futures import Future

__all__ = ["one_blas_thread", "ordered_map"]

Item = TypeVar("Item")
Result = TypeVar("Result")


class _Limit(Condition):
    """Who keeps BLAS to one thread, and what it was before. A lock's state is no part of a task's identity."""

    users = 0
    before: tuple[tuple[Any, int], ...] = ()


_limit = _Limit()


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Keep BLAS to one thread; nested and simultaneous uses share one limit, the last to leave lifts it."""
    _enter()
    try:
        yield
    finally:
        _leave()


def _enter() -> None:
    import scipy.linalg  # noqa: F401  brings a BLAS of its own, which is to be there before the limit
    from threadpoolctl import ThreadpoolController

    with _limit:
        if not _limit.users:
            libraries = ThreadpoolController().select(user_api="blas").lib_controllers
            _limit.before = tuple((library, library.get_num_threads()) for library in libraries)
            for library, _ in _limit.before:
                _set(library, 1)
        _limit.users += 1


def _leave() -> None:
    with _limit:
        _limit.users -= 1
        if not _limit.users:
            for library, n_threads in _limit.before:
                _set(library, n_threads)


def _set(library: Any, n_threads: int) -> None:
    """Set the limit from whatever thread: threadpoolctl from 3.8 on lets but one, unless it is told."""
    if hasattr(library, "clear_controlling_thread"):
        library.clear_controlling_thread(force=True)
    library.set_num_threads(n_threads)


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
