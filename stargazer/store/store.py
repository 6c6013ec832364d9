"""The store: CID → bytes, asset records, ledger records."""

from __future__ import annotations

import os
from contextvars import ContextVar
from typing import TYPE_CHECKING, BinaryIO, overload

from stargazer import config
from stargazer.store.base import check_url
from stargazer.store.fsck import Checking

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Self

__all__ = ["Store", "active_store", "stand_in"]

_active: ContextVar[tuple[Store, ...]] = ContextVar("stargazer_store", default=())
_opened: dict[str, Store] = {}


class _Open:
    """``Store.open(url)`` opens a store, ``store.open(cid)`` what lies in it."""

    @overload
    def __get__(self, store: None, kind: type[Store]) -> Callable[[str | os.PathLike[str]], Store]: ...
    @overload
    def __get__(self, store: Store, kind: type[Store]) -> Callable[..., BinaryIO]: ...

    def __get__(self, store: Store | None, kind: type[Store]) -> Callable[..., BinaryIO] | Callable[..., Store]:
        return open_store if store is None else store.open_bytes


class Store(Checking):
    """Files and directories by CID, and what is known of them.

    Any number of processes on any number of machines may use one store at once. It pickles by its URL.

    Parameters
    ----------
    url
        A path, or any URL that fsspec knows: ``s3://bucket/folder``, ``memory://name``.
    profile
        CID profile of a store that does not exist yet; ``stargazer.cid-profile`` by default.
    durable
        Sync every write to disk; ``stargazer.durable`` by default.

    Examples
    --------
    >>> import stargazer as sg
    >>> with sg.Store("other-store") as store:
    ...     reads = sg.add("s1_R1.fq.gz", sg.R1(sample_id="s1"))
    >>> reads.source.url == store.url
    True
    """

    open = _Open()

    def __reduce__(self) -> tuple[object, ...]:
        return open_store, (self.url,)

    def __eq__(self, other: object) -> bool:
        return self.url == other.url if isinstance(other, Store) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.url)

    def __enter__(self) -> Self:
        _active.set((*_active.get(), self))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _active.set(_active.get()[:-1])


def active_store() -> Store:
    """The store of the innermost ``with Store(…)``, or else the configured one.

    Examples
    --------
    >>> import stargazer as sg
    >>> with sg.Store("other-store") as store:
    ...     sg.active_store() is store
    True
    """
    stores = _active.get()
    return stores[-1] if stores else open_store(config.store_url())


def stand_in(url: str, store: Store) -> None:
    """Let a store be the one at a URL in this process, from which the one there cannot be seen."""
    _opened[url] = _opened[store.url] = store


def open_store(url: str | os.PathLike[str]) -> Store:
    """The store at a URL; one instance a process."""
    name = os.fspath(url)
    check_url(name)
    if "://" not in name and not name.startswith("/"):
        name = os.path.abspath(os.path.expanduser(name))
    try:
        return _opened[name]
    except KeyError:
        store = Store(name)
        return _opened.setdefault(name, _opened.setdefault(store.url, store))
