"""Which records of another store are believed: all of one that is trusted, else those that a trusted signer signed.

What ran cannot be checked afterwards, whatever a hash says. A signature covers a record, and so the call, its inputs
and its outputs; that a key leads there it covers only for the keys that stand in the record itself.
"""

from __future__ import annotations

import warnings
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from stargazer.ledger import Ledger, Record
from stargazer.ledger.results import cids_in
from stargazer.remotes.blocks import RemoteWarning
from stargazer.remotes.signing import Verdict, judge

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from stargazer.remotes.stores import StoreRemote

__all__ = ["believed", "believed_behind", "refusal"]

_AT_ONCE = 16


def believed_behind(remote: StoreRemote, keys: Iterable[str]) -> dict[str, Record]:
    """Believed records of a store behind those of many keys that lead to one, if it has all that their calls made.

    Parameters
    ----------
    remote
        The store.
    keys
        Plan or content keys.
    """
    found = Ledger(remote.store).pointed(keys)
    if not remote.trusted:
        found = {key: record for key, record in found.items() if key in (record.plan_key, record.content_key)}
        verdicts = judge(remote.store, {record.id for record in found.values()})
        _tell(remote, found, verdicts)
        found = {key: record for key, record in found.items() if verdicts[record.id].believed}
    whole = _whole(remote, {record.id: record for record in found.values()})
    return {key: record for key, record in found.items() if record.id in whole}


def believed(remote: StoreRemote, identifiers: Iterable[str]) -> dict[str, Record]:
    """Believed records of a store by id; others are left out."""
    data = remote.store.get_records(identifiers)
    verdicts = {} if remote.trusted else judge(remote.store, data)
    wanted = [name for name in data if remote.trusted or verdicts[name].believed]
    records = ((name, Record.from_bytes(data[name], name)) for name in wanted)
    return {name: record for name, record in records if record is not None}


def refusal(remote: StoreRemote, record: Record) -> str:
    """Why a record is not believed; empty if it is."""
    if remote.trusted:
        return ""
    verdict = judge(remote.store, [record.id])[record.id]
    return "" if verdict.believed else f"record {record.id[:12]} {verdict.reason}"


def _whole(remote: StoreRemote, records: Mapping[str, Record]) -> set[str]:
    ledger = Ledger(remote.store)
    if remote.store.backend.local:
        return {name for name, record in records.items() if ledger.is_whole(record)}
    cids = list({cid for record in records.values() for cid in cids_in(record.outputs) if cid})
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        there = dict(zip(cids, pool.map(remote.store.has, cids), strict=True))
    return {name for name, record in records.items() if all(there.get(str(cid)) for cid in cids_in(record.outputs))}


def _tell(remote: StoreRemote, records: Mapping[str, Record], verdicts: Mapping[str, Verdict]) -> None:
    """Say of a store that knows calls why it is not believed; one record stands for all."""
    refused = {each.id: each for each in records.values() if not verdicts[each.id].believed}
    if refused:
        name, record = next(iter(refused.items()))
        more = f", nor {len(refused) - 1} others" if len(refused) > 1 else ""
        message = f"{remote.name} knows {record.task}, and is not believed: record {name[:12]} {verdicts[name].reason}"
        warnings.warn(message + more, RemoteWarning, stacklevel=2)
