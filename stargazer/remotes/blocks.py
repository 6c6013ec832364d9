"""Blocks from several remotes: each is hashed against the CID that was asked for; a bad remote is named and skipped."""

from __future__ import annotations

import hashlib
import time
import warnings
from collections import OrderedDict, deque
from concurrent.futures import ThreadPoolExecutor
from queue import Empty, SimpleQueue
from threading import Event, Lock, Thread
from typing import TYPE_CHECKING, TypeVar

from stargazer.cid import parse
from stargazer.cid.parts import inline_of
from stargazer.errors import RemoteCannot, RemoteError, RemoteLacks, RemoteRefused
from stargazer.remotes.base import MOST_BLOCK, MOST_STRIKES, Remote
from stargazer.remotes.patience import Passing, Patience, growing, patience_with
from stargazer.visible import visible

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from concurrent.futures import Future
    from types import TracebackType
    from typing import Self

    from stargazer.remotes.base import BlockRemote

__all__ = ["Blocks", "Complaints", "RemoteWarning", "check_block", "check_pieces"]

R = TypeVar("R", bound=Remote)

_AT_ONCE = 8
_MOMENT = 2.0
"""Seconds after which the next remote is asked too, where one is slow."""
_ROUND = 1.0
_AHEAD = 24
_MOST_AHEAD = 512
_RAW = "bafkrei"
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
    check_pieces(cid, [block], source)
    return block


def check_pieces(cid: str, pieces: Sequence[bytes | memoryview], source: str) -> None:
    """The same of a block that lies in pieces: to put them together would cost as much as a fifth of their hash."""
    size = sum(map(len, pieces))
    if size > MOST_BLOCK:
        raise RemoteRefused(f"{source} sent a block of {size} bytes; one has {MOST_BLOCK} at most")
    found = hashlib.sha256()
    for piece in pieces:
        found.update(piece)
    if found.digest() != parse(cid).digest:
        raise RemoteRefused(f"{source} sent {size} bytes as {cid} that are not what this CID names")


