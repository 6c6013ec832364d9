"""Results that run code when they are read: whose they must be.

A value of a notebook may be a pickle, and a pickle does what it says. Whoever may write to a store's folder may put one
there as the result of any cell, so it is not enough that a record tells of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stargazer.assets.notebook import DATA_ALONE, NotebookValue

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stargazer.ledger.record import Record
    from stargazer.store.records import Records

__all__ = ["not_believed", "runs_code"]


def not_believed(kept: Records, records: Mapping[str, Record]) -> set[str]:
    """Ids of those records whose results run code when they are read, and that nobody who is believed has signed.

    In a store that nobody else may write to everything is one's own, signed or not.

    Parameters
    ----------
    kept
        Those of a store, where they are.
    records
        Records of calls by their ids.
    """
    doubtful = [record for record in records.values() if runs_code(record.outputs)]
    if not doubtful or kept.context.backend.is_private():
        return set()
    from stargazer.ledger.signatures import accepted

    return {record.id for record in doubtful} - accepted(kept, doubtful, "signed")


def runs_code(encoded: Any) -> bool:
    """Whether a result, as records have it, holds a value of a notebook that is more than data."""
    todo = [encoded]
    while todo:
        each = todo.pop()
        if "asset" in each:
            if each["asset"].get("asset") == NotebookValue.asset_key and _codec(each["asset"]) not in DATA_ALONE:
                return True
        elif "dict" in each:
            todo += [item for _, item in each["dict"]]
        else:
            todo += each.get("list") or each.get("tuple") or ()
    return False


def _codec(asset: Mapping[str, Any]) -> Any:
    return asset.get("facts", {}).get("codec")
