"""Where two results of one call differ."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["differences"]

_WRAPPERS = ("tuple", "list", "dict", "value")


def differences(then: Any, now: Any, place: str = "result") -> Iterator[tuple[str, str, str]]:
    """Yield where two results differ, as records write them: the place, and both in words.

    An asset is told as a whole, by its CID or by what else of it differs.
    """
    if then == now:
        return
    if isinstance(then, dict) and isinstance(now, dict) and "asset" in then and "asset" in now:
        yield place, *_asset_texts(then["asset"], now["asset"])
    elif isinstance(then, dict) and isinstance(now, dict) and then.keys() == now.keys():
        for name in then:
            yield from differences(then[name], now[name], place if name in _WRAPPERS else f"{place}.{name}")
    elif isinstance(then, list) and isinstance(now, list) and len(then) == len(now):
        for number, (one, other) in enumerate(zip(then, now, strict=True)):
            yield from differences(one, other, f"{place}[{number}]")
    else:
        yield place, _short(then), _short(now)


def _asset_texts(then: dict[str, Any], now: dict[str, Any]) -> tuple[str, str]:
    if then.get("cid") != now.get("cid"):
        return str(then.get("cid")), str(now.get("cid"))
    changed = [name for name in {**then, **now} if then.get(name) != now.get(name)]
    return tuple(_short({name: each.get(name) for name in changed}) for each in (then, now))  # type: ignore[return-value]


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 120 else f"{text[:117]}…"
