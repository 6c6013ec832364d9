"""What lies where in a store, relative to its root: which names are allowed, and what records may say.

::

    store.json                    format version, CID profile, identity; made once
    blobs/<xx>/<cid>              the file, named by its CID   (xx: the two characters before the last)
    trees/<xx>/<cid>              directory nodes (dag-pb), HAMT shards too
    shapes/<xx>/<cid>             nodes of a file that no profile cuts so, beside its bytes
    assets/<xx>/<id>              asset records: immutable, canonical JSON, id = SHA-256 of it
    assets/<xx>/<id>.added        a person added this asset: its bytes are kept; and what it was converted by
    assets/<xx>/<id>.superseded   a newer record describes these bytes
    assets/<xx>/<id>.elsewhere    came as part of a lineage, without the bytes: they are not missed here
    records/<xx>/<id>             what a call did: immutable, id = SHA-256 of it
    signatures/<xx>/<id>.<key>    Ed25519 signature of a ledger record, by the public key
    keys/<xx>/<key>               small pointers to records, replaced atomically
    pins/<name>                   roots that garbage collection keeps
    names/<name>/<version>        names that people give, versions 1 to n, written once; / in a name is written @
    leases/<name>                 the same, until they expire
    runs/<id>                     notes on runs: when, where, how each went; may be deleted
    logs/<id>                     what happened in each, call by call; the same
    drivers/<id>.<what>           of runs of their own: what they were given, whose turn it is, what they gave
    uses/<day>/<event>            object stores only: which records were of use that day
    journal/<hour>/<event>        object stores only: what changed, by time
    quarantine/<name>.<time>      what was found corrupt, and when (ns)
    tmp/                          what is being written now; scratch directories of tasks
"""

from __future__ import annotations

import hashlib
import json
import keyword
import re
import sys
import time
from datetime import datetime
from typing import TYPE_CHECKING, Any

from stargazer.bounded import DEEPEST, LARGEST, is_nested_deeper
from stargazer.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

__all__ = [
    "DEEPEST",
    "FLAT",
    "FORMAT",
    "HEADER",
    "HELD",
    "JOURNAL",
    "LARGEST",
    "SHARDED",
    "TMP",
    "TOP",
    "USES",
    "added",
    "asset",
    "asset_members",
    "blob",
    "check_bounds",
    "check_name",
    "driver",
    "elsewhere",
    "is_asset",
    "is_name",
    "is_names",
    "is_plain",
    "is_record",
    "is_result",
    "is_text",
    "is_texts",
    "is_whole_record",
    "key",
    "lease",
    "moment",
    "pin",
    "quarantine",
    "read_json",
    "read_named",
    "read_object",
    "record",
    "run",
    "run_log",
    "shape",
    "signature",
    "successor_of",
    "superseded",
    "tree",
]

FORMAT = 1
HEADER = "store.json"
TMP = "tmp"
HELD = "held-"
"""How the name of a mark in ``tmp`` begins that keeps a file from being swept."""

JOURNAL = "journal"
USES = "uses"
SHARDED = ("blobs", "trees", "assets", "records", "keys")
FLAT = ("pins", "leases", "runs", "logs", "drivers")
TOP = (*SHARDED, "shapes", "signatures", *FLAT, "names", "quarantine", TMP, JOURNAL, USES)
"""Every folder that a store may have."""


_LONGEST = 120
"""Characters of a name that stay when it is put aside: with the time it must fit a file name, whatever they are."""

_SAFE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{2,239}")
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@+=-]{0,199}")


def _sharded(folder: str, name: str) -> str:
    if not _SAFE.fullmatch(name):
        raise StoreError(f"{name!r} cannot name anything in {folder}/ of a store: letters, digits, - and _ only")
    return f"{folder}/{name[-3:-1]}/{name}"


def blob(cid: str) -> str:
    """Place of a file's bytes."""
    return _sharded("blobs", cid)


def tree(cid: str) -> str:
    """Place of a directory node."""
    return _sharded("trees", cid)


