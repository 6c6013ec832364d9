"""A result with its history, from one store to another: its identical run is a hit there, and `trace` works.

Records say what was run, and nothing can check that afterwards. So they are taken from stores only that the settings
trust, or if somebody signed them whom the settings trust. Bytes are checked in any case.
"""

from __future__ import annotations

import warnings
from contextlib import suppress
from typing import TYPE_CHECKING

from stargazer.errors import RemoteCannot, RemoteError, RemoteLacks, StoreError, StoreFull, StoreReadOnly
from stargazer.ledger import Ledger, Record, walk_assets
from stargazer.ledger.record import cids_in
from stargazer.ledger.signatures import own_key
from stargazer.remotes.blocks import RemoteWarning
from stargazer.remotes.fetch import fetch_into
from stargazer.remotes.store import StoreRemote
from stargazer.remotes.trust import copy_signatures, refusal, trusted, unsigned
from stargazer.store.staging import members

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from stargazer.assets import Asset
    from stargazer.remotes.base import Progress, Remote
    from stargazer.store import Store

__all__ = ["History", "fetch_lineage", "push_lineage"]

SHOWN = 5
"""Records that are named where several are not signed."""


class History:
    """Records of a store that lead to some, and the assets in them.

    Parameters
    ----------
    remote
        The store where they are; of what leads to the roots, what is trusted of it.
    roots
        Records of the last calls.
    """

    def __init__(self, remote: StoreRemote, roots: Iterable[Record]) -> None:
        self.store, self.ledger = remote.store, Ledger(remote.store.records, "anyone")
        self.roots = list({record.id: record for record in roots}.values())
        self.records: dict[str, Record] = {}
        level = {record.id: record for record in self.roots}
        while level:
            self.records |= level
            before = {
                name for record in level.values() for name in (*record.producers.values(), record.same_as) if name
            }
            level = trusted(remote, before - self.records.keys())
        if remote.trusted and self.store.backend.quick:
            repeats = [each for record in self.records.values() for each in self.ledger.repeats(record)]
            self.records = {**self.records, **{each.id: each for each in repeats if each.id not in self.records}}

    def made_by(self, record: Record) -> list[Asset]:
        """All that a call made: it is a hit only where all of it is there."""
        return list(walk_assets(self.ledger.results(record)))

    def assets(self) -> list[Asset]:
        """Everything that the calls read and made."""
        wanted = dict.fromkeys(name for record in self.records.values() for name in _inputs(record.inputs))
        made = [each for record in self.records.values() for each in self.made_by(record)]
        return [*self.store.assets.read(wanted).values(), *made]

    def sources(self) -> list[Asset]:
        """What the calls read that none of them made."""
        made = {cid for record in self.records.values() for cid in cids_in(record.outputs)}
        return [asset for asset in self.assets() if asset.cid not in made]

    def keys(self) -> dict[str, Record]:
        """Keys that lead to the records: those that stand in them, the first record's where several have one."""
        found: dict[str, Record] = {}
        for record in self.records.values():
            for key in (record.content_key, record.plan_key):
                found.setdefault(key, record)
        return found

    def tell(self, target: Store) -> None:
        """Write the records to another store, those of the assets in them, and keys that lead there, which go last."""
        target.assets.put_elsewhere(self.assets())
        for asset in (each for root in self.roots for each in self.made_by(root)):
            if target.exists(asset):
                target.put(asset)
        for name, data in self.store.records.get_many(self.records).items():
            if target.records.get(name) is None:
                target.records.put(data)
        copy_signatures(self.store, target, list(self.records))
        wanted = self.keys()
        known = Ledger(target.records, "anyone").find_many(wanted)
        unknown = {key: record for key, record in wanted.items() if key not in known}
        for key, readers in self._readers(unknown).items():
            self._copy(target, [name for name in readers if name not in self.records])
            target.records.link_keys([key], unknown[key].id, readers)

    def _readers(self, wanted: Mapping[str, Record]) -> dict[str, list[str]]:
        """The records that each key relies on for what no key tells; not of plan keys that do not lead there here."""
        own = {key: [each.id] if each.reads else [] for key, each in wanted.items() if key == each.content_key}
        found = self.store.records.behind([key for key in wanted if key not in own])
        for key, (name, data) in found.items():
            lines = [[name]] if name else [line.split(" ") for line in data.decode("ascii", "replace").split("\n")]
            for line in lines:
                if line[0] == wanted[key].id:
                    own.setdefault(key, line[1:])
        return own

    def _copy(self, target: Store, names: Sequence[str]) -> None:
        for data in self.store.records.get_many(names).values():
            target.records.put(data)


