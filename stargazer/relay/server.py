"""The process that sees the store, and answers workers that do not."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import pickle
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any

from stargazer.errors import StargazerError, StoreError
from stargazer.ledger.signatures import sign_made
from stargazer.relay.protocol import CHUNK, MORE, WINDOW, Upload, parts_of
from stargazer.store import Store, layout
from stargazer.store.blobs.base import Stored
from stargazer.store.directories import is_node

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import TypeVar

    from stargazer.relay.protocol import Comm

    T = TypeVar("T")

__all__ = ["RelayServer", "answer", "sees"]

THREADS = 4
STREAMS = 8
"""Large transfers at once; the others wait, and hold no memory while they do."""

STALLED = 180.0
"""Seconds without a word after which a worker loses its place among the large transfers: it was stopped, or cut off."""

LINGER = 30.0
"""Seconds in which a worker hears what went wrong, before its connection is closed."""


class RelayServer:
    """Answers any number of workers, about any store that this process sees.

    All methods run in one event loop; disks and hashes are left to threads.

    Attributes
    ----------
    sent, received
        Bytes of files that went over its lines, since it began.
    """

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(THREADS, "stargazer-home")
        self._streams = asyncio.Semaphore(STREAMS)
        self.sent = self.received = 0

    def close(self) -> None:
        """End the threads, when they have done what they are at."""
        self._threads.shutdown(wait=False)

    async def sees(self, url: str, identifier: str) -> bool:
        """Whether the store of that identity lies at a URL, seen from here."""
        return await self._aside(sees, url, identifier)

    async def serve(self, comm: Comm, url: str) -> None:
        """Answer one worker until it hangs up."""
        store = Store.open(url)
        await comm.write({"home": True})
        with contextlib.suppress(OSError):
            while True:
                asked = await comm.read()
                try:
                    await self._answer(comm, store, asked["do"], asked["with"])
                except OSError as error:
                    if not isinstance(error, StargazerError) and comm.closed():
                        raise
                    await _send_error(comm, error)
                    return
                except Exception as error:  # noqa: BLE001 - it is raised on the worker
                    await _send_error(comm, error)
                    return

    async def _answer(self, comm: Comm, store: Store, do: str, values: Sequence[Any]) -> None:
        if do == "get":
            await self._send(comm, store, *values)
        elif do == "put_files":
            await self._receive(comm, store, *values)
        else:
            await comm.write({"gave": await self._aside(answer, store, do, values)})

    async def _send(self, comm: Comm, store: Store, cids: Sequence[str]) -> None:
        with store.blobs.in_use():
            async with self._stream(sum(await self._aside(_sizes, store, cids))):
                parts = parts_of(map(str, map(store.blobs.path, cids)))
                while (part := await self._aside(next, parts, None)) is not None:
                    await _heard(comm)
                    self.sent += sum(len(data) for _, data in part)
                    await comm.write({"part": part})
                    del part
                await comm.write({"end": True})
        while "end" not in await comm.read():
            pass

    async def _receive(self, comm: Comm, store: Store, files: Sequence[tuple[str, int]]) -> None:
        async with self._stream(sum(size for _, size in files)):
            wanted = await self._aside(_wanted, store, files)
            await comm.write({"wanted": wanted})
            if not wanted:
                return
            landing = Upload(store.blobs, store.context.profile, [files[index][0] for index in wanted], _keep(store))
            try:
                for _ in range(WINDOW):
                    await comm.write(MORE)
                while "end" not in (message := await _heard(comm)):
                    self.received += sum(len(data) for _, data in message["part"])
                    await self._aside(landing.take, message["part"])
                    del message
                    await comm.write(MORE)
                await self._aside(landing.finish)
            finally:
                landing.clear()
        await comm.write({"gave": None})

    def _stream(self, size: int) -> contextlib.AbstractAsyncContextManager[Any]:
        """A place among the large transfers; small ones need none."""
        return self._streams if size > CHUNK else contextlib.nullcontext()

    async def _aside(self, work: Callable[..., T], *values: Any) -> T:
        """Work in a thread, so that the event loop is free."""
        import contextvars

        inner = partial(contextvars.copy_context().run, work, *values)
        return await asyncio.get_running_loop().run_in_executor(self._threads, inner)


def sees(url: str, identifier: str) -> bool:
    """Whether the store of that identity lies at a URL, seen from this process."""
    try:
        store = Store.open(url)
        return store.made and store.id == identifier
    except (StargazerError, OSError, ValueError, TypeError):  # the URL is another machine's, and may mean nothing here
        return False


async def _heard(comm: Comm) -> Any:
    """Next message of a large transfer."""
    try:
        async with asyncio.timeout(STALLED):
            return await comm.read()
    except TimeoutError:
        comm.abort()
        raise OSError(f"a worker said nothing for {STALLED:.0f} s in the midst of a transfer") from None


async def _send_error(comm: Comm, error: Exception) -> None:
    """Tell what went wrong, and read on until the worker has heard it: closing at once could lose the message."""
    await comm.write({"error": pickle.dumps(error)})
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(LINGER):
            while True:
                await comm.read()


def _sizes(store: Store, cids: Sequence[str]) -> list[int]:
    return [store.size(cid) or 0 for cid in cids]


def _wanted(store: Store, files: Sequence[tuple[str, int]]) -> list[int]:
    """Which files the store does not have yet."""
    _ = store.context.header, [layout.blob(cid) for cid, _ in files]  # what is no name of a file is refused
    return [index for index, (cid, size) in enumerate(files) if not store.blobs.stands(Stored(cid, size, 0))]


def _keep(store: Store) -> Callable[[str, str], None]:
    def keep(cid: str, path: str) -> None:
        store.blobs.adopt(path, Stored(cid, os.stat(path).st_size, 0))

    return keep


# What a worker may ask the home to look up or to write: only what its name proves to be right is written.


READABLE = ("trees", "shapes", "assets", "records", "keys", "signatures")
WRITABLE = ("trees", "assets")


def answer(store: Store, do: str, values: Sequence[Any]) -> Any:
    """Do what a worker asked for, in the store that this process sees.

    Raises
    ------
    StoreError
        It is nothing that workers may ask for, or the bytes are not what their name says.
    """
    if do not in _ANSWERS:
        raise StoreError(f"a worker asked for {do!r}, which is done only where the store is")
    return _ANSWERS[do](store, *values)


def _read(store: Store, places: Sequence[str]) -> dict[str, bytes]:
    return store.backend.read_many([_allowed(place, READABLE) for place in places])


def _entry_sizes(store: Store, places: Sequence[str]) -> list[int | None]:
    return [store.backend.size(_allowed(place, ("blobs", *READABLE))) for place in places]


def _changed(store: Store, place: str) -> float | None:
    return store.backend.changed(_allowed(place, READABLE))


def _has_all(store: Store, cids: Sequence[str]) -> bool:
    return store.dirs.has_all(cids)


def _records_behind(store: Store, keys: Sequence[str]) -> dict[str, tuple[str, bytes]]:
    return store.records.behind(keys)


def _put(store: Store, contents: Mapping[str, bytes]) -> None:
    nodes: dict[str, bytes] = {}
    assets: dict[str, bytes] = {}
    for place, data in contents.items():
        kind, _, name = _allowed(place, WRITABLE).split("/")
        if not (is_node(data, name) if kind == "trees" else hashlib.sha256(data).hexdigest() == name):
            raise StoreError(f"what arrived as {place} is not what its name says: it was harmed on its way")
        (nodes if kind == "trees" else assets)[name] = data
    if nodes:
        store.dirs.put_nodes(nodes)
    if assets:
        store.assets.put_many(assets)


def _put_record(store: Store, identifier: str, data: bytes) -> None:
    if hashlib.sha256(data).hexdigest() != identifier:
        raise StoreError(f"what arrived as record {identifier} is not what its name says: it was harmed on its way")
    store.records.put(data)


def _sign(store: Store, identifier: str) -> None:
    if store.records.get(identifier) is None:
        raise StoreError(f"record {identifier} is not there, so it cannot be signed")
    sign_made(store.records, identifier)


def _put_bytes(store: Store, data: bytes) -> str:
    return store.blobs.put_bytes(data)


def _lead(store: Store, keys: Sequence[str], identifier: str, readers: Sequence[str] = ()) -> None:
    there = store.records.get_many([identifier, *readers])
    for name in (identifier, *readers):
        if name not in there:
            raise StoreError(f"keys cannot lead to record {name}, which is not there")
    store.records.link_keys(keys, identifier, readers)


def _allowed(place: str, kinds: tuple[str, ...]) -> str:
    """A place, if it is one of a kind that workers may use."""
    if place == layout.HEADER and kinds != WRITABLE:
        return place
    kind, _, rest = place.partition("/")
    name = rest.rpartition("/")[2]
    if kind not in kinds or _PLACES[kind](name) != place:
        raise StoreError(f"a worker asked for {place!r}, which is none of its affairs")
    return place


def _signature(name: str) -> str:
    identifier, _, key = name.partition(".")
    return layout.signature(identifier, key)


_PLACES = {
    "blobs": layout.blob,
    "trees": layout.tree,
    "shapes": layout.shape,
    "assets": layout.asset,
    "records": layout.record,
    "keys": layout.key,
    "signatures": _signature,
}
_ANSWERS: dict[str, Callable[..., Any]] = {
    "read": _read,
    "sizes": _entry_sizes,
    "changed": _changed,
    "has_all": _has_all,
    "records_behind": _records_behind,
    "put": _put,
    "put_record": _put_record,
    "sign": _sign,
    "put_bytes": _put_bytes,
    "lead": _lead,
}