def shape(cid: str) -> str:
    """Place of the nodes of a file that no profile cuts so."""
    return _sharded("shapes", cid)


def asset(identifier: str) -> str:
    """Place of an asset record."""
    return _sharded("assets", identifier)


def added(identifier: str) -> str:
    """Place of the mark that a person added this asset."""
    return asset(identifier) + ".added"


def superseded(identifier: str) -> str:
    """Place of the mark that a newer record took this one's place."""
    return asset(identifier) + ".superseded"


def elsewhere(identifier: str) -> str:
    """Place of the mark that the bytes of this one may be elsewhere."""
    return asset(identifier) + ".elsewhere"


def record(identifier: str) -> str:
    """Place of a ledger record."""
    return _sharded("records", identifier)


def signature(identifier: str, public: str) -> str:
    """Place of the signature of a ledger record by the owner of a public key, in hexadecimal digits."""
    return f"{_sharded('signatures', identifier)}.{public}"


def key(name: str) -> str:
    """Place of a pointer to a record."""
    return _sharded("keys", name)


def check_name(name: str) -> str:
    """`name`, if it may name a pin or a lease.

    Raises
    ------
    StoreError
        It holds characters that are not safe in a file name on every file system.
    """
    if not _NAME.fullmatch(name):
        raise StoreError(f"{name!r} is no name for a pin or a lease: use letters, digits and _ . @ + = -")
    return name


def is_plain(name: str) -> bool:
    """Whether `name` may name a pin, a lease or a run."""
    return _NAME.fullmatch(name) is not None


def pin(name: str) -> str:
    """Place of a pin."""
    return f"pins/{check_name(name)}"


def lease(name: str) -> str:
    """Place of a lease."""
    return f"leases/{check_name(name)}"


def run(name: str) -> str:
    """Place of the note of a run."""
    return f"runs/{check_name(name)}"


def run_log(name: str) -> str:
    """Place of the log of a run."""
    return f"logs/{check_name(name)}"


def driver(run: str, what: str) -> str:
    """Place of something that the driver of a run needs or leaves."""
    return f"drivers/{check_name(f'{run}.{what}')}"


def quarantine(name: str) -> str:
    """A new place for something that was found corrupt."""
    return f"quarantine/{name[:_LONGEST]}.{time.time_ns()}"


# What lies there is JSON that anybody may have written. A store is shared: one file in it that nests a hundred thousand
# deep, or holds text that no file can hold, must not stop what reads all the others. So every record, pin, lease and
# mark goes through here, bounded in size and depth, and of the types that belong there.


_IDENTIFIER = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{2,199}")
_YEAR = re.compile(r"\d{4}")
_TEXT = {str}


def read_json(data: bytes) -> Any:
    """Read JSON.

    Raises
    ------
    ValueError
        It is none, or is too large or too deep.
    """
    check_bounds(data)
    return json.loads(data.decode("utf-8"))


def check_bounds(data: bytes) -> None:
    """Refuse what is too large or too deep to be read.

    Raises
    ------
    ValueError
        It is.
    """
    if len(data) > LARGEST:
        raise ValueError(f"{len(data):,} bytes are more than {LARGEST:,}")
    if data.count(b"[") + data.count(b"{") > DEEPEST and is_nested_deeper(data, DEEPEST):
        raise ValueError(f"lists and objects are nested more than {DEEPEST} deep")


def read_object(data: bytes) -> dict[str, Any]:
    """Read a JSON object.

    Raises
    ------
    ValueError
        It is none.
    """
    value = read_json(data)
    if not isinstance(value, dict):
        raise ValueError(f"{type(value).__name__} is no object")
    return value


def is_name(value: object) -> bool:
    """Whether a value can be a CID or an id: it names a place in a store and nothing else."""
    return isinstance(value, str) and _IDENTIFIER.fullmatch(value) is not None


