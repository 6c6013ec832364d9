"""Another store, at any URL that fsspec knows, as a remote."""

from __future__ import annotations

from contextlib import nullcontext
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

from stargazer.cid.parts import is_raw
from stargazer.errors import BlobLost, ConfigError, RemoteError, RemoteLacks, StoreError
from stargazer.remotes.base import FileRemote
from stargazer.remotes.entries import ADDRESS, check_no_secret
from stargazer.store import Store, layout
from stargazer.store.backends.addresses import SERVICES, YES_OR_NO, read_address, service_of, with_options
from stargazer.store.shapes import shape_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import BinaryIO

    from stargazer.assets import Asset
    from stargazer.cid.shape import Shape
    from stargazer.remotes.base import Piece, Progress, Remote
    from stargazer.remotes.entries import Entry

__all__ = ["StoreRemote"]

_PIECE = 1 << 20


class StoreRemote(FileRemote):
    """A store that somebody else fills, or that several people share.

    Parameters
    ----------
    name, url, trusted
        As for `Remote`; the URL is one that `Store` opens.
    """

    kind = "store"
    offers = ("has", "fetch", "push", "query", "records")
    options: ClassVar[Mapping[str, Any]] = {
        "trust": bool,
        **{name: bool if name in YES_OR_NO else str for service in SERVICES for name in service.options},
        "endpoint": ADDRESS,
    }

    @classmethod
    def read(cls, entry: Entry) -> Remote:
        """Make a remote of a store's address and the options that stand beside it."""
        return cls(entry.options.get("name") or entry.url, _address(entry), trusted=entry.options.get("trust", False))

    @property
    def public(self) -> bool:
        """Not public: whoever reads it was given the right to."""
        return False

    @cached_property
    def store(self) -> Store:
        """The store itself; opened when it is asked for something."""
        return Store.open(self.url)

    def has(self, cid: str) -> bool:
        """Whether it has a file, or a directory and what lies in it."""
        return bool(self._asked(lambda: self.store.has(cid)))

    def size(self, cid: str) -> int | None:
        """Bytes of a file that it has."""
        found: int | None = self._asked(lambda: self.store.size(cid))
        return found

    def announced(self, cid: str) -> int:
        """Bytes of a large file that it has; of a small one a bucket is not asked."""
        return 0 if is_raw(cid) and service_of(self.url) else self.size(cid) or 0

    def node(self, cid: str) -> bytes | None:
        """A node of a directory, or None if it has none that is whole."""
        found: bytes | None = self._asked(lambda: self.store.dirs.node(cid))
        return found

    def shape(self, cid: str) -> Shape | None:
        """The nodes of a file that no profile cuts so, unchecked."""
        found: Shape | None = self._asked(lambda: shape_of(self.store.backend, cid))
        return found

    def stream(self, cid: str, start: int = 0) -> Iterator[Piece]:
        """Bytes of a file from `start` on, unchecked."""
        try:
            backend = self.store.backend
            with getattr(backend, "reached", nullcontext)(), backend.open(layout.blob(cid)) as file:
                file.seek(start)
                yield from iter(lambda: file.read(_PIECE), b"")
        except FileNotFoundError:
            raise RemoteLacks(f"{self.name} does not have {cid}") from None
        except StoreError as error:
            raise RemoteError(f"{self.name} failed: {error}") from error
        except OSError as error:
            raise RemoteError(f"{self.name} failed ({type(error).__name__}: {error.strerror or error})") from None

    def open(self, cid: str) -> BinaryIO | None:
        """The checked file."""
        try:
            return self.store.dirs.open(cid)
        except BlobLost as error:
            raise RemoteLacks(f"{self.name}: {error}") from None
        except (StoreError, OSError) as error:
            raise RemoteError(f"{self.name} failed: {error}") from error

    def push(self, cid: str, store: Store, progress: Progress | None = None, *, asset: Asset | None = None) -> None:
        """Copy a file or directory there; what it has already is not copied."""
        from stargazer.remotes.fetch import fetch_into

        fetch_into(self.store, cid, [StoreRemote(store.url, store.url)], progress)

    def describe(self, asset: Asset) -> None:
        """Keep the record of an asset, companions too."""
        self.store.put(asset)

    def query(self, **facts: Any) -> list[Asset]:
        """Assets of that store by their facts."""
        found: list[Asset] = self._asked(lambda: self.store.answer(facts).assets) if self.store.made else []
        return found

    def _asked(self, question: Any) -> Any:
        try:
            return question()
        except (StoreError, OSError) as error:
            raise RemoteError(f"{self.name} failed: {error}") from error


def _address(entry: Entry) -> str:
    """The address of a store with the options that stand beside it."""
    beside = {key: value for key, value in entry.options.items() if key not in ("name", "trust")}
    if service_of(entry.url) is None:
        check_no_secret(entry.url, f"{entry.where}.{entry.kind}")
        if beside:
            raise ConfigError(f"{entry.where}: {', '.join(beside)} mean nothing for a store at {entry.url}")
        return entry.url
    try:
        return read_address(with_options(entry.url, beside)).url
    except StoreError as error:
        raise ConfigError(f"{entry.where}: {error}") from None
