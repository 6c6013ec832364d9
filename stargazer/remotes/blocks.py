"""Blocks from several remotes: each is hashed against the CID that was asked for; a bad remote is named and skipped."""

from __future__ import annotations

import hashlib
import warnings
from collections import OrderedDict, deque
from concurrent.futures import ThreadPoolExecutor
from threading import Lock
from typing import TYPE_CHECKING

from stargazer.cid import parse
from stargazer.errors import RemoteCannot, RemoteError, RemoteLacks, RemoteRefused
from stargazer.remotes.base import MOST_BLOCK, MOST_STRIKES
from stargazer.visible import visible

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from concurrent.futures import Future
    from types import TracebackType
    from typing import Self

    from stargazer.remotes.base import BlockRemote, Remote

__all__ = ["Blocks", "Complaints", "RemoteWarning", "check_block"]

_AT_ONCE = 8
_AHEAD = 24
_KEPT = 16
_MOST_SKIPPED = 64 << 20
_COST = 1 << 10


class RemoteWarning(UserWarning):
    """A remote sent something wrong, or failed, and was skipped."""


def check_block(cid: str, block: bytes, source: str) -> bytes:
    """`block`, if it is the one that a CID names.

    Raises
    ------
    RemoteRefused
        It is not, or is larger than a block may be.
    """
    if len(block) > MOST_BLOCK:
        raise RemoteRefused(f"{source} sent a block of {len(block)} bytes; one has {MOST_BLOCK} at most")
    if hashlib.sha256(block).digest() != parse(cid).digest:
        raise RemoteRefused(f"{source} sent {len(block)} bytes as {cid} that are not what this CID names")
    return block


class Complaints:
    """What was wrong with which remote, while one thing was fetched."""

    def __init__(self) -> None:
        self.last: dict[str, RemoteError] = {}
        self._strikes: dict[str, int] = {}
        self._lock = Lock()

    def note(self, remote: Remote, error: RemoteError) -> None:
        """Note a failure. One who sent wrong bytes is asked no more; one who fails, after a few times."""
        with self._lock:
            self.last[remote.name] = error
            if isinstance(error, RemoteRefused):
                self._strikes[remote.name] = MOST_STRIKES
            elif not isinstance(error, (RemoteLacks, RemoteCannot)):
                self._strikes[remote.name] = self._strikes.get(remote.name, 0) + 1

    def skips(self, remote: Remote) -> bool:
        """Whether a remote is asked no more."""
        return self._strikes.get(remote.name, 0) >= MOST_STRIKES

    def warn(self) -> None:
        """Say which remotes failed although all went well in the end."""
        for name, error in self.last.items():
            if self._strikes.get(name):
                warnings.warn(visible(f"remote {name} was skipped: {error}", lines=True), RemoteWarning, stacklevel=3)
        self.last.clear()

    def error(self, cid: str, remotes: Iterable[Remote]) -> RemoteError:
        """Why nobody gave something, remote by remote."""
        names = [remote.name for remote in remotes]
        if not names:
            return RemoteLacks(f"{cid} is not in the store, and no remote is configured: see stargazer.remotes")
        reasons = "".join(f"\n  {name}: {self.last.get(name, 'was not asked')}" for name in names)
        lacking = all(isinstance(self.last.get(name), RemoteLacks) for name in names)
        return (RemoteLacks if lacking else RemoteError)(f"no remote gave {cid}:{reasons}")


