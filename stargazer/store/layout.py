"""Names of places in a store, relative to its root, and which names are allowed.

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

import re
import time

from stargazer.errors import StoreError

__all__ = [
    "FLAT",
    "FORMAT",
    "HEADER",
    "HELD",
    "JOURNAL",
    "SHARDED",
    "TMP",
    "TOP",
    "USES",
    "added",
    "asset",
    "blob",
    "check_name",
    "driver",
    "elsewhere",
    "is_plain",
    "key",
    "lease",
    "pin",
    "quarantine",
    "record",
    "run",
    "run_log",
    "shape",
    "signature",
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
