"""A result with its history, from one store to another: its identical run is a hit there, and `trace` works.

Records say what was run, and nothing can check that afterwards. So they are taken from stores only that the settings
trust. Bytes are checked in any case.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from stargazer.errors import NotFound, RemoteCannot, RemoteError, RemoteLacks
from stargazer.ledger import Ledger, Record, walk_assets
from stargazer.ledger.results import cids_in
from stargazer.remotes.fetching import fetch_into
from stargazer.remotes.stores import StoreRemote
from stargazer.store.staging import members

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from stargazer.assets import Asset
    from stargazer.remotes.protocol import Progress, Remote
    from stargazer.store import Store

__all__ = ["History", "fetch_lineage", "push_lineage"]


class History:
    """Records that lead to an asset, and the assets in them.

    Parameters
    ----------
    store
        Where they are.
    asset
        A handle, whose own record is followed; or a CID, of which the newest producer is.

    Raises
    ------
    NotFound
        The store knows nothing of it.
    """

    def __init__(self, store: Store, asset: Asset | str) -> None:
        self.store, self.ledger = store, Ledger(store)
        self.asset = store.get(asset) if isinstance(asset, str) else asset
        self.records: dict[str, Record] = {}
        self.root = self._root()
        waiting = [self.root] if self.root else []
        while waiting:
            record = waiting.pop()
            self.records[record.id] = record
            found = (self.ledger.get(name) for name in dict.fromkeys(record.producers.values()))
            waiting += [each for each in found if each is not None and each.id not in self.records]

    def _root(self) -> Record | None:
        own = getattr(self.asset.source, "record", None)
        if own and (record := self.ledger.get(own)):
            return record
        return next(iter(self.ledger.producers(self.asset.cid or "")), None)

    def outputs(self) -> list[Asset]:
        """What the last call made: all of it, since a call is a hit only where all of it is there."""
        return list(walk_assets(self.ledger.results(self.root))) if self.root else [self.asset]

    def assets(self) -> list[Asset]:
        """Everything that the calls read and made."""
        wanted = [name for record in self.records.values() for name in _inputs(record.inputs)]
        made = [each for record in self.records.values() for each in walk_assets(self.ledger.results(record))]
        return [*self.store.read_assets(wanted).values(), *made]

    def sources(self) -> list[Asset]:
        """What the calls read that none of them made."""
        made = {cid for record in self.records.values() for cid in cids_in(record.outputs)}
        return [asset for asset in self.assets() if asset.cid not in made]

    def keys(self) -> dict[str, Record]:
        """Keys that lead to the records; of a store on a local disk also those by which other wirings reached them."""
        found = {key: each for each in self.records.values() for key in (each.content_key, each.plan_key)}
        if self.store.backend.local:
            names = [entry.place.rpartition("/")[2] for entry in self.store.backend.entries("keys")]
            pointed = {key: value.decode("ascii", "replace") for key, value in self.store.get_keys(names).items()}
            found |= {key: self.records[name] for key, name in pointed.items() if name in self.records}
        return found

    def send(self, target: Store, source: StoreRemote, *, inputs: bool, progress: Progress | None) -> Asset:
        """Write all of it to another store: bytes first, keys last; a handle of that store."""
        wanted = [*self.outputs(), *(self.sources() if inputs else [])]
        for cid in dict.fromkeys(str(member.cid) for asset in wanted for member in members(asset)):
            fetch_into(target, cid, [source], progress)
        for record in self.records.values():
            if record.log:
                with suppress(RemoteError):  # logs are kept for reading only
                    fetch_into(target, record.log, [source], progress)
        target.put_elsewhere(self.assets())
        for asset in wanted:
            target.put(asset)
        self._send_records(target)
        return target.handle(self.asset, self.root.id if self.root else None)

    def _send_records(self, target: Store) -> None:
        for name, data in self.store.get_records(self.records).items():
            if target.get_record(name) is None:
                target.put_record(data)
        keys = self.keys()
        known = Ledger(target).find_many(keys)
        for key, record in keys.items():
            if key not in known:
                target.lead([key], record.id)


def _inputs(inputs: dict[str, object]) -> Iterator[str]:
    for value in inputs.values():
        if isinstance(value, dict):
            yield from map(str, value.values())
        elif isinstance(value, list):
            yield from map(str, value)
        elif value is not None:
            yield str(value)


def push_lineage(
    store: Store, asset: Asset, remote: Remote, *, inputs: bool = False, progress: Progress | None = None
) -> None:
    """Send an asset and the records of all calls that led to it.

    Parameters
    ----------
    store
        Where they are.
    asset
        A stored asset.
    remote
        A store.
    inputs
        Send the bytes of the files as well that the first calls read.
    progress
        Called with the number of bytes that were just sent.

    Raises
    ------
    RemoteCannot
        The remote keeps no records.
    """
    if not isinstance(remote, StoreRemote):
        raise RemoteCannot(f"{remote.name} is a {remote.kind}, which keeps no records: send lineages to a store")
    History(store, asset).send(remote.store, StoreRemote(store.url, store.url), inputs=inputs, progress=progress)


def fetch_lineage(
    store: Store, asset: Asset | str, remotes: Sequence[Remote], progress: Progress | None = None
) -> Asset:
    """Have an asset and the records of all calls that led to it, from the first store that is trusted and knows it.

    Parameters
    ----------
    store
        Where they shall be.
    asset
        A stored asset, or a CID.
    remotes
        Where to look; only stores with ``trust: true`` are believed.
    progress
        Called with the number of bytes that just came.

    Returns
    -------
    Asset
        A handle of `store`.

    Raises
    ------
    RemoteError
        No trusted store knows it; the message says of each remote why.
    """
    reasons = []
    for remote in remotes:
        if not isinstance(remote, StoreRemote):
            reasons.append(f"{remote.name}: a {remote.kind} keeps no records")
        elif not remote.trusted:
            reasons.append(
                f"{remote.name}: its records are not trusted (trust: true in stargazer.remotes says they are)"
            )
        else:
            try:
                return History(remote.store, asset).send(store, remote, inputs=False, progress=progress)
            except (NotFound, RemoteLacks) as error:
                reasons.append(f"{remote.name}: {error}")
    wanted = asset if isinstance(asset, str) else asset.cid
    raise RemoteError(f"no trusted store gave the lineage of {wanted}:\n  " + "\n  ".join(reasons or ["none is named"]))
