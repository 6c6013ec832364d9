"""A lineage as a folder of small files, so that it goes where files go: to IPFS, and into what is published.

The folder has the records of the calls that led to something, what is known of the files in them, the keys that lead to
the records, and signatures; all as a store keeps them. Whoever has it believes of it what the trust settings say, as of
the records of any store that somebody else writes to.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from stargazer.assets import Asset
from stargazer.errors import DataError
from stargazer.ledger import Ledger, walk_assets
from stargazer.remotes.blocks import RemoteWarning
from stargazer.remotes.fetch import fetch_into
from stargazer.remotes.lineage import History
from stargazer.remotes.store import StoreRemote
from stargazer.remotes.trust import refusal
from stargazer.store import Store
from stargazer.store.layout import LARGEST
from stargazer.visible import visible

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from stargazer.ledger import Record
    from stargazer.remotes.base import Progress, Remote

__all__ = ["keep_history", "made_by", "take_history", "write_history"]

KINDS = ("assets", "keys", "records", "signatures")
_PLACE = re.compile(rf"({'|'.join(KINDS)})/[A-Za-z0-9_-]{{2}}/[A-Za-z0-9][A-Za-z0-9_.@+=-]{{2,239}}")
MOST_FILES = 300_000
MOST_BYTES = 1 << 30
"""What is taken of a history that somebody else wrote."""


def write_history(store: Store, roots: Iterable[Record], folder: Path) -> Path:
    """Write the records of calls, and of all calls that led to them, as a folder.

    Parameters
    ----------
    store
        Where they are.
    roots
        Records of the last calls.
    folder
        Where to; it is made, and the same whenever and wherever it is written.
    """
    with tempfile.TemporaryDirectory(prefix="stargazer-history-") as scratch:
        made = _store(Path(scratch))
        History(StoreRemote(store.url, store.url, trusted=True), roots).tell(made)
        folder.mkdir(parents=True)
        for kind in KINDS:
            if (Path(scratch) / "store" / kind).is_dir():
                shutil.copytree(Path(scratch) / "store" / kind, folder / kind)
    return folder


def keep_history(store: Store, assets: Iterable[Asset]) -> tuple[tuple[Asset, ...], str]:
    """Keep the records of the calls that made some assets as a folder in the store.

    Parameters
    ----------
    store
        Where they are.
    assets
        Stored assets.

    Returns
    -------
    tuple
        The assets and what else the same calls made; and the CID of the folder, empty where no call made them.
    """
    roots: dict[str, Record] = {}
    chosen: dict[str, Asset] = {}
    for asset in assets:
        record, beside = made_by(store, asset)
        if record is not None:
            roots[record.id] = record
        chosen |= {str(each.cid): each for each in (*beside, asset)}
    if not roots:
        return tuple(chosen.values()), ""
    with tempfile.TemporaryDirectory(prefix="stargazer-history-") as scratch:
        cid = store.dirs.put(write_history(store, roots.values(), Path(scratch) / "lineage")).cid
    store.pin(f"lineage-{cid[-16:]}", store.put(Asset(cid=cid, name="lineage")))
    return tuple(chosen.values()), cid


def made_by(store: Store, asset: Asset) -> tuple[Record | None, list[Asset]]:
    """The newest record of a call that made an asset, or that it came from, and all that this call made."""
    ledger = Ledger(store.records)
    record = next(iter(ledger.makers(asset)), None)
    return record, [] if record is None else list(walk_assets(ledger.results(record)))


def take_history(
    store: Store,
    cid: str,
    assets: Sequence[Asset],
    remotes: Sequence[Remote],
    *,
    source: str,
    trusted: bool = False,
    progress: Progress | None = None,
) -> list[Record]:
    """Take the records of the calls that made some assets out of a history, as far as they are believed.

    Parameters
    ----------
    store
        Where to; the assets' bytes are there.
    cid
        Of the folder that `write_history` wrote.
    assets
        What the calls made.
    remotes
        Where the folder is had from.
    source
        What it is called in messages.
    trusted
        Whether somebody here vouches for all records in it; else those count that a trusted signer signed.
    progress
        Called with the number of bytes that just came.

    Returns
    -------
    list of Record
        Those of the calls that made the assets; with them all that led there are in the store.

    Raises
    ------
    DataError
        The folder is larger than any history.
    """
    fetch_into(store, cid, remotes, progress)
    with tempfile.TemporaryDirectory(prefix="stargazer-history-") as scratch:
        told = StoreRemote(source, source, trusted=trusted)
        told.store = _unpacked(store, cid, Path(scratch))
        roots, reasons = _believed(told, assets)
        if roots:
            History(told, roots).tell(store)
    if reasons:
        message = f"{source}: its records are not all believed: {reasons[0]}. Its files are here all the same"
        warnings.warn(visible(message, lines=True), RemoteWarning, stacklevel=3)
    return roots


def _believed(told: StoreRemote, assets: Iterable[Asset]) -> tuple[list[Record], list[str]]:
    """Records of the calls that made assets, and why others are not believed."""
    ledger = Ledger(told.store.records, "anyone")
    found = {record.id: record for asset in assets for record in ledger.producers(str(asset.cid))}
    reasons = {name: refusal(told, record) for name, record in found.items()}
    roots = [record for name, record in found.items() if not reasons[name]]
    return roots, [reason for reason in reasons.values() if reason]


def _store(scratch: Path) -> Store:
    """A store for a moment, of which nothing is cached elsewhere."""
    made = Store(scratch / "store")
    made.context.cache = scratch / "cache"
    made.context.cache.mkdir()
    return made


def _unpacked(store: Store, cid: str, scratch: Path) -> Store:
    """A history as a store that nobody but we wrote the header of; what has no place in one is left out."""
    made = _store(scratch)
    root, files, size = os.fspath(scratch / "store"), 0, 0
    for path, file in store.walk(cid):
        length = store.size(file) if file is not None and _PLACE.fullmatch(path) else None
        if file is None or length is None or length > LARGEST:
            continue
        files, size = files + 1, size + length
        if files > MOST_FILES or size > MOST_BYTES:
            raise DataError(f"the history {cid} has more than {MOST_FILES:,} files or {MOST_BYTES:,} bytes: refused")
        place = Path(root, path)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(store.read(file))
    _ = made.id  # the header is made
    return made
