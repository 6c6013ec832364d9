"""What other stores know of calls, for those who plan and run: `stargazer.store.context` leads here.

One question a remote for many calls. A remote that fails is named, and is left in peace for a while.
"""

from __future__ import annotations

import time
import warnings
from typing import TYPE_CHECKING, NamedTuple

from stargazer.errors import RemoteError, StoreError, StoreFull, StoreReadOnly
from stargazer.ledger.record import cids_in
from stargazer.remotes.blocks import RemoteWarning
from stargazer.remotes.fetch import fetch_into
from stargazer.remotes.lineage import History
from stargazer.remotes.push import fetch_asset
from stargazer.remotes.settings import configured
from stargazer.remotes.store import StoreRemote
from stargazer.remotes.trust import trusted_behind, trusted_keys
from stargazer.store.context import Known
from stargazer.store.staging import members
from stargazer.visible import visible

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

    from stargazer.assets import Asset
    from stargazer.ledger import Record
    from stargazer.store import Store

__all__ = ["fetch_assets", "find", "mark_unavailable", "take"]

COOLDOWN = 60.0
"""Seconds for which a remote that failed is not asked for records."""
_failed: dict[str, float] = {}
_doubted: set[str] = set()


class _Answer(NamedTuple):
    remote: StoreRemote
    records: Mapping[str, Record]


def find(store: Store, keys: Collection[str]) -> dict[str, Known]:
    """Believed records behind those of many keys that a remote knows, with their results; nothing is taken."""
    answers = _asked(store, keys)
    return {key: Known(record, remote.name) for remote, records in answers for key, record in records.items()}


def take(store: Store, keys: Collection[str], *, with_outputs: bool) -> dict[str, Record]:
    """The same, and take them into the store with their lineages; with the bytes of the results if `with_outputs`."""
    taken: dict[str, Record] = {}
    for remote, records in _asked(store, keys):
        try:
            history = History(remote, records.values())
            if with_outputs:
                _have(store, [asset for root in history.roots for asset in history.made_by(root)], remote)
            history.tell(store)
            taken |= records
        except (StoreFull, StoreReadOnly):
            raise
        except (RemoteError, StoreError, OSError) as error:
            _back_off(remote, error)
    return taken


def fetch_assets(store: Store, assets: Iterable[Asset], *, shown: bool) -> None:
    """Have the bytes of assets in the store; `RemoteError` if nobody gives them."""
    from stargazer.display import byte_progress

    for asset in assets:
        with byte_progress(f"fetch {asset.name or asset.cid}", shown=None if shown else False) as progress:
            fetch_asset(store, asset, configured(), progress)


def mark_unavailable(cid: str) -> None:
    """Believe no more that anybody has some bytes: they were promised, and did not come."""
    _doubted.add(cid)


def _asked(store: Store, keys: Collection[str]) -> Iterator[_Answer]:
    """What each remote knows of that none before it did."""
    unknown = dict.fromkeys(keys)
    for remote in _trusted_stores():
        if not unknown:
            return
        try:
            found = trusted_behind(remote, unknown) if remote.store.url != store.url else {}
        except (RemoteError, StoreError, OSError) as error:
            _back_off(remote, error)
            continue
        records = {key: record for key, record in found.items() if not _is_unavailable(record)}
        if records:
            yield _Answer(remote, records)
        for key in () if _rests(remote) else records:  # it may have failed since, and the next one is asked
            del unknown[key]


def _trusted_stores() -> Iterator[StoreRemote]:
    """Other stores of the settings whose records may be believed."""
    signers = trusted_keys()
    for remote in configured():
        if not isinstance(remote, StoreRemote) or not (remote.trusted or signers):
            continue
        if not _rests(remote):
            yield remote


def _rests(remote: StoreRemote) -> bool:
    return time.monotonic() - _failed.get(remote.url, -COOLDOWN) < COOLDOWN


def _is_unavailable(record: Record) -> bool:
    return bool(_doubted) and not _doubted.isdisjoint(filter(None, cids_in(record.outputs)))


def _back_off(remote: StoreRemote, error: Exception) -> None:
    _failed[remote.url] = time.monotonic()
    message = f"{remote.name} could not be asked for results ({error}); what it may know runs here"
    warnings.warn(visible(message, lines=True), RemoteWarning, stacklevel=2)


def _have(store: Store, assets: Iterable[Asset], remote: StoreRemote) -> None:
    """The bytes of results, from the remote that knows them, or from another one if that fails."""
    from stargazer.display import byte_progress

    others = [each for each in configured() if each.name != remote.name]
    for cid in dict.fromkeys(str(member.cid) for asset in assets for member in members(asset)):
        with byte_progress(f"fetch {cid}") as progress:
            fetch_into(store, cid, [remote, *others], progress)
