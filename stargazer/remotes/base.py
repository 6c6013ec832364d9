"""What a remote is: a place outside the store from which bytes may come, and to which they may go."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from stargazer.errors import RemoteCannot

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from typing import Any, BinaryIO

    from stargazer.assets import Asset
    from stargazer.cid.shape import Shape
    from stargazer.remotes.entries import Entry
    from stargazer.store import Store

    Progress = Callable[[int], object]
    Piece = bytes | memoryview
    """Bytes on their way; memory that a view shows is used for others as soon as nobody keeps the view."""

__all__ = [
    "ATTEMPTS",
    "ATTEMPTS_OF_A_WAY",
    "MOST_BLOCK",
    "MOST_NESTED",
    "MOST_REDIRECTS",
    "MOST_STRIKES",
    "TIMEOUT",
    "BlockRemote",
    "FileRemote",
    "Remote",
]


# How much is believed of what comes from outside before it is known to be what was asked for.


MOST_BLOCK = 2 << 20
"""Bytes of one block: what IPFS nodes pass to each other at most."""
MOST_NESTED = 256
"""Directories in directories."""
MOST_REDIRECTS = 5
TIMEOUT = 30.0
"""Seconds in which a block must come whole."""
ATTEMPTS = 1000
"""How often something is tried at most that failed for reasons which pass; time ends it sooner."""
ATTEMPTS_OF_A_WAY = 3
"""The same of a faster way, where there is another one."""
MOST_STRIKES = 3
"""Failures of other reasons in a row, after which a remote is asked no more for what is being fetched."""


class Remote:
    """A place outside the store. Nothing that it says is believed: bytes are checked by whoever asked for them.

    Parameters
    ----------
    name
        What it is called in the settings, in messages and in ``sg.push(…, to=name)``.
    url
        Where it is; holds no secret.
    trusted
        Whether records of calls that come from it are used; bytes are checked in any case.
    """

    kind: ClassVar[str]
    offers: ClassVar[tuple[str, ...]] = ()
    options: ClassVar[Mapping[str, Any]] = {}
    """What may stand beside the kind in the settings: types of values, or `Option`; ``name`` has each."""

    def __init__(self, name: str, url: str, *, trusted: bool = False) -> None:
        self.name, self.url, self.trusted = name, url, trusted

    def __repr__(self) -> str:
        return f"<{self.kind} {self.name}: {self.url}>"

    @classmethod
    def read(cls, entry: Entry) -> Remote:
        """Make the remote that an entry of the settings describes; its options are checked already.

        Here the class is called with a name, what stands behind the kind, and the options by their names.
        """
        options = dict(entry.options)
        return cls(options.pop("name", "") or entry.kind, entry.url, **options)

    @property
    def public(self) -> bool:
        """Whether everybody may see what is sent there; of kinds of which that is not known, it is taken to be so."""
        return True

    def has(self, cid: str) -> bool:
        """Whether it says that it has a file or directory."""
        raise self._cannot("tell whether it has something")

    def keeps(self, cid: str) -> bool:
        """Whether it has something and will keep it: a node that unpinned it may have lost parts of it."""
        return self.has(cid)

    def is_pinned(self, cid: str) -> bool | None:
        """Whether something that it has is pinned there; None where that is not known."""
        return None

    def size(self, cid: str) -> int | None:
        """Bytes of something that it has; None where it does not tell them."""
        return None

    def pages(self, cid: str) -> Iterator[str]:
        """Addresses of its own at which a browser shows a directory that it has."""
        yield from ()

    def check_directories(self) -> None:
        """Raise `RemoteCannot` where no directory can be sent there under its own CID, whatever is said."""

    def push_directory(self, cid: str, store: Store, name: str, progress: Progress | None = None) -> bool:
        """Send a directory whole, where it has a way of its own for that; whether it has."""
        return False

    def push(self, cid: str, store: Store, progress: Progress | None = None, *, asset: Asset | None = None) -> None:
        """Send a file or directory of a store, under the CID that it has; `asset` tells its name and facts."""
        raise self._cannot("be written to")

    def describe(self, asset: Asset) -> None:
        """Tell it what is known of bytes that it has, where it keeps such things."""

    def query(self, **facts: Any) -> list[Asset]:
        """Assets that it knows by their facts."""
        raise self._cannot("be asked for facts")

    def pin(self, cid: str) -> None:
        """Have it keep something."""
        raise self._cannot("pin")

    def unpin(self, cid: str) -> None:
        """Let it forget something."""
        raise self._cannot("unpin")

    def delete_all(self, *, several: bool = False, **wanted: Any) -> int:
        """Delete the files whose facts match exactly, several only where that is said; how many there were."""
        raise self._cannot("delete by facts")

    def _cannot(self, what: str) -> RemoteCannot:
        offers = ", ".join(self.offers) or "nothing"
        return RemoteCannot(f"{self.name} is a {self.kind}, which cannot {what}; it offers: {offers}")


class BlockRemote(Remote):
    """A remote that gives blocks by their CIDs."""

    @property
    def attempts(self) -> int:
        """How often a block is asked for at most that fails for reasons which pass."""
        return ATTEMPTS

    @property
    def answered(self) -> bool:
        """Whether it has ever answered; who has not is waited for less."""
        return True

    @property
    def proven(self) -> bool:
        """Whether it has ever given anything; who has not is waited for less."""
        return True

    @property
    def timeout(self) -> float:
        """Seconds in which it must answer."""
        return TIMEOUT

    def block(self, cid: str) -> bytes:
        """A block, unchecked, at the first attempt; `RemoteLacks` if there is none."""
        raise NotImplementedError

    def blocks(self, cid: str) -> Iterator[tuple[str, bytes]]:
        """All blocks below a CID and it, depth first, unchecked, where it can be asked for them at once.

        Raises
        ------
        RemoteCannot
            It gives blocks one at a time only.
        """
        raise self._cannot("send many blocks at once")

    def body(self, cid: str, start: int = 0) -> Iterator[Piece]:
        """Bytes of a file from `start` on, unchecked, where it can be asked for them as they are.

        Raises
        ------
        RemoteCannot
            It gives blocks only.
        """
        raise self._cannot("send files as they are")


class FileRemote(Remote):
    """A remote that gives whole files by their CIDs, and knows directories in ways of its own."""

    def node(self, cid: str) -> bytes | None:
        """A node of a directory, unchecked, or None if there is none."""
        return None

    def stream(self, cid: str, start: int = 0) -> Iterator[Piece]:
        """Bytes of a file from `start` on, unchecked; `RemoteLacks` if there is none."""
        raise NotImplementedError

    def announced(self, cid: str) -> int:
        """Bytes that it says a file has, where that is known before the first of them; else 0."""
        return 0

    def shape(self, cid: str) -> Shape | None:
        """The nodes of a file that no profile cuts so, unchecked, if it keeps them."""
        return None

    def open(self, cid: str) -> BinaryIO | None:
        """The checked file with ranges, where it can be had so."""
        return None
