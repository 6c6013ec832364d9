"""What people type, read as the arguments of a task or workflow, as facts and as filters."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from stargazer.catalog.composite import Either, Fields, Members
from stargazer.errors import ArgumentError, AssetError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from stargazer.assets import Asset
    from stargazer.catalog.entries import Entry
    from stargazer.catalog.given import AssetKind
    from stargazer.catalog.kinds import Kind
    from stargazer.store import Store
    from stargazer.store.query import Answer

__all__ = [
    "answered",
    "draft",
    "drafts_beside",
    "parsed",
    "read_arguments",
    "read_filters",
    "split_pair",
    "stored",
]


def read_arguments(
    function: Callable[..., Any], pairs: Iterable[str], store: Store, *, adding: bool = False
) -> dict[str, Any]:
    """Return the arguments of a workflow or task.

    Parameters
    ----------
    function
        What is called.
    pairs
        ``name=value``, as the user wrote them; a list is written with commas, or its name repeated. Of a parameter that
        is a dataclass each field is given by itself: ``options.filter=hard``.
    store
        In which assets are found that are named.
    adding
        Add files that stand where assets are wanted, with the types that are wanted.

    Raises
    ------
    ArgumentError
        What does not fit, all of it.
    """
    from stargazer.catalog.catalog import bind_entry
    from stargazer.catalog.entries import entry_of

    entry = entry_of(function)
    given = _with_files_added(entry, pairs, store) if adding else pairs
    return bind_entry(entry, parsed(entry, given), store=store).arguments


def _with_files_added(entry: Entry, pairs: Iterable[str], store: Store) -> list[str]:
    """Arguments with the ids of what was added in the place of files."""
    kinds = {param.name: param.kind for param in entry.params}
    found = []
    for pair in pairs:
        name, text = split_pair(pair, "an argument")
        kind = _asset_kind(_kind_at(kinds, name.split(".")))
        found.append(f"{name}={_added(text, kind.type, store)}" if kind is not None else pair)
    return found


def _asset_kind(kind: Kind | None) -> AssetKind | None:
    """The kind of asset that a parameter takes, alone or in a list."""
    from stargazer.catalog.given import AssetKind, AssetList

    kinds = kind.kinds if isinstance(kind, Either) else [kind]
    found = [each.each if isinstance(each, AssetList) else each for each in kinds]
    return next((each for each in found if isinstance(each, AssetKind)), None)


def _added(text: str, kind: type[Asset], store: Store) -> str:
    from stargazer.store.references import is_reference

    items = [text] if os.path.exists(text) else text.split(",")
    files = [item for item in items if os.path.exists(item) and not is_reference(item)]
    added = {file: store.add(file, kind()).id for file in files}
    return ",".join(added.get(item, item) for item in items)


def parsed(entry: Entry, pairs: Iterable[str]) -> dict[str, Any]:
    """Return what was typed as JSON values, for `stargazer.catalog.bind`.

    Raises
    ------
    ArgumentError
        Names that there are not, and texts that do not read as what is wanted; all of them.
    """
    from stargazer.catalog.catalog import usage

    given: dict[str, list[str]] = {}
    for pair in pairs:
        name, text = split_pair(pair, "an argument")
        given.setdefault(name, []).append(text)
    kinds = {param.name: param.kind for param in entry.params}
    values, problems = dict[str, Any](), list[str]()
    for name, texts in given.items():
        kind = _kind_at(kinds, name.split("."))
        if kind is None:
            problems.append(f"no parameter {name}{_near(kinds, name)}")
            continue
        try:
            _put(values, name.split("."), kind.parse(texts))
        except ValueError as error:
            problems.append(f"{name}={','.join(texts)}: {error}")
    if problems:
        raise ArgumentError(f"{'; '.join(problems)}; {usage(entry)}")
    return values


def _kind_at(kinds: dict[str, Kind], path: list[str]) -> Kind | None:
    """The kind of a parameter, or of a field in it."""
    kind = kinds.get(path[0])
    for name in path[1:]:
        fields = _fields(kind)
        kind = fields.value if isinstance(fields, Members) else fields.fields[name].kind if fields and name in \
            fields.fields else None  # fmt: skip
    return kind


def _fields(kind: Kind | None) -> Fields | Members | None:
    """The dataclass or dict that a kind is, or has among its alternatives."""
    kinds = kind.kinds if isinstance(kind, Either) else [kind]
    return next((each for each in kinds if isinstance(each, (Fields, Members))), None)


def _near(kinds: dict[str, Kind], name: str) -> str:
    from stargazer.assets.fields import did_you_mean

    whole, _, rest = name.partition(".")
    fields = _fields(kinds.get(whole)) if rest else None
    known = [f"{whole}.{each}" for each in fields.fields] if isinstance(fields, Fields) else list(kinds)
    told = f", of {whole} there are {', '.join(known)}" if isinstance(fields, Fields) else ""
    return f"{told}.{guess}" if (guess := did_you_mean(name, known)) else told


def _put(values: dict[str, Any], path: list[str], value: Any) -> None:
    for name in path[:-1]:
        values = values.setdefault(name, {})
        if not isinstance(values, dict):
            raise ValueError(f"{name} is given as a whole, too")
    if path[-1] in values:
        raise ValueError("is given as a whole, too")
    values[path[-1]] = value


def stored(store: Store, names: Iterable[str]) -> list[Asset]:
    """Assets by CID or id, their first digits, or URI, with the companions that belong beside them.

    Raises
    ------
    NotAReference
        A text names no asset.
    NotFound
        The store does not have one of them.
    """
    return [_named(store, name) for name in names]


def _named(store: Store, name: str) -> Asset:
    from stargazer.store.references import find_assets

    return find_assets(store, name)[0]


# Facts, filters and companions as they are written on the command line.


def split_pair(text: str, what: str = "a fact") -> tuple[str, str]:
    """``name=value`` as two strings."""
    name, equals, value = text.partition("=")
    if not equals or not all(part.isidentifier() for part in name.split(".")):
        raise ArgumentError(f"{text!r}: {what} is written name=value")
    return name, value


def draft(kind: str, facts: Iterable[str], **base: Any) -> Asset:
    """An asset of a type with facts read from text."""
    from stargazer.assets import Asset, asset_types, no_type

    if kind not in asset_types():
        raise ArgumentError(str(no_type(kind)))
    texts = dict(split_pair(fact) for fact in facts)
    if reserved := texts.keys() & {"asset", "name", "cid", "path"}:
        raise ArgumentError(f"{', '.join(reserved)} cannot be a fact; use --as and --name")
    try:
        return Asset.from_keyvalues({"asset": kind, **texts}, **base)
    except AssetError as error:
        raise ArgumentError(str(error)) from None


def drafts_beside(companions: Iterable[str]) -> list[Asset]:
    """Companions, each ``type=path`` or a path alone."""
    found = []
    for text in companions:
        kind, equals, path = text.partition("=")
        if not os.path.exists(path if equals and kind.isidentifier() else text):
            raise ArgumentError(f"{text!r}: a companion is a file, or TYPE=FILE, but there is no such file")
        found.append(draft(kind, [], path=path) if equals and kind.isidentifier() else draft("asset", [], path=text))
    return found


def read_filters(filters: Iterable[str]) -> dict[str, Any]:
    """Filters for `assemble`; a name that is repeated has several values."""
    wanted: dict[str, list[str]] = {}
    for text in filters:
        name, value = split_pair(text, "a filter")
        wanted.setdefault(name, []).append(value)
    return wanted


def answered(store: Store, filters: Iterable[str]) -> Answer:
    """Answer of a store to filters as they are written; those that nothing could fit are wrong usage."""
    try:
        return store.answer(read_filters(filters))
    except AssetError as error:
        raise ArgumentError(str(error)) from None
