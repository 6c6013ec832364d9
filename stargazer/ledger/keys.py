"""The identity of a call, as a key, and how values of parameters stand in it.

One function makes both keys. A plan key names calls among the inputs by their own plan keys; once all inputs are real,
the same function gives the content key: the key that the call would have had if it had been wired from stored assets.
So calls that were, have one key and cost one look-up.
"""

from __future__ import annotations

import copy
import enum
import hashlib
import io
import json
import math
from dataclasses import fields, is_dataclass
from functools import cached_property
from json.encoder import encode_basestring_ascii
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any, NamedTuple

from stargazer.cid import KUBO, cid_of_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from stargazer.cid import CIDProfile
    from stargazer.tools import ToolIdentity

__all__ = [
    "LONGEST_INTEGER",
    "Kept",
    "Naming",
    "call_key",
    "contents_of",
    "input_key",
    "input_keys",
    "is_simple",
    "members_of",
    "ordered",
    "own_copy",
    "paths_in",
    "plain",
    "python_value",
    "task_key",
]

FORMAT = "stargazer/call/1"

_encode = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False).encode
_texts: dict[type, Callable[[Any], str]] = {
    str: encode_basestring_ascii,
    int: int.__repr__,
    bool: lambda value: "true" if value else "false",
    type(None): lambda _: "null",
}
"""How the encoder writes what most members are."""


def task_key(
    name: str,
    code: str,
    tools: Sequence[ToolIdentity],
    libraries: Mapping[str, str],
    env: Mapping[str, str | None] | None = None,
) -> str:
    """Digest of what all calls of one task share: its name, code, tools, libraries and environment variables."""
    shared = [FORMAT, name, code, [[tool.name, tool.version, tool.digest] for tool in tools], dict(libraries)]
    shared += [dict(env)] if env else []
    return hashlib.sha256(_encode(shared).encode()).hexdigest()


def call_key(task: str, parameters: Mapping[str, Any], inputs: Mapping[str, Any]) -> str:
    """Return the key of one call.

    Parameters
    ----------
    task
        From `task_key`.
    parameters
        Values by name, as `plain` gives them.
    inputs
        Keys of the inputs by parameter: one, a list or a dict of them, or None.
    """
    return hashlib.sha256(f"{task}\n{_members(parameters)}\n{_members(inputs)}".encode()).hexdigest()


def _members(values: Mapping[str, Any]) -> str:
    """The same text as the encoder's; most calls have a few numbers and texts, for which it is not set up anew."""
    if not values:
        return "{}"
    written = []
    for name in sorted(values) if len(values) > 1 else values:
        value = values[name]
        write = _texts.get(type(value))
        if write is None:
            return _encode(values)
        written.append(f"{encode_basestring_ascii(name)}:{write(value)}")
    return f"{{{','.join(written)}}}"


def input_key(asset: Any, kinds: Mapping[str, str]) -> str:
    """Key of a stored asset: its type, CID, facts, name and companions.

    Parameters
    ----------
    asset
        Stored.
    kinds
        What tells whether the methods of the user's own types are still the same, by asset key.
    """
    key = f"asset:{asset.id}"
    return " ".join((key, *_codes(asset, kinds))) if kinds else key


def _codes(asset: Any, kinds: Mapping[str, str]) -> Iterator[str]:
    if code := kinds.get(asset.asset_key):
        yield code
    for companion in asset.companions:
        yield from _codes(companion, kinds)


def input_keys(value: Any, kinds: Mapping[str, str]) -> Any:
    """Keys of a stored asset, or of a list or dict of them, or of such lists and dicts; see `input_key`."""
    if isinstance(value, list):
        return [input_keys(item, kinds) for item in value]
    if isinstance(value, dict):
        return ordered({name: input_keys(item, kinds) for name, item in value.items()})
    return None if value is None else input_key(value, kinds)


# Values of parameters: as JSON that tells unequal from equal, and as they were when the call was made.


SIMPLE = (str, int, float, bool, type(None))
DIGITS = 64
"""Of a digest; versions of libraries are shorter."""

LONGEST_INTEGER = 14_000
"""Bits of an integer, below what Python writes as decimal text."""