class Complaints:
    """What was wrong with which remote, while one thing was fetched, and how long failures are waited for.

    Parameters
    ----------
    patience
        The fetch's; that of the settings by default.
    """

    def __init__(self, patience: Patience | None = None) -> None:
        self.patience = patience or Patience()
        self.last: dict[str, RemoteError] = {}
        self._strikes: dict[str, int] = {}
        self._stumbles: dict[str, int] = {}
        self._rests: dict[str, float] = {}
        self._told: dict[str, RemoteError] = {}
        self._demoted: set[str] = set()
        self._slow: set[str] = set()
        self._lock = Lock()

    def note(self, remote: Remote, error: RemoteError) -> None:
        """Note a failure. Who sent a wrong block is asked no more; who asks for patience rests, others are asked."""
        with self._lock:
            self.last[remote.name] = error
            if isinstance(error, RemoteRefused):
                self._strikes[remote.name] = MOST_STRIKES
            elif isinstance(error, Passing):
                fresh = self.rest(remote) == 0  # several blocks that fail at once are one stumble
                stumbles = self._stumbles[remote.name] = self._stumbles.get(remote.name, 0) + fresh
                until = time.monotonic() + max(error.wait, growing(stumbles))
                self._rests[remote.name] = max(until, self._rests.get(remote.name, 0.0))
            elif not isinstance(error, (RemoteLacks, RemoteCannot)):
                self._strikes[remote.name] = self._strikes.get(remote.name, 0) + 1
            if not isinstance(error, (RemoteLacks, RemoteCannot, Passing)):
                self._told[remote.name] = error

    def note_way(self, remote: Remote, error: RemoteError) -> None:
        """Note what went wrong on a faster way: it costs that way. Others are asked for blocks first from now on."""
        with self._lock:
            self.last[remote.name] = error
            if isinstance(error, RemoteRefused):
                self._demoted.add(remote.name)
                self._told[remote.name] = error

    def forgive(self, remote: Remote) -> None:
        """Note a success: failures before it count no more."""
        if remote.name in self._stumbles or remote.name in self._strikes or remote.name in self._slow:
            with self._lock:
                self._slow.discard(remote.name)
                self._stumbles.pop(remote.name, None)
                self._rests.pop(remote.name, None)
                if self._strikes.get(remote.name, 0) < MOST_STRIKES:
                    self._strikes.pop(remote.name, None)

    def skips(self, remote: Remote) -> bool:
        """Whether a remote is asked no more."""
        return self._strikes.get(remote.name, 0) >= MOST_STRIKES

    def rest(self, remote: Remote) -> float:
        """Seconds for which a remote is left alone."""
        return max(0.0, self._rests.get(remote.name, 0.0) - time.monotonic())

    def tried(self, remote: Remote) -> int:
        """Failures in a row that may pass."""
        return self._stumbles.get(remote.name, 0)

    def ordered(self, remotes: Iterable[R]) -> list[R]:
        """Remotes as they are asked: those that are slow, or of which a faster way failed, after the others."""
        return sorted(remotes, key=lambda remote: remote.name in self._demoted or remote.name in self._slow)

    def note_slow(self, remote: Remote) -> None:
        """Note that a remote lets others wait: they are asked first, until it has given something."""
        self._slow.add(remote.name)

    def warn(self) -> None:
        """Say which remotes failed although all went well in the end."""
        for name, error in self._told.items():
            warnings.warn(visible(f"remote {name} was skipped: {error}", lines=True), RemoteWarning, stacklevel=3)
        for name, stumbles in self._stumbles.items():
            if stumbles and name not in self._told:
                told = f"remote {name} was skipped: {self.last[name]}"
                warnings.warn(visible(told, lines=True), RemoteWarning, stacklevel=3)
        self.last.clear()
        self._told.clear()

    def error(self, cid: str, remotes: Iterable[Remote]) -> RemoteError:
        """Why nobody gave something, remote by remote."""
        names = [remote.name for remote in remotes]
        if not names:
            return RemoteLacks(f"{cid} is not in the store, and no remote is configured: see stargazer.remotes")
        reasons = "".join(f"\n  {name}: {self._reason(name)}" for name in names)
        lacking = all(isinstance(self.last.get(name), RemoteLacks) for name in names)
        return (RemoteLacks if lacking else RemoteError)(f"no remote gave {cid}:{reasons}")

    def _reason(self, name: str) -> RemoteError | str:
        """Why a remote gave nothing; a wrong block counts more than what it said afterwards."""
        if self._strikes.get(name, 0) >= MOST_STRIKES and name in self._told:
            return self._told[name]
        return self.last.get(name, "was not asked")


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
        self._over = Event()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end_stream()
        self._over.set()
        if self._pool:
            self._pool.shutdown(wait=error is None, cancel_futures=True)

    @property
    def streams(self) -> bool:
        """Whether blocks come in one stream."""
        return self._stream is not None

    def begin(self, cid: str) -> None:
        """Ask for everything below a CID in one stream, where the first remote that has it offers that."""
        self._end_stream()
        self._seen.update(self._recent)
        for remote in self.complaints.ordered(self.remotes):
            if self.complaints.skips(remote) or self.complaints.rest(remote):
                continue
            if remote.name in self._streamless:
                return
            try:
                stream = remote.blocks(cid)
                self._next = next(iter(stream), None)
                self._stream, self._source = stream, remote
                return
            except RemoteLacks as error:
                self.complaints.note(remote, error)
            except RemoteError as error:
                self._streamless.add(remote.name)
                if isinstance(error, RemoteCannot):
                    return
                self.complaints.note_way(remote, error)
                return

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
        if (inline := inline_of(cid)) is not None:
            return inline
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
        while self._expected and self._room():
            cid = self._expected.popleft()
            if cid not in self._flying and cid not in self._recent and inline_of(cid) is None:
                self._pool = self._pool or ThreadPoolExecutor(_AT_ONCE, "stargazer-blocks")
                self._flying[cid] = self._pool.submit(self._ask, cid)

    def _room(self) -> bool:
        """Whether more may be asked ahead: nodes that came already and wait to be read are small."""
        if len(self._flying) < _AHEAD:
            return True
        waiting = sum(1 for cid, one in self._flying.items() if cid.startswith(_RAW) or not one.done())
        return waiting < _AHEAD and len(self._flying) < _MOST_AHEAD

    def _ask(self, cid: str) -> bytes:
        """A block from whoever gives it; where all who may have it ask for patience, they are asked again."""
        asking = Asking(cid, self.complaints)
        while True:
            block = asking.round(self.complaints.ordered(self.remotes))
            if block is not None:
                return block
            wait = asking.wait(self.remotes)
            if wait is None or self._over.is_set():
                raise self.complaints.error(cid, self.remotes)
            self.complaints.patience.sleep(wait, self._over)

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
            self.complaints.note_way(self._source, error)
            self._streamless.add(self._source.name)
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