def _inputs(inputs: dict[str, object]) -> Iterator[str]:
    for value in inputs.values():
        if isinstance(value, dict):
            yield from map(str, value.values())
        elif isinstance(value, list):
            yield from map(str, value)
        elif value is not None:
            yield str(value)


def _believed_root(remote: StoreRemote, asset: Asset) -> Record | None:
    """The first record that is trusted; None of what no call made. `RemoteLacks` where there are others only."""
    roots = Ledger(remote.store.records).makers(asset)
    if remote.trusted:
        return next(iter(roots), None)
    reasons = [refusal(remote, root) for root in roots] or ["its records are not trusted, and no call made this"]
    if all(reasons):
        raise RemoteLacks(reasons[0])
    return roots[reasons.index("")]


def _send(
    remote: StoreRemote, asset: Asset, root: Record | None, target: Store, *, inputs: bool, progress: Progress | None
) -> History:
    """Write an asset with its lineage to another store: bytes first, keys last."""
    history = History(remote, [root] if root else [])
    wanted = [*(history.made_by(root) if root else [asset]), *(history.sources() if inputs else [])]
    for cid in dict.fromkeys(str(member.cid) for each in wanted for member in members(each)):
        fetch_into(target, cid, [remote], progress)
    for record in history.records.values():
        if record.log:
            with suppress(RemoteError):  # logs are kept for reading only
                fetch_into(target, record.log, [remote], progress)
    for each in wanted:
        target.put(each)
    history.tell(target)
    return history


def push_lineage(
    store: Store, asset: Asset, remote: Remote, *, inputs: bool = False, progress: Progress | None = None
) -> None:
    """Send an asset and the records of all calls that led to it, with the signatures of who ran them.

    What this user ran was signed when it was made; what others signed goes along as it is. Nothing is signed anew: who
    sends a record did not run it. What nobody signed is named in a warning.

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
    own_key()  # one that cannot sign is told before anything is sent
    here = StoreRemote(store.url, store.url, trusted=True)
    root = _believed_root(here, asset)
    history = _send(here, asset, root, remote.store, inputs=inputs, progress=progress)
    _tell_unsigned(remote, history)


def _tell_unsigned(remote: StoreRemote, history: History) -> None:
    """Name the records that nobody signed: who wants signed results will not believe them."""
    missing = unsigned(remote.store, list(history.records))
    if missing:
        named = ", ".join(f"{history.records[name].task} ({name[:12]})" for name in missing[:SHOWN])
        more = f" and {len(missing) - SHOWN} others" if len(missing) > SHOWN else ""
        message = f"{remote.name} got records that nobody signed, which not everybody will believe: {named}{more}"
        warnings.warn(message, RemoteWarning, stacklevel=4)


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
        Where to look; stores with ``trust: true`` are trusted, and records that a trusted signer signed.
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
            continue
        try:
            found = remote.store.get(asset) if isinstance(asset, str) else asset
            root = _believed_root(remote, found)
            history = _send(remote, found, root, store, inputs=False, progress=progress)
            made = [each for each in (history.made_by(root) if root else []) if each.cid == found.cid]
            return store.assets.handle(made[0] if made and isinstance(asset, str) else found, root.id if root else None)
        except (StoreFull, StoreReadOnly):
            raise
        except (RemoteError, StoreError, OSError) as error:
            reasons.append(f"{remote.name}: {error}")
    wanted = asset if isinstance(asset, str) else asset.cid
    raise RemoteError(f"no trusted store gave the lineage of {wanted}:\n  " + "\n  ".join(reasons or ["none is named"]))