LARGEST_BYTES = 1 << 16
LARGEST_CONTENT = 16 << 20
"""Bytes of a value that is a parameter; larger ones are files."""

OBJECT = "O"
NUMBERS = "biufcSU"
"""Kinds of NumPy's scalars that are Python's own values, but for their width."""


class Naming(NamedTuple):
    """How the classes and the contents of values are named in a key.

    Parameters
    ----------
    owner
        Module of the task: code of its package is own.
    profile
        CID profile of the store.
    """

    owner: str = "__main__"
    profile: CIDProfile = KUBO

    def of_class(self, cls: type) -> dict[str, str]:
        """Name of a class, and what tells whether its methods are the same."""
        from stargazer.fingerprint import class_code, class_name  # who only looks results up does not pay for it

        code = class_code(cls, self.owner)
        return {"class": class_name(cls)} | ({"code": code} if code else {})


def plain(value: Any, naming: Naming | None = None) -> Any:
    """Return a parameter's value as JSON that tells unequal from equal.

    Parameters
    ----------
    value
        Numbers, strings, booleans, None, bytes, lists, tuples, sets and dicts, enums and dataclasses; decimals,
        fractions, dates, times, UUIDs, paths, patterns; small arrays and data frames. Or what was `Kept` of it.
    naming
        How classes are named; None where values of classes were kept before, and come as `Kept`.

    Raises
    ------
    TypeError
        The value is something else, or too large.
    """
    kind = type(value)
    if kind in SIMPLE:
        return _simple(value)
    if kind is Kept:
        return value.text
    write = CONTAINERS.get(kind) or EXACT.get(f"{kind.__module__}.{kind.__qualname__}")
    if write is not None:
        return write(value, naming)
    if isinstance(value, PurePath) and kind.__module__.partition(".")[0] == "pathlib":
        return {"path": value.as_posix(), "kind": "Path" if isinstance(value, Path) else kind.__name__}
    if kind.__module__ == "numpy" and getattr(value, "shape", None) == ():
        return _number(value)
    if naming is None:
        raise TypeError(f"{kind.__name__} is no plain value")
    return _of_class(value, naming)


