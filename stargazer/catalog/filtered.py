"""Arguments by filters: each asset of a task is the one of its type that fits what was asked of all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stargazer.assets.fields import did_you_mean
from stargazer.catalog.catalog import Bound, bind_entry
from stargazer.catalog.composite import Either
from stargazer.catalog.given import AssetKind, AssetList, Finder
from stargazer.catalog.kinds import Kind, Nothing, Unfit, shown
from stargazer.errors import ArgumentError, StargazerError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stargazer.assets import Asset
    from stargazer.catalog.entries import Entry, Param
    from stargazer.store import Store

__all__ = ["bind_filtered"]

GENERAL = ("name", "cid")
"""What every asset may be asked for."""


def bind_filtered(entry: Entry, filters: Mapping[str, Any], values: Mapping[str, Any], *, store: Store) -> Bound:
    """Fit arguments to a task, its assets found by filters where they are not given.

    Parameters
    ----------
    entry
        The task or workflow.
    filters
        Facts by name, values or lists of alternatives; each asset parameter is asked for those that its type knows.
        A ``list[X]`` takes all that fit; one that may be left out is, where nothing fits and others heed the filter.
    values
        Arguments by name, as for `stargazer.catalog.bind`.
    store
        Where assets are found.

    Raises
    ------
    ArgumentError
        Filters that no type knows, nothing or several for one parameter, values that do not fit; all of them.
    """
    open_params = [param for param in entry.params if param.name not in values and _asset_kinds(param.kind)]
    problems = _unknown(filters, entry) if filters else []
    found: dict[str, Any] = {}
    for param in open_params if filters else []:
        try:
            assets = _found(param, filters, Finder(store))
        except (Unfit, StargazerError) as error:
            problems.append(_placed(param.name, str(error)))
            continue
        if assets is not None:
            found[param.name] = assets
    if not problems:
        problems += _without_effect(filters, entry, [param for param in open_params if param.name not in found])
    try:
        if not problems:
            return bind_entry(entry, {**values, **found}, store=store)
        # What is missing was told above; the rest of what is wrong is told with it.
        told = {param.name: None for param in open_params}
        bind_entry(_without(entry, told), dict(values), store=store)
    except ArgumentError as error:
        problems.append(str(error))
    raise ArgumentError("; ".join(problems))


def _placed(name: str, told: str) -> str:
    return told if told.startswith(f"{name}: ") else f"{name}: {told}"


def _without(entry: Entry, names: Mapping[str, Any]) -> Entry:
    from dataclasses import replace

    return replace(entry, params=tuple(param for param in entry.params if param.name not in names), function=None)


def _asset_kinds(kind: Kind) -> list[AssetKind]:
    """The kinds of assets that a parameter takes, alone or in a list."""
    kinds = kind.kinds if isinstance(kind, Either) else [kind]
    bare = [each.each if isinstance(each, AssetList) else each for each in kinds]
    return [each for each in bare if isinstance(each, AssetKind)]


def _is_list(kind: Kind) -> bool:
    return any(isinstance(each, AssetList) for each in (kind.kinds if isinstance(kind, Either) else [kind]))


def _may_be_none(param: Param) -> bool:
    kinds = param.kind.kinds if isinstance(param.kind, Either) else [param.kind]
    return not param.required or any(isinstance(each, Nothing) for each in kinds)


def _is_left_out(param: Param, kind: AssetKind) -> bool:
    """Whether filters say nothing of it: of any type, nearly everything would fit."""
    return kind.type.asset_key == "asset" and _may_be_none(param)


def _knows(kind: AssetKind, name: str) -> bool:
    return name in GENERAL or kind.type.asset_key == "asset" or name in kind.type().declared


def _unknown(filters: Mapping[str, Any], entry: Entry) -> list[str]:
    """Filters that no type of the entry's assets knows."""
    kinds = [kind for param in entry.params for kind in _asset_kinds(param.kind) if not _is_left_out(param, kind)]
    known = sorted({name for kind in kinds for name in kind.type().declared} | {"asset", *GENERAL})
    if not kinds:
        return [f"{entry.name} takes no assets, so there is nothing to filter: give its inputs"]
    wrong = [name for name in filters if name != "asset" and not any(_knows(kind, name) for kind in kinds)]
    return [f"no asset of {entry.name} has a fact {name!r}.{did_you_mean(name, known)} Known: {', '.join(known)}"
            for name in wrong]  # fmt: skip


def _without_effect(filters: Mapping[str, Any], entry: Entry, left_out: list[Param]) -> list[str]:
    """Filters that nothing fits, where all that know them may be left out: who filters wants them not to be."""
    problems = []
    for name, value in filters.items():
        kinds = {param.name: kind for param in entry.params for kind in _asset_kinds(param.kind)[:1]}
        params = [each for each, kind in kinds.items() if _knows(kind, name)]
        if name != "asset" and params and {*params} <= {param.name for param in left_out}:
            told = f"nothing fits {shown({name: value})}, and {', '.join(params)} would be left out"
            problems.append(f"{told}; leave {name} out of the filters where that is meant")
    return problems


def _found(param: Param, filters: Mapping[str, Any], finder: Finder) -> Any:
    """The asset, or assets, of a parameter; None where it is left out."""
    kind = _asset_kinds(param.kind)[0]
    asked = {name: value for name, value in filters.items() if name != "asset" and _knows(kind, name)}
    wanted = _wanted_types(filters, kind)
    if _is_left_out(param, kind) or (not asked and _may_be_none(param)):
        return None
    assets = _asked(finder.store, kind, asked, wanted, needed=not _may_be_none(param))
    if not assets and _may_be_none(param):
        return None
    if not assets:
        told = shown({"asset": kind.type.asset_key, **asked})
        raise Unfit(f"{param.name}: nothing in {finder.store.url} fits {told}")
    if _is_list(param.kind):
        return assets
    if len(assets) > 1:
        lines = "".join(f"\n  {asset.id[:12]}  {asset!r}" for asset in assets[:5])
        more = f"\n  and {len(assets) - 5} more" if len(assets) > 5 else ""
        raise Unfit(
            f"{param.name}: {len(assets)} assets fit {shown(asked)}; give one in inputs by its id:{lines}{more}"
        )
    return assets[0]


def _wanted_types(filters: Mapping[str, Any], kind: AssetKind) -> list[str]:
    """Asset keys that are asked for, of those that the kind takes."""
    asked = filters.get("asset")
    keys = asked if isinstance(asked, (list, tuple)) else [asked] if asked is not None else None
    if kind.type.asset_key == "asset":
        return [str(key) for key in keys or ()]
    return [key for key in kind.keys if keys is None or key in keys]


def _asked(store: Store, kind: AssetKind, asked: dict[str, Any], wanted: list[str], *, needed: bool) -> list[Asset]:
    if kind.type.asset_key != "asset":
        if not wanted:
            return []
        asked = {"asset": wanted if len(wanted) > 1 else wanted[0], **asked}
    elif wanted:
        asked = {"asset": wanted, **asked}
    answer = store.answer(asked, each_type=False)  # any type that the parameter takes will do
    found = [asset for asset in answer.assets if isinstance(asset, kind.type)]
    if answer.missed and (needed or found):
        raise Unfit(answer.missed)
    return found