def _are_names(values: Collection[Any]) -> bool:
    """Whether all values can be; letters and digits alone, which is what is written, are told apart at once."""
    if not values:
        return True
    if not _only_text(values):
        return False
    joined = "".join(values)
    lengths = [*map(len, values)]
    # Of bytes, for in text each character would be looked up among all of Unicode.
    if joined.isascii() and joined.encode("ascii").isalnum() and min(lengths) > 2 and max(lengths) <= 200:
        return True
    return all(map(_IDENTIFIER.fullmatch, values))


def is_names(value: object) -> bool:
    """Whether a value is a list of such."""
    return isinstance(value, list) and _are_names(value)


def is_text(value: object) -> bool:
    """Whether a value is text that can be written, and not half a character."""
    if not isinstance(value, str):
        return False
    if value.isascii():
        return True
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def is_texts(value: object) -> bool:
    """Whether a value is an object of which all members are text."""
    return isinstance(value, dict) and _only_text(value.values())


def _only_text(values: Iterable[object]) -> bool:
    return set(map(type, values)) <= _TEXT


def is_asset(members: object) -> bool:
    """Whether a value has the form of an asset's record, its companions too."""
    if not isinstance(members, dict) or not isinstance(facts := members.get("facts"), dict):
        return False
    if not (_only_text(facts) and is_text("".join(facts))):
        return False
    if not (is_text(members.get("asset")) and is_text(members.get("name")) and is_name(members.get("cid"))):
        return False
    companions = members.get("companions", [])
    return isinstance(companions, list) and all(map(is_asset, companions))


def is_result(encoded: object) -> bool:
    """Whether a value has the form of a call's result: assets, tuples, lists and dicts of them, or a plain value."""
    if not isinstance(encoded, dict):
        return False
    kinds = encoded.keys() - {"type", "fields"}
    if len(kinds) != 1 or (kind := next(iter(kinds))) not in _RESULTS:
        return False
    if "fields" in encoded and not (kind == "tuple" and _is_named(encoded)):
        return False
    return _RESULTS[kind](encoded[kind])


def _is_named(encoded: dict[str, Any]) -> bool:
    """Whether a tuple's names are such that a class can be made of them."""
    fields, items = encoded["fields"], encoded["tuple"]
    if not isinstance(fields, list) or not isinstance(items, list) or len(fields) != len(items):
        return False
    names = [encoded.get("type"), *fields]
    plain = (isinstance(name, str) and name.isidentifier() and not keyword.iskeyword(name) for name in names)
    return all(plain) and len(set(fields)) == len(fields) and not any(name.startswith("_") for name in fields)


def _are_results(items: object) -> bool:
    return isinstance(items, list) and all(map(is_result, items))


def _are_members(items: object) -> bool:
    return isinstance(items, list) and all(
        isinstance(pair, list) and len(pair) == 2 and isinstance(pair[0], str) and is_result(pair[1]) for pair in items
    )


_RESULTS: dict[str, Callable[[Any], bool]] = {
    "asset": is_asset,
    "tuple": _are_results,
    "list": _are_results,
    "dict": _are_members,
    "value": lambda value: value is None or isinstance(value, (bool, int, float, str)),
    "float": lambda text: text in ("nan", "inf", "-inf"),
}


def is_record(members: dict[str, Any]) -> bool:
    """Whether those members that a ledger's record has are of the types that belong there."""
    for name, fits in _MEMBERS.items():
        if name in members and not fits(members[name]):
            return False
    return members.get("status") != "ok" or "outputs" not in members or members["outputs"] is not None


def _is_inputs(value: object) -> bool:
    """Ids by parameter: one, a list, a dict, or None."""
    return isinstance(value, dict) and all(map(_is_input, value.values()))


def _is_input(value: object) -> bool:
    if isinstance(value, dict):
        return _are_names(value.values())
    return value is None or is_names(value if isinstance(value, list) else [value])


def _is_tools(value: object) -> bool:
    return isinstance(value, list) and all(map(_is_tool, value))


def _is_tool(value: object) -> bool:
    return isinstance(value, dict) and _only_text((value.get("name"), value.get("version"), value.get("digest")))


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) <= sys.float_info.max