def _simple(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return {"float": repr(value)}
    if isinstance(value, int) and value.bit_length() > LONGEST_INTEGER:
        raise TypeError("an integer of thousands of digits; pass it as text, or in a file as an asset")
    return value


def _list(value: list[Any], naming: Naming | None) -> Any:
    return [plain(item, naming) for item in value]


def _tuple(value: tuple[Any, ...], naming: Naming | None) -> Any:
    return {"tuple": [plain(item, naming) for item in value]}


def _dict(value: dict[Any, Any], naming: Naming | None) -> Any:
    if not all(isinstance(key, str) for key in value):
        raise TypeError("a dict whose keys are not all strings")
    return ordered({str.__str__(key): plain(item, naming) for key, item in value.items()})


def _set(value: Any, naming: Naming | None) -> Any:
    kind = "set" if isinstance(value, set) else "frozenset"
    return {kind: sorted((plain(item, naming) for item in value), key=_text)}


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def ordered(members: Any) -> dict[str, list[list[Any]]]:
    """Return a dict as JSON that keeps its order, which a body sees."""
    return {"dict": [[name, member] for name, member in members.items()]}


def _bytes(value: Any, _: Naming | None) -> Any:
    if len(value) > LARGEST_BYTES:
        raise TypeError(f"{len(value):,} bytes; write them to a file, and pass it as an asset")
    return {type(value).__name__: bytes(value).hex()}


CONTAINERS: dict[type, Callable[[Any, Naming | None], Any]] = {
    list: _list, tuple: _tuple, dict: _dict, set: _set, frozenset: _set, bytes: _bytes, bytearray: _bytes,
    complex: lambda value, _: {"complex": repr(value)},
    range: lambda value, _: {"range": [value.start, value.stop, value.step]},
}  # fmt: skip
"""How Python's own types are written."""


def _zone(zone: Any) -> Any:
    kind = f"{type(zone).__module__}.{type(zone).__qualname__}"
    if zone is None or kind == "datetime.timezone":
        return None if zone is None else repr(zone)
    if kind == "zoneinfo.ZoneInfo" and zone.key:
        return str(zone.key)
    raise TypeError(f"a time in a zone of {kind}; use zoneinfo.ZoneInfo or datetime.timezone")


def _time(value: Any, _: Naming | None) -> Any:
    told = {type(value).__name__: value.replace(tzinfo=None).isoformat()}
    told |= {"zone": _zone(value.tzinfo)} if value.tzinfo is not None else {}
    return told | ({"fold": 1} if value.fold else {})


def _array(value: Any, naming: Naming | None) -> Any:
    data = _array_bytes(value)
    return {"array": _cid(data, naming), "dtype": value.dtype.str, "shape": list(value.shape)}


def _frame(value: Any, naming: Naming | None) -> Any:
    data = _frame_bytes(value)
    return {type(value).__name__.lower(): _cid(data, naming), "shape": list(value.shape)} | _index_layout(value.index)


def _index_layout(index: Any) -> dict[str, str]:
    """What Arrow does not tell of an index: its steps in time; that it is written out where a range has its values."""
    if getattr(index, "freq", None) is not None:
        return {"frequency": str(index.freqstr)}
    if type(index).__name__ != "Index" or index.dtype.kind != "i" or not len(index):
        return {}
    values = index.tolist()
    step = values[1] - values[0] if len(values) > 1 else 1
    is_range = step != 0 and values == list(range(values[0], values[0] + step * len(values), step))
    return {"index": "written out"} if is_range else {}


EXACT: dict[str, Callable[[Any, Naming | None], Any]] = {
    "decimal.Decimal": lambda value, _: {"decimal": str(value)},
    "fractions.Fraction": lambda value, _: {"fraction": [_simple(value.numerator), _simple(value.denominator)]},
    "uuid.UUID": lambda value, _: {"uuid": str(value)},
    "datetime.date": lambda value, _: {"date": value.isoformat()},
    "datetime.timedelta": lambda value, _: {"timedelta": [value.days, value.seconds, value.microseconds]},
    "datetime.timezone": lambda value, _: {"zone": _zone(value)},
    "zoneinfo.ZoneInfo": lambda value, _: {"zone": _zone(value)},
    "datetime.time": _time,
    "datetime.datetime": _time,
    "re.Pattern": lambda value, naming: {"pattern": plain(value.pattern, naming), "flags": value.flags},
    "numpy.ndarray": _array,
    "pandas.core.frame.DataFrame": _frame,
    "pandas.core.series.Series": _frame,
    "pandas.DataFrame": _frame,
    "pandas.Series": _frame,
}
"""How values of exactly these types are written; named, so that none is imported here."""


def _number(value: Any) -> Any:
    if value.dtype.hasobject:
        raise TypeError(f"a scalar of NumPy of type {value.dtype}")
    return {"scalar": value.dtype.str, "value": repr(value.item()), "bytes": value.tobytes().hex()}


def _of_class(value: Any, naming: Naming) -> Any:
    """Write a value of a class of one's own: its class, with the code of its methods, and its state."""
    if isinstance(value, enum.Enum):
        named = naming.of_class(type(value))
        name = {"enum": f"{named.pop('class')}.{value.name}", "value": plain(value.value, naming)}
        return name | named | _attributes(value, naming)
    if is_dataclass(value) and not isinstance(value, type):
        named = naming.of_class(type(value))
        members = {name: plain(member, naming) for name, member in members_of(value).items()}
        return {"dataclass": named.pop("class"), "fields": members} | named | _attributes(value, naming)
    base = next((base for base in BASES if isinstance(value, base)), None)
    if base is None or getattr(value, "default_factory", None) is not None:
        raise TypeError(f"{type(value).__name__} is no plain value")
    return {"of": plain(BASES[base](value), naming)} | naming.of_class(type(value)) | _attributes(value, naming)


BASES: dict[type, Callable[[Any], Any]] = {
    str: str.__str__, int: int.__index__, float: float.__float__, bytes: lambda value: b"".join([value]),
    complex: complex.__complex__,
    list: lambda value: [*list.__iter__(value)], tuple: lambda value: (*tuple.__iter__(value),),
    dict: lambda value: dict(dict.items(value)), set: lambda value: {*set.__iter__(value)},
    frozenset: lambda value: frozenset(frozenset.__iter__(value)),
}  # fmt: skip
"""What a value of a class that is made of one of Python's own types holds: named tuples, ordered dicts, …"""


def members_of(value: Any) -> dict[str, Any]:
    """Return the fields of a dataclass, as far as they are set."""
    return {field.name: getattr(value, field.name) for field in fields(value) if hasattr(value, field.name)}


def _attributes(value: Any, naming: Naming) -> dict[str, Any]:
    """What a value holds beside its fields: set when it was made, or from outside."""
    known = {field.name for field in fields(value)} if is_dataclass(value) else set()
    hidden = "_" if isinstance(value, enum.Enum) else "__"
    kept = {
        name: plain(member, naming)
        for name, member in sorted(_state(value).items())
        if name not in known and not name.startswith(hidden) and not is_memo(type(value), name)
    }
    return {"attributes": kept} if kept else {}


def _state(value: Any) -> dict[str, Any]:
    slots = {slot for base in type(value).__mro__ for slot in _slots(base) if hasattr(value, slot)}
    return {**getattr(value, "__dict__", {}), **{slot: getattr(value, slot) for slot in slots}}


def is_memo(cls: type, name: str) -> bool:
    """Whether an attribute only holds what the class computes from the others."""
    return any(isinstance(vars(base).get(name), cached_property) for base in cls.__mro__)


def _slots(cls: type) -> tuple[str, ...]:
    slots = vars(cls).get("__slots__", ())
    return (slots,) if isinstance(slots, str) else tuple(slots)


def _cid(data: bytes, naming: Naming | None) -> str:
    return cid_of_bytes(data, naming.profile if naming else KUBO)


def _array_bytes(value: Any) -> bytes:
    from numpy.lib import format as npy

    if value.dtype.hasobject:
        raise TypeError("an array of Python objects; pass a list, or an array of numbers or text")
    _check_size(value.nbytes)
    file = io.BytesIO()
    npy.write_array(file, value, allow_pickle=False)
    return file.getvalue()


def _frame_bytes(value: Any) -> bytes:
    """A frame as a stream of Arrow, and its labels and each Python object in it as JSON: Arrow takes some for equal."""
    try:
        import pyarrow
    except ImportError:
        raise TypeError("a data frame, for which pyarrow must be installed; or write it to a file") from None
    usage = value.memory_usage(index=True, deep=True)
    _check_size(int(usage.sum() if value.ndim == 2 else usage))
    frame = value.to_frame("values") if value.ndim == 1 else value
    file = io.BytesIO()
    try:
        table = pyarrow.Table.from_pandas(frame, preserve_index=True)
    except (pyarrow.ArrowException, ValueError, TypeError) as error:
        raise TypeError(f"a data frame that Arrow cannot hold ({error}); write it to a file") from None
    with pyarrow.ipc.new_stream(file, table.schema) as stream:
        stream.write_table(table)
    labels = [value.name] if value.ndim == 1 else [*value.columns]
    told = [labels, dict(value.attrs), *_objects(frame)]
    return file.getvalue() + _text(plain(python_value(told))).encode()


def _objects(frame: Any) -> Iterator[list[Any]]:
    """Columns of Python objects, and such levels of the index."""
    for place, dtype in enumerate(frame.dtypes):
        if dtype.kind == OBJECT:
            yield [*frame.iloc[:, place]]
    for level in getattr(frame.index, "levels", [frame.index]):
        if level.dtype.kind == OBJECT:
            yield [*level]


def _check_size(size: int) -> None:
    if size > LARGEST_CONTENT:
        raise TypeError(f"{size:,} bytes of data; write them to a file, and pass it as an asset")


def contents_of(value: Any) -> Iterator[bytes]:
    """Yield the bytes of every array and data frame in a value: they are named in keys by their CIDs alone."""
    kind = f"{type(value).__module__}.{type(value).__qualname__}"
    write = EXACT.get(kind)
    if write in (_array, _frame):
        yield _array_bytes(value) if write is _array else _frame_bytes(value)
        return
    for part in _parts(value):
        yield from contents_of(part)


def paths_in(value: Any) -> Iterator[Path]:
    """Yield every path of this machine in a value."""
    if isinstance(value, Path):
        yield value
    for part in _parts(value):
        yield from paths_in(part)


def _parts(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        return value.values()
    if isinstance(value, (list, tuple, set, frozenset)):
        return value
    if is_dataclass(value) and not isinstance(value, type):
        return members_of(value).values()
    return ()


def python_value(value: Any) -> Any:
    """Return NumPy's scalars as Python's own, also in lists, tuples and dicts; anything else as it is."""
    kind = type(value)
    if kind in (list, tuple, set, frozenset):
        return kind(map(python_value, value))
    if kind is dict:
        return {key: python_value(item) for key, item in value.items()}
    if kind.__module__ == "numpy" and getattr(value, "shape", None) == () and value.dtype.kind in NUMBERS:
        item = value.item()
        return item if type(item).__module__ != "numpy" else value
    return value


def is_simple(value: Any) -> bool:
    """Whether a value is made of JSON's own types alone: such a value tells all that it is."""
    kind = type(value)
    if kind in SIMPLE:
        return True
    if kind in (list, tuple):
        return all(map(is_simple, value))
    return kind is dict and all(map(is_simple, value.values()))


def own_copy(value: Any) -> Any:
    """Return a parameter for a body that may change it."""
    if type(value) is Kept:
        return value.open()
    return value if type(value) in SIMPLE else copy.deepcopy(value)


class Kept:
    """A value as it was when the call was made, whatever becomes of the object since.

    It is unpickled only where it is used: schedulers need not have the modules of the user's types.

    Parameters
    ----------
    value
        A copy that nobody else has; None where only its bytes have arrived.
    text
        From `plain`.
    owner
        Module of the task: code of its package is own.
    packed
        The pickled value.
    sent
        Module, qualified name and digest of the code of those own classes in it that are imported where it arrives.
    """

    def __init__(
        self,
        value: Any,
        text: Any,
        owner: str,
        packed: bytes | None = None,
        sent: tuple[tuple[str, str, str], ...] = (),
    ) -> None:
        self._value, self.text, self._owner, self._packed, self._sent = value, text, owner, packed, sent

    def __reduce__(self) -> Any:
        if self._packed is None:
            import cloudpickle

            self._packed = cloudpickle.dumps(self._value)
            self._sent = tuple(sorted(set(_imported(self._value, self._owner))))
        return Kept, (None, self.text, self._owner, self._packed, self._sent)

    def open(self) -> Any:
        """Return a copy of its own for who asks.

        Raises
        ------
        WorkerMismatch
            A class of it is another here than where the call was made.
        """
        if self._value is None and self._packed is not None:
            import pickle

            from stargazer.errors import WorkerMismatch

            try:
                self._value = pickle.loads(self._packed)
            except (ImportError, AttributeError) as error:
                raise WorkerMismatch(
                    f"this worker cannot import the class of a parameter: {error}; install its package on the workers"
                ) from error
            self._check()
        return copy.deepcopy(self._value)

    def _check(self) -> None:
        from stargazer.errors import WorkerMismatch
        from stargazer.fingerprint import digest_of

        for module, name, digest in self._sent:
            if digest_of(module, (name,)) not in (digest, None):
                raise WorkerMismatch(
                    f"{module}.{name} is another version here than where the call was made: give clients and workers "
                    "the same files, and start the workers anew"
                )

    def __repr__(self) -> str:
        return repr(self.open())


def _imported(value: Any, owner: str) -> Iterator[tuple[str, str, str]]:
    """Own classes of a value that do not travel with it."""
    from stargazer.fingerprint import class_code

    cls = type(value)
    if is_dataclass(value) or (isinstance(value, (enum.Enum, *BASES)) and cls not in BASES):
        digest = class_code(cls, owner) if _is_sent_by_name(cls) else ""
        if len(digest) == DIGITS:
            yield cls.__module__, cls.__qualname__, digest
    for part in _parts(value):
        yield from _imported(part, owner)


def _is_sent_by_name(cls: type) -> bool:
    from cloudpickle import list_registry_pickle_by_value

    sent = [f"{module}." for module in ("__main__", *list_registry_pickle_by_value())]
    return "<" not in cls.__qualname__ and not f"{cls.__module__}.".startswith(tuple(sent))
