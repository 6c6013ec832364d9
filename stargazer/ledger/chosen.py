"""Records that are meant by the name of a result, a call or a task, and those above and below them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stargazer.assets import Asset
from stargazer.errors import ArgumentError, NotFound

if TYPE_CHECKING:
    from collections.abc import Iterable

    from stargazer.ledger.ledger import Ledger
    from stargazer.ledger.record import Record

__all__ = ["above", "below", "chosen", "task_names"]

HEXADECIMAL = set("0123456789abcdef")
FEWEST_DIGITS = 4
ASSET_ID = 64


def chosen(ledger: Ledger, what: Asset | str) -> list[Record]:
    """Return the records that a user means, newest first.

    Parameters
    ----------
    ledger
        Where to look.
    what
        A stored asset: the record that it came from. A CID or the id of an asset: all that made it. The first digits
        of a record; or the name of a task, if need be with its module or group before it: all its calls.

    Raises
    ------
    NotFound
        Nothing recorded goes by that name.
    """
    if isinstance(what, Asset):
        return _of_asset(ledger, what)
    if not isinstance(what, str):
        raise ArgumentError(f"{what!r} is neither a stored asset, a CID, digits of a record, nor the name of a task")
    found = ledger.producers(what) if what.startswith("baf") else _of_task(ledger, what)
    if not found and len(what) >= FEWEST_DIGITS and set(what) <= HEXADECIMAL:
        found = _by_digits(ledger, what)
    if not found:
        raise NotFound(f"no call made {what!r}, none is called that, and no task is, in {ledger.url}")
    return found


def task_names(home: str) -> set[str]:
    """All that a task is called which is a function of a module: by its name, and with the end of the module before it.

    Also with parts from within the module, as groups of the catalog are: ``gatk.mark_duplicates``.
    """
    module, _, name = home.partition(":")
    parts = module.split(".")
    runs = (parts[start:end] for start in range(len(parts)) for end in range(start + 1, len(parts) + 1))
    return {home, name, *(f"{'.'.join(run)}.{name}" for run in runs)}


def _of_task(ledger: Ledger, what: str) -> list[Record]:
    found = ledger.of_task(what)
    name = what.replace(":", ".").rpartition(".")[2]
    if found or name == what:
        return found
    return [record for record in ledger.of_task(name) if what in task_names(record.home)]


def _by_digits(ledger: Ledger, digits: str) -> list[Record]:
    found = ledger.starting(digits)
    if len(found) > 1:
        raise NotFound(f"several calls are known by {digits!r}: write more digits")
    asset = ledger.records.assets.read([digits]).get(digits) if not found and len(digits) == ASSET_ID else None
    return [record for record in found if record.status == "ok"] or (_of_asset(ledger, asset) if asset else [])


def _of_asset(ledger: Ledger, asset: Asset) -> list[Record]:
    found = ledger.makers(asset)
    if not found:
        raise NotFound(f"nothing recorded made {asset!r}: it was added by a person")
    return found


def above(ledger: Ledger, records: Iterable[Record]) -> list[Record]:
    """Return records and those of all calls that led to them, nearest first."""
    found = {record.id: record for record in records}
    level = list(found.values())
    while level:
        wanted = {name for record in level for name in record.producers.values()} - found.keys()
        level = [record for name in sorted(wanted) if (record := ledger.get(name)) is not None]
        found |= {record.id: record for record in level}
    return list(found.values())


def below(ledger: Ledger, records: Iterable[Record]) -> list[Record]:
    """Return records and those of all calls that read what they made, or what was made of it, nearest first."""
    found = {record.id: record for record in records}
    level, seen = list(found.values()), set[str]()
    while level:
        made = {cid for record in level for cid in record.output_cids} - seen
        seen |= made
        users = {user.id: user for cid in sorted(made) for user in ledger.consumers(cid) if user.status == "ok"}
        level = [user for name, user in users.items() if name not in found]
        found |= users
    return list(found.values())
