"""Signatures of records that go from store to store: what this user ran is signed, those of others go along.

Keys and signatures themselves are the ledger's: see `stargazer.ledger.signatures`.
"""

from __future__ import annotations

import warnings
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, NamedTuple

from stargazer.ledger import Ledger, Record
from stargazer.ledger.record import cids_in
from stargazer.ledger.signatures import (
    fits,
    make_key,
    own_keys,
    public_key,
    revoked_since,
    signatures_of,
    trusted_keys,
)
from stargazer.remotes.blocks import RemoteWarning
from stargazer.visible import visible

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from stargazer.remotes.store import StoreRemote
    from stargazer.store import Store

__all__ = [
    "Verdict",
    "copy_signatures",
    "judge",
    "make_key",
    "public_key",
    "refusal",
    "trusted",
    "trusted_behind",
    "trusted_keys",
    "unsigned",
]


class Verdict(NamedTuple):
    """Whether a record is believed for its signatures, by whom it was signed, and why not if it is not."""

    believed: bool
    signer: str = ""
    reason: str = ""


def copy_signatures(source: Store, target: Store, identifiers: Collection[str]) -> None:
    """Let signatures go along with their records, whoever made them, if they fit."""
    known = [*trusted_keys().values(), *own_keys()]
    found = signatures_of(source.records, identifiers, known)
    pairs = {(name, key): data for name, signed in found.items() for key, data in signed.items()}
    target.records.put_signatures({place: data for place, data in pairs.items() if fits(*place, data)})


def unsigned(store: Store, identifiers: Collection[str]) -> list[str]:
    """Those records of which no signature fits."""
    found = signatures_of(store.records, identifiers, [*trusted_keys().values(), *own_keys()])
    return [name for name in identifiers if not any(fits(name, key, data) for key, data in found.get(name, {}).items())]


def judge(store: Store, identifiers: Iterable[str]) -> Mapping[str, Verdict]:
    """Say of records of a store whether a trusted signer signed them."""
    wanted = list(identifiers)
    names = {key: name for name, key in trusted_keys().items()}
    if not names:
        reason = "is not trusted: the remote has no `trust: true`, and stargazer.trust names no signers"
        return dict.fromkeys(wanted, Verdict(False, "", reason))
    found = store.records.get_signatures(wanted, list(names)) if wanted else {}
    revoked = revoked_since()
    verdicts = dict.fromkeys(wanted, Verdict(False, "", f"is signed by none of {', '.join(names.values())}"))
    for (identifier, key), data in found.items():
        if key in revoked:
            # Nothing proves when it was signed; what had come before that time is in one's own store.
            reason = f"was signed by {names[key]}, whose key was revoked"
        elif fits(identifier, key, data):
            verdicts[identifier] = Verdict(True, names[key])
            continue
        else:
            reason = f"has a signature of {names[key]} that does not fit it"
        if not verdicts[identifier].believed:
            verdicts[identifier] = Verdict(False, "", reason)
    return verdicts


# Which records of another store are trusted: all of one that is trusted, else those that a trusted signer signed.
#
# What ran cannot be checked afterwards, whatever a hash says. A signature covers a record, and so the call, its inputs
# and its outputs; that a key leads there it covers only for the keys that stand in the record itself.


_AT_ONCE = 16


def trusted_behind(remote: StoreRemote, keys: Iterable[str]) -> dict[str, Record]:
    """Believed records of a store behind those of many keys that lead to one, if it has all that their calls made.

    Parameters
    ----------
    remote
        The store.
    keys
        Plan or content keys.
    """
    found = Ledger(remote.store.records, "anyone").lookup(keys)
    if not remote.trusted:
        verdicts = judge(remote.store, {record.id for record in found.values()})
        _tell(remote, found, verdicts)
        found = {key: record for key, record in found.items() if verdicts[record.id].believed}
    whole = _whole(remote, {record.id: record for record in found.values()})
    return {key: record for key, record in found.items() if record.id in whole}


def trusted(remote: StoreRemote, identifiers: Iterable[str]) -> dict[str, Record]:
    """Believed records of a store by id; others are left out."""
    data = remote.store.records.get_many(identifiers)
    verdicts = {} if remote.trusted else judge(remote.store, data)
    wanted = [name for name in data if remote.trusted or verdicts[name].believed]
    records = ((name, Record.from_bytes(data[name], name)) for name in wanted)
    return {name: record for name, record in records if record is not None}


def refusal(remote: StoreRemote, record: Record) -> str:
    """Why a record is not trusted; empty if it is."""
    if remote.trusted:
        return ""
    verdict = judge(remote.store, [record.id])[record.id]
    return "" if verdict.believed else f"record {record.id[:12]} {verdict.reason}"


def _whole(remote: StoreRemote, records: Mapping[str, Record]) -> set[str]:
    ledger = Ledger(remote.store.records, "anyone")
    if remote.store.backend.quick:
        return {name for name, record in records.items() if ledger.is_complete(record)}
    cids = list({cid for record in records.values() for cid in cids_in(record.outputs) if cid})
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        there = dict(zip(cids, pool.map(remote.store.has, cids), strict=True))
    return {name for name, record in records.items() if all(there.get(str(cid)) for cid in cids_in(record.outputs))}


def _tell(remote: StoreRemote, records: Mapping[str, Record], verdicts: Mapping[str, Verdict]) -> None:
    """Say of a store that knows calls why it is not trusted; one record stands for all."""
    refused = {each.id: each for each in records.values() if not verdicts[each.id].believed}
    if refused:
        name, record = next(iter(refused.items()))
        more = f", nor {len(refused) - 1} others" if len(refused) > 1 else ""
        message = f"{remote.name} knows {record.task}, and is not trusted: record {name[:12]} {verdicts[name].reason}"
        warnings.warn(visible(message + more, lines=True), RemoteWarning, stacklevel=2)