class Asking:
    """Asks remotes for one block: each at once if it may be asked, and the next one soon where one is slow.

    Parameters
    ----------
    cid
        Of the block.
    complaints
        Where failures are noted.
    """

    def __init__(self, cid: str, complaints: Complaints) -> None:
        self._cid, self._complaints = cid, complaints
        self._lacking: set[str] = set()
        self._flying: set[str] = set()
        self._answers: SimpleQueue[bytes | None] = SimpleQueue()
        self._began = time.monotonic()
        self._attempts: dict[str, int] = {}
        self._until: dict[str, float] = {}

    def _rest(self, remote: BlockRemote) -> float:
        """Seconds until a remote may be asked for this block."""
        return max(self._complaints.rest(remote), self._until.get(remote.name, 0.0) - time.monotonic())

    def _may_ask(self, remote: BlockRemote) -> bool:
        if self._complaints.skips(remote) or remote.name in self._lacking:
            return False
        return self._attempts.get(remote.name, 0) < remote.attempts

    def round(self, remotes: Sequence[BlockRemote]) -> bytes | None:
        """The block, if one of those gives it who may be asked now."""
        ready = [each for each in remotes if self._may_ask(each) and not self._rest(each)]
        ready = [each for each in ready if each.name not in self._flying]
        if len(ready) <= 1 and not self._flying:
            return self._one(ready[0]) if ready else None
        return self._race(ready)

    def _race(self, ready: list[BlockRemote]) -> bytes | None:
        """Ask one after the other; whoever takes longer than a moment does not hold up the next one."""
        asked = None
        while ready or self._flying:
            if ready:
                asked = ready.pop(0)
                self._start(asked)
            try:
                found = self._answers.get(timeout=_MOMENT if ready else self._patience_with_the_slow())
            except Empty:
                if ready and asked:
                    self._complaints.note_slow(asked)
                    continue
                return None
            if found is not None:
                return found
        return None

    def _patience_with_the_slow(self) -> float:
        """Seconds to wait for who is being asked, before others who rest are asked again."""
        return _ROUND

    def _start(self, remote: BlockRemote) -> None:
        self._flying.add(remote.name)
        Thread(target=self._fly, args=(remote,), name="stargazer-asking", daemon=True).start()

    def _fly(self, remote: BlockRemote) -> None:
        block = None
        try:
            block = self._one(remote)
        finally:
            self._flying.discard(remote.name)
            self._answers.put(block)

    def _one(self, remote: BlockRemote) -> bytes | None:
        self._attempts[remote.name] = self._attempts.get(remote.name, 0) + 1
        try:
            block = check_block(self._cid, remote.block(self._cid), remote.name)
        except RemoteLacks as error:
            self._lacking.add(remote.name)
            self._complaints.note(remote, error)
        except Passing as error:
            wait = max(error.wait, growing(self._attempts[remote.name]))
            self._until[remote.name] = time.monotonic() + wait
            self._complaints.note(remote, error)
        except RemoteError as error:
            self._lacking.add(remote.name)
            self._complaints.note(remote, error)
        else:
            self._complaints.forgive(remote)
            return block
        return None

    def wait(self, remotes: Sequence[BlockRemote]) -> float | None:
        """Seconds after which somebody may be asked again; None if nobody may, or patience is over."""
        if self._flying:
            return 0.0
        waits = [self._wait_for(each) for each in remotes if self._may_ask(each)]
        sensible = [each for each in waits if each is not None]
        return max(0.0, min(sensible)) if sensible else None

    def _wait_for(self, remote: BlockRemote) -> float | None:
        rest, patience = max(0.0, self._rest(remote)), self._complaints.patience
        most = patience_with(remote, patience.budget, self._complaints.last.get(remote.name))
        waited = time.monotonic() - self._began + rest
        return rest if waited <= most and patience.allows(rest) else None
