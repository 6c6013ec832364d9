"""What one call did, and what it gave: records of it as JSON, results as records have them, and back."""

from __future__ import annotations

import hashlib
import json
import math
from collections import namedtuple
from typing import TYPE_CHECKING, Any, NamedTuple

from stargazer.assets import Asset
from stargazer.errors import OutputError
from stargazer.ledger.keys import LONGEST_INTEGER, python_value
from stargazer.store.layout import is_record, read_object

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

__all__ = [
    "FORMAT",
    "Record",
    "check_plain",
    "cids_in",
    "decode",
    "digest",
    "encode",
    "ids_of",
    "map_assets",
    "runs_code",
    "tools_digest",
    "walk_assets",
]

FORMAT = 1

_encoder = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=True)


def digest(value: Any) -> str:
    """SHA-256 of the canonical JSON of `value`, in hexadecimal digits."""
    return hashlib.sha256(_encoder.encode(value).encode()).hexdigest()


def tools_digest(tools: Any, libraries: Mapping[str, str], env: Mapping[str, str | None]) -> str:
    """Digest of the part of a call's identity that is neither its code nor what it was given."""
    return digest([tools, dict(libraries), *([dict(env)] if env else [])])


LATER = (
    "env", "passed", "reads", "noted", "home", "temp", "scratch", "commit", "dirty", "diff", "user", "same_as",
    "named", "wires", "wired", "makers", "principal", "asked", "image", "environment",
)  # fmt: skip
"""Members that came after 0.1.0."""


class Record(NamedTuple):
    """What one call did; immutable, named by the SHA-256 of its JSON.

    Parameters
    ----------
    task
        Name of the task.
    status
        ``"ok"`` or ``"failed"``; only the former is ever a hit.
    plan_key, content_key
        The two keys of the call, hexadecimal SHA-256 (DESIGN: two keys).
    code
        Digest of the task's code.
    manifest
        Digest of each piece of code and each constant that went into `code`.
    parameters
        Plain values by name.
    inputs
        Ids of the asset records by parameter: one, a list, or a dict; None for an optional input left out.
    tools, libraries
        Name, version and digest of each tool; version of each declared library.
    outputs
        The result, as `stargazer.ledger.record.encode` writes it.
    env
        Values of the environment variables that the task names; None for one that was not set.
    passed
        What else its tools were given that may hold other code: folders of modules and conda, variables of the profile.
    producers
        Id of the record that each input came from, by the input's asset id; none for files that were added.
    started
        ISO 8601, UTC.
    seconds, cpu_seconds
        Wall and processor time of the body.
    peak_bytes
        Largest resident memory of a tool that the body ran; 0 where it ran none.
    host, python
        Where it ran.
    log
        CID of the commands and what they wrote to stderr, if any.
    error
        Type and message of the failure.
    differs_from
        Id of an earlier record with the same content key and other outputs: the task is not deterministic.
    reads
        What the body read beside its inputs, with what stood there, as `stargazer.ledger.reads` writes it: the record
        is an answer only while all of that is as it was.
    noted
        What else a person should know of the run, as warnings said it.
    home
        Module and qualified name of the task, ``"package.module:name"``.
    temp
        Whether what it made is of use to the next step only.
    scratch
        Of a call that failed: where on `host` its scratch directory stays, for a day or until it ends well.
    commit, dirty, diff
        Of which commit the code that wired the call was; whether it had been changed since; CID of the changes.
    user
        Who ran it, as that person's machine says; a signature proves it.
    same_as
        Id of the record of the run itself, where this one repeats it under another plan key: the same bytes were
        reached on another way.
    named
        Name and version by which inputs were given, by the input's asset id; none for those that were given otherwise.
    wires
        Whether the call wired others, whose results are its own (`stargazer.dynamic`).
    wired
        Plan keys of the calls that it wired, in the order of its result.
    makers
        Id of the record that each asset of its result came from, by the asset's id; such assets count as read.
    principal
        Who asked a service for it, as that service knows who it was; empty where `user` asked.
    asked
        What it was given to run with: ``cpus``, and ``memory`` in bytes; without what was not asked for.
    image
        Digest or name of the image that all of Stargazer ran in, as its settings said; empty where they say nothing.
    environment
        Where its tools ran, where that was a container or an environment of its own: ``kind``, ``source`` as the task
        names it, ``digest``, and ``runtime`` with its version.
    """

    task: str
    status: str
    plan_key: str
    content_key: str
    code: str
    manifest: dict[str, str]
    parameters: dict[str, Any]
    inputs: dict[str, Any]
    tools: list[dict[str, str]]
    libraries: dict[str, str]
    producers: dict[str, str]
    input_cids: Sequence[str]
    output_cids: Sequence[str] = ()
    outputs: Any = None
    started: str = ""
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    peak_bytes: int = 0
    host: str = ""
    python: str = ""
    log: str | None = None
    error: str | None = None
    differs_from: str | None = None
    env: Mapping[str, str | None] = {}
    passed: Mapping[str, str] = {}
    reads: dict[str, str] = {}  # noqa: RUF012 - never changed
    noted: Sequence[str] = ()
    home: str = ""
    temp: bool = False
    scratch: str | None = None
    commit: str = ""
    dirty: bool = False
    diff: str | None = None
    user: str = ""
    same_as: str | None = None
    named: Mapping[str, str] = {}
    wires: bool = False
    wired: Sequence[str] = ()
    makers: Mapping[str, str] = {}
    principal: str = ""
    asked: Mapping[str, float] = {}
    image: str = ""
    environment: Mapping[str, str] = {}
    format: int = FORMAT
    id: str = ""

    def to_bytes(self) -> bytes:
        """Return the canonical JSON; what records of older versions do not have is left out where it says nothing."""
        members = self._asdict()
        del members["id"]
        for name in LATER:
            if not members[name]:
                del members[name]
        return _encoder.encode(members).encode()

    @classmethod
    def from_bytes(cls, data: bytes, identifier: str) -> Record | None:
        """Read a record; None where it is torn or of a newer format."""
        try:
            members = read_object(data)
            if not is_record(members) or members["format"] > FORMAT:
                return None
            return cls(**{name: members[name] for name in cls._fields[:-1] if name in members}, id=identifier)
        except (ValueError, TypeError, KeyError):
            return None

    @property
    def wide(self) -> tuple[str, ...]:
        """What of the code was not understood whole, and what to write in its place; empty for a sharp key."""
        from stargazer.fingerprint import wide_of

        return wide_of(self.manifest)

    def _repr_html_(self) -> str:
        from stargazer.display import record_html

        return record_html(self)

    def parts(self) -> dict[str, str]:
        """Digests of the four parts of the identity: what "why does this run?" compares."""
        return {
            "code": self.code,
            "parameters": digest(self.parameters),
            "inputs": digest(self.inputs),
            "tools": tools_digest(self.tools, self.libraries, self.env),
        }