class Blocks:
    """Checked blocks by CID, from the first of several remotes that has them.

    Blocks that are expected soon are asked for ahead, several at once; or they come in one stream, as long as it has
    them in the order in which they are wanted.

    Parameters
    ----------
    remotes
        In the order in which they are asked.
    complaints
        Where failures are noted.
    """

    def __init__(self, remotes: Sequence[BlockRemote], complaints: Complaints) -> None:
        self.remotes, self.complaints = remotes, complaints
        self._stream: Iterator[tuple[str, bytes]] | None = None
        self._next: tuple[str, bytes] | None = None
        self._source: BlockRemote | None = None
        self._pool: ThreadPoolExecutor | None = None
        self._expected: deque[str] = deque()
        self._flying: dict[str, Future[bytes]] = {}
        self._recent: OrderedDict[str, bytes] = OrderedDict()
        self._streamless: set[str] = set()
        self._seen: set[str] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end_stream()
        if self._pool:
            self._pool.shutdown(wait=True, cancel_futures=True)

    @property
    def streams(self) -> bool:
        """Whether blocks come in one stream."""
        return self._stream is not None

    def begin(self, cid: str) -> None:
        """Ask for everything below a CID in one stream, where the first remote that has it offers that."""
        self._end_stream()
        self._seen.update(self._recent)
        for remote in self.remotes:
            if self.complaints.skips(remote):
                continue
            if remote.name in self._streamless:
                return
            try:
                stream = remote.blocks(cid)
                self._next = next(iter(stream), None)
                self._stream, self._source = stream, remote
                return
            except RemoteCannot:
                self._streamless.add(remote.name)
                return
            except RemoteError as error:
                self.complaints.note(remote, error)

    def expect(self, cids: Sequence[str]) -> None:
        """Say which blocks will be wanted next, before those that were expected so far."""
        if self._stream is None:
            self._expected.extendleft(reversed(cids))
            self._fill()

    def get(self, cid: str) -> bytes:
        """A block, checked.

        Raises
        ------
        RemoteError
            No remote gives it; the message says why, remote by remote.
        """
        block = self._streamed(cid)
        if block is None:
            block = self._recent.get(cid) or self._asked(cid)
        self._recent[cid] = block
        while len(self._recent) > _KEPT:
            self._recent.popitem(last=False)
        return block

    def _asked(self, cid: str) -> bytes:
        flying = self._flying.pop(cid, None)
        while self._expected and self._expected[0] == cid:
            self._expected.popleft()
        self._fill()
        return flying.result() if flying else self._ask(cid)

    def _fill(self) -> None:
        while self._expected and len(self._flying) < _AHEAD:
            cid = self._expected.popleft()
            if cid not in self._flying and cid not in self._recent:
                self._pool = self._pool or ThreadPoolExecutor(_AT_ONCE, "stargazer-blocks")
                self._flying[cid] = self._pool.submit(self._ask, cid)

    def _ask(self, cid: str) -> bytes:
        for remote in self.remotes:
            if self.complaints.skips(remote):
                continue
            try:
                return check_block(cid, remote.block(cid), remote.name)
            except RemoteError as error:
                self.complaints.note(remote, error)
        raise self.complaints.error(cid, self.remotes)

    def _streamed(self, cid: str) -> bytes | None:
        """The block from the stream if it comes next in it; a stream that goes other ways is given up."""
        if self._stream is None or self._source is None:
            return None
        try:
            if self._advance(cid) == cid and self._next:
                block, self._next = check_block(cid, self._next[1], self._source.name), None
                self._seen.add(cid)
                return block
        except RemoteError as error:
            self.complaints.note(self._source, error)
            self._end_stream()
        else:
            if cid not in self._recent:
                self._end_stream()
        return None

    def _advance(self, cid: str) -> str | None:
        """CID of the next block of the stream that was not in it before, or is the wanted one."""
        skipped = 0
        while self._stream is not None:
            self._next = self._next or next(self._stream, None)
            if self._next is None or self._next[0] == cid or self._next[0] not in self._seen or skipped > _MOST_SKIPPED:
                break
            skipped, self._next = skipped + len(self._next[1]) + _COST, None
        return self._next[0] if self._next else None

    def _end_stream(self) -> None:
        close = getattr(self._stream, "close", None)
        self._stream = self._next = self._source = None
        self._seen.clear()
        if close:
            close()
