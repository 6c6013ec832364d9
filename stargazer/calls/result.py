"""Whether what a body returned is what its task declares."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stargazer.errors import OutputError

if TYPE_CHECKING:
    from stargazer.assets import Asset
    from stargazer.calls.signature import Signature

__all__ = ["checked_result"]


def checked_result(task: str, signature: Signature, made: Any) -> Any:
    """Return the result of a body, of the declared shape and types.

    Parameters
    ----------
    task
        Its name, for messages.
    signature
        What it declares; without an annotation, anything passes.
    made
        What the body returned: a tuple becomes the declared ``NamedTuple``, a NumPy scalar a number.

    Raises
    ------
    OutputError
        It is something else.
    """
    returns = signature.returns
    if returns.shape == "unknown":
        return made
    if returns.plain:
        return _plain(task, signature, made)
    if returns.shape == "one":
        return _asset(task, "its result", returns.types[0], made)
    if returns.shape == "dict":
        _must_be(task, made, dict, "a dict")
        return {name: _asset(task, f"[{name!r}]", returns.types[0], each) for name, each in made.items()}
    _must_be(task, made, (list, tuple), f"a {returns.shape}")
    if returns.length is not None and len(made) != returns.length:
        raise OutputError(f"{task} is declared to return {returns.length} results, but returned {len(made)}")
    types = returns.types if returns.length is not None else returns.types * len(made)
    items = [_asset(task, f"[{place}]", kind, each) for place, (kind, each) in enumerate(zip(types, made, strict=True))]
    if returns.named is not None:
        return returns.named(*items)
    return items if isinstance(made, list) and returns.shape == "list" else tuple(items)


def _plain(task: str, signature: Signature, made: Any) -> Any:
    returns = signature.returns
    try:
        checked = signature.check(made) if returns.named is None else made
    except TypeError as error:
        raise OutputError(f"{task} returned {made!r}, but is declared to return something else: {error}") from None
    if returns.named is not None and not isinstance(made, returns.named):
        _must_be(task, made, tuple, f"a {returns.named.__name__}")
        return returns.named(*made)
    return checked


def _asset(task: str, place: str, kind: type[Asset] | None, made: Any) -> Any:
    if kind is None or isinstance(made, kind) or (made is None and place != "its result"):
        return made
    hint = "; is a return missing?" if made is None else ""
    raise OutputError(f"{task}: {place} is declared to be {kind.__name__}, but is {made!r}{hint}")


def _must_be(task: str, made: Any, kind: Any, wanted: str) -> None:
    if not isinstance(made, kind):
        hint = "; is a return missing?" if made is None else ""
        raise OutputError(f"{task} is declared to return {wanted}, but returned {type(made).__name__}{hint}")