# What a task may return, as JSON and back: assets, tuples, lists and dicts of them, or a small plain value.


LARGEST = 1 << 20
"""Characters of plain values in one result."""

VALUE = "notebook_value"
"""Key of the assets that are values of notebooks' cells."""


def map_assets(result: Any, change: Callable[[Asset], Any]) -> Any:
    """Return `result` with every asset replaced by what `change` makes of it."""
    if isinstance(result, Asset):
        return change(result)
    if isinstance(result, tuple):
        items = [map_assets(item, change) for item in result]
        return type(result)(*items) if hasattr(result, "_fields") else tuple(items)
    if isinstance(result, list):
        return [map_assets(item, change) for item in result]
    if isinstance(result, dict):
        return {key: map_assets(item, change) for key, item in result.items()}
    return result


def ids_of(value: Any) -> Any:
    """Return the ids of what a parameter was given, as records have them: one, a list, or a dict.

    Of lists and dicts of such, which functions that wire may take, a dict by place: ``{"[0][1]": …}``.
    """
    items = value if isinstance(value, list) else value.values() if isinstance(value, dict) else ()
    if any(isinstance(item, (list, dict)) for item in items):
        return dict(_placed(value))
    return map_assets(value, lambda asset: asset.id)


def _placed(value: Any, place: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, Asset):
        yield place, value.id
    elif isinstance(value, (list, dict)):
        for name, item in enumerate(value) if isinstance(value, list) else value.items():
            yield from _placed(item, f"{place}[{name!r}]")


def walk_assets(result: Any) -> Iterator[Asset]:
    """Yield every asset in `result`, in order; companions stay with theirs."""
    if isinstance(result, Asset):
        yield result
    elif isinstance(result, (list, tuple)):
        for item in result:
            yield from walk_assets(item)
    elif isinstance(result, dict):
        for item in result.values():
            yield from walk_assets(item)