def _is_moment(value: object) -> bool:
    """Whether a value is a time in ISO 8601, perhaps of a year alone, or says nothing."""
    if not isinstance(value, str):
        return False
    try:
        return not value or _YEAR.fullmatch(value) is not None or bool(datetime.fromisoformat(value))
    except ValueError:
        return False


def moment(text: str) -> float | None:
    """Seconds since 1970 of a time in ISO 8601, perhaps of a year alone; None where it says nothing."""
    try:
        return datetime.fromisoformat(f"{text}-01-01" if _YEAR.fullmatch(text) else text).timestamp()
    except (ValueError, OverflowError):
        return None


def _or_none(fits: Callable[[object], bool]) -> Callable[[object], bool]:
    return lambda value: value is None or fits(value)


def _is_producers(value: object) -> bool:
    return isinstance(value, dict) and _are_names(value) and _are_names(value.values())


def _is_environment(value: object) -> bool:
    """Values of variables by name; None for one that was not set."""
    return isinstance(value, dict) and _only_text(each for each in value.values() if each is not None)


_MEMBERS: dict[str, Callable[[Any], bool]] = {
    "task": is_text,
    "status": is_text,
    "plan_key": lambda value: _are_names([value]),
    "content_key": lambda value: _are_names([value]),
    "code": is_text,
    "manifest": is_texts,
    "parameters": lambda value: isinstance(value, dict),
    "inputs": _is_inputs,
    "tools": _is_tools,
    "libraries": is_texts,
    "producers": _is_producers,
    "input_cids": is_names,
    "output_cids": is_names,
    "outputs": _or_none(is_result),
    "started": _is_moment,
    "seconds": _is_number,
    "cpu_seconds": _is_number,
    "peak_bytes": _is_number,
    "host": is_text,
    "python": is_text,
    "log": _or_none(is_name),
    "error": _or_none(lambda value: isinstance(value, str)),
    "differs_from": _or_none(is_name),
    "home": is_text,
    "temp": lambda value: isinstance(value, bool),
    "scratch": _or_none(is_text),
    "commit": is_text,
    "dirty": lambda value: isinstance(value, bool),
    "diff": _or_none(is_name),
    "user": is_text,
    "same_as": _or_none(is_name),
    "named": is_texts,
    "wires": lambda value: isinstance(value, bool),
    "wired": is_names,
    "makers": _is_producers,
    "principal": is_text,
    "asked": lambda value: isinstance(value, dict) and all(map(_is_number, value.values())),
    "image": is_text,
    "environment": is_texts,
    "env": _is_environment,
    "passed": is_texts,
    "reads": is_texts,
    "noted": lambda value: isinstance(value, list) and _only_text(value),
    "format": lambda value: isinstance(value, int) and not isinstance(value, bool),
}


# Records, and marks beside them, by their bytes.


def asset_members(data: bytes, identifier: str) -> dict[str, Any] | None:
    """Members of an asset record; None if it is torn or malformed."""
    try:
        members = read_named(data, identifier)
    except ValueError:
        return None
    return members if is_asset(members) else None


def is_whole_record(data: bytes, identifier: str) -> bool:
    """Whether a ledger record is what its id says, and all in it is of the type that belongs there."""
    try:
        return is_record(read_named(data, identifier))
    except ValueError:
        return not data.startswith(b"{") and hashlib.sha256(data).hexdigest() == identifier


def read_named(data: bytes, identifier: str) -> dict[str, Any]:
    """Read an object that is named by its hash.

    Raises
    ------
    ValueError
        It is torn: its bytes are not those that the name stands for; or no object.
    """
    if hashlib.sha256(data).hexdigest() != identifier:
        raise ValueError(f"{identifier} is torn")
    return read_object(data)


def successor_of(data: bytes) -> str:
    """What a mark beside a record says is newer; empty if the mark is torn."""
    try:
        successor = read_object(data)["by"]
    except (ValueError, KeyError):
        return ""
    return str(successor) if is_name(successor) else ""
