"""The key of a whole notebook: an unchanged one costs one look-up, and no library is imported for it.

The key is made of the text of the file and of what was asked for. What else counts (versions of the libraries that the
cells used, own modules, files and variables that they read) stands in the record as what was read: the record is an
answer only while all of that is as it was.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from typing import TYPE_CHECKING, Any, NamedTuple

from stargazer.ledger import Ledger, Record
from stargazer.ledger.reads import ALWAYS, LIBRARY, UNTIL, file_value
from stargazer.ledger.record import decode, encode, walk_assets

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from stargazer.notebook.rows import Outcome
    from stargazer.store import Store

__all__ = ["Whole", "find_whole", "keep_whole", "own_modules", "whole_key"]

FORMAT = "stargazer/notebook/2"
ROWS, OUTPUTS = ".rows", ".outputs"
MOST_MODULES = 500


class Whole(NamedTuple):
    """What is known of a notebook as a whole.

    Parameters
    ----------
    rows
        Of its cells, as `stargazer.notebook.walk.Row.to_dict` writes them.
    outputs
        CID of what each shows.
    started
        When it ran.
    """

    rows: list[dict[str, Any]]
    outputs: str
    started: str


def whole_key(text: bytes, path: Path, target: str | None, given: Mapping[str, Any] | None) -> str | None:
    """Key of a notebook and of what is asked of it; None where a given value has no canonical text."""
    try:
        asked = json.dumps([target, dict(given or {})], sort_keys=True)
    except TypeError:
        return None
    parts = [FORMAT, hashlib.sha256(text).hexdigest(), path.suffix, asked, *map(str, sys.version_info[:2])]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def find_whole(store: Store, key: str) -> Whole | None:
    """Return what is known under a key; one look-up."""
    ledger = Ledger(store.records)
    record = ledger.find(key)
    if record is None:
        return None
    result = decode(record.outputs, lambda data: data)  # nobody asked for the values
    return Whole(json.loads(result[ROWS]), str(result[OUTPUTS]["cid"]), record.started)


def outputs_of(store: Store, whole: Whole) -> list[list[dict[str, Any]]]:
    """What each cell shows."""
    return list(json.loads(store.read(whole.outputs)))


def keep_whole(store: Store, key: str, path: Path, outcome: Outcome) -> None:
    """Note what a notebook came to, where all of it can be told from its text and from what it read."""
    reads = _reads(outcome)
    if not outcome.pure or ALWAYS in reads:
        return
    rows = [{**row.to_dict(), "state": "known" if row.state == "ran" else row.state} for row in outcome.rows]
    rows = [{**row, "why": _without_date(row), "seconds": 0.0} for row in rows]
    shown = json.dumps([row.outputs for row in outcome.rows], sort_keys=True, default=str)
    outputs = {**outcome.assets, ROWS: json.dumps(rows), OUTPUTS: _kept(store, shown)}
    cids = [asset.cid for asset in walk_assets(outputs) if asset.cid]
    notes: dict[str, Any] = {"manifest": {}, "parameters": {}, "inputs": {}, "tools": [], "libraries": {}}
    notes |= {"producers": {}, "input_cids": [], "started": _now(), "python": sys.version.partition(" ")[0]}
    record = Record(
        task=f"notebook {path.name}", status="ok", plan_key=key, content_key=key, code=key,
        outputs=encode(outputs), output_cids=cids, reads=reads, **notes,
    )  # fmt: skip
    ledger = Ledger(store.records)
    if ledger.find(key) is None:
        ledger.append(record)


def _without_date(row: Mapping[str, Any]) -> list[str]:
    return [why for why in row["why"] if not why.startswith("since ")] if row["state"] == "known" else row["why"]


def _now() -> str:
    import datetime

    return datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")


def _kept(store: Store, text: str) -> Any:
    import tempfile
    from pathlib import Path

    from stargazer.notebook.values import Value

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "outputs.json"
        path.write_text(text)
        return store.save(Value(path=path, codec="outputs", kind="outputs"))


def _reads(outcome: Outcome) -> dict[str, str]:
    """All that the cells read and used; a result that is good for a while is so for the shortest of them."""
    found: dict[str, str] = {}
    for record in outcome.records:
        ends = [each[UNTIL] for each in (found, record.reads) if UNTIL in each]
        found |= record.reads
        found |= {UNTIL: min(ends, key=float)} if ends else {}
        found |= {f"{LIBRARY}{name}": version for name, version in record.libraries.items()}
    return found | own_modules()


def own_modules() -> dict[str, str]:
    """Files of own modules that this process has: cells may reach any of them."""
    from stargazer.fingerprint.origin import is_own, lies_with_python

    found: dict[str, str] = {}
    for name, module in list(sys.modules.items()):
        file = str(getattr(module, "__file__", None) or "")
        engine = name == "__main__" or name.startswith("stargazer.") or not file.endswith(".py")
        if engine or len(found) >= MOST_MODULES or lies_with_python(file):
            continue
        if is_own(name, "__notebook__") and os.path.isfile(file):
            found[os.path.abspath(file)] = file_value(file)
    return found