def encode(result: Any) -> Any:
    """Return `result` as JSON; NumPy's scalars become Python's.

    Raises
    ------
    OutputError
        It holds something that is neither an asset nor plain.
    """
    if isinstance(result, Asset):
        return {"asset": result.to_dict()}
    if isinstance(result, tuple):
        names = getattr(result, "_fields", None)
        encoded = {"tuple": [encode(item) for item in result]}
        return encoded | {"type": type(result).__name__, "fields": list(names)} if names else encoded
    if isinstance(result, list):
        return {"list": [encode(item) for item in result]}
    if isinstance(result, dict) and all(isinstance(key, str) for key in result):
        return {"dict": [[str(key), encode(item)] for key, item in result.items()]}
    return _plain(python_value(result))


def _plain(value: Any) -> dict[str, Any]:
    if value is None or isinstance(value, bool):
        return {"value": value}
    for kind in (int, float, str):
        if isinstance(value, kind):
            exact = kind(value)
            if isinstance(exact, int) and exact.bit_length() > LONGEST_INTEGER:
                raise OutputError("a task returned an integer of thousands of digits; return it as text, or in a file")
            finite = not isinstance(exact, float) or math.isfinite(exact)
            return {"value": exact} if finite else {"float": repr(exact)}
    raise OutputError(
        f"a task returned {type(value).__name__}; it may return assets, tuples, lists and dicts (with str keys) of "
        "assets, numbers, strings, booleans and None. Write larger things to a file: `sg.Asset(path=work.file(…))`"
    )


def check_plain(result: Any) -> None:
    """Check what is no asset in a result, before anything of it is stored.

    Raises
    ------
    OutputError
        It is not plain, or too large for a record.
    """
    if isinstance(result, Asset):
        return
    try:
        _check_size(result)
    except RecursionError:
        raise OutputError("a task returned a value that holds itself, or is nested too deeply") from None


def _check_size(result: Any) -> None:
    size = len(json.dumps(encode(map_assets(result, lambda _: None))))
    if size > LARGEST + 64 * sum(1 for _ in walk_assets(result)):
        raise OutputError(
            f"a task returned plain values of {size:,} characters; where they are more than {LARGEST:,}, "
            "write them to a file: `sg.Asset(path=work.file(…))`"
        )


def cids_in(encoded: Any) -> Iterator[str | None]:
    """Yield the CID of every asset in what `encode` gave, and of their companions, without making assets of them."""
    ((kind, content),) = ((k, v) for k, v in encoded.items() if k not in ("type", "fields"))
    if kind == "asset":
        todo = [content]
        while todo:
            asset = todo.pop()
            yield asset.get("cid")
            todo += asset.get("companions") or ()
    elif kind in ("tuple", "list", "dict"):
        for item in content:
            yield from cids_in(item[1] if kind == "dict" else item)


def runs_code(encoded: Any) -> bool:
    """Whether a result, as records have it, holds a value of a notebook that is more than data."""
    todo = [encoded]
    while todo:
        each = todo.pop()
        if "asset" in each:
            if each["asset"].get("asset") == VALUE and not _is_data(each["asset"]):
                return True
        elif "dict" in each:
            todo += [item for _, item in each["dict"]]
        else:
            todo += each.get("list") or each.get("tuple") or ()
    return False


def _is_data(asset: Mapping[str, Any]) -> bool:
    from stargazer.assets.notebook import DATA_ALONE

    facts = asset.get("facts")
    codec = facts.get("codec") if isinstance(facts, dict) else None
    return isinstance(codec, str) and codec in DATA_ALONE


def decode(encoded: Any, asset: Callable[[dict[str, Any]], Any], named: type | None = None) -> Any:
    """Return what `encode` was given.

    Parameters
    ----------
    encoded
        From `encode`.
    asset
        Makes an asset of its dictionary.
    named
        The ``NamedTuple`` class that the task returns, where it is known.
    """
    ((kind, content),) = ((k, v) for k, v in encoded.items() if k not in ("type", "fields"))
    if kind == "asset":
        return asset(content)
    if kind == "tuple":
        items = [decode(item, asset) for item in content]
        if "fields" not in encoded:
            return tuple(items)
        return (named or namedtuple(encoded["type"], encoded["fields"]))(*items)  # noqa: PYI024
    if kind == "list":
        return [decode(item, asset) for item in content]
    if kind == "dict":
        return {key: decode(item, asset) for key, item in content}
    return float(content) if kind == "float" else content
