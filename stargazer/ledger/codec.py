"""What a task may return, as JSON and back: assets, tuples, lists and dicts of them, or a small plain value."""

from __future__ import annotations

import json
import math
from collections import namedtuple
from typing import TYPE_CHECKING, Any

from stargazer.assets import Asset
from stargazer.errors import OutputError
from stargazer.ledger.parameters import LONGEST_INTEGER, python_value

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["check_plain", "cids_in", "decode", "encode", "ids_of", "map_assets", "walk_assets"]

LARGEST = 1 << 20
"""Characters of plain values in one result."""


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
