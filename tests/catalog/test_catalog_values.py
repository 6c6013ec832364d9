"""What the schema lets through the engine takes, and what it refuses the engine refuses."""

from __future__ import annotations

import copy
import json
import os
import re
from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import flows
import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, given, settings
from jsonschema import Draft202012Validator

import stargazer as sg
from stargazer import catalog
from stargazer.catalog.annotations import kind_of
from stargazer.catalog.catalog import bind_entry
from stargazer.catalog.composite import Either, Fields, Items, Members, given_paths
from stargazer.catalog.entries import Entry, entry_of
from stargazer.catalog.given import AssetKind, AssetList
from stargazer.catalog.kinds import Anything, Choice, Kind, Nothing, Scalar, Text
from stargazer.errors import ArgumentError

Shelf = tuple[sg.Store, dict[str, list[sg.Asset]]]

OWN = [flows.count, flows.one, flows.many, flows.pair]
ENTRIES = {entry.name: entry for entry in [*catalog.list(), *(entry_of(each, group="flows") for each in OWN)]}
FEW, SHORT, LONG = 5, 50, 500
MANY = SHORT if os.environ.get("STARGAZER_SHORT") else LONG
NUMBERS = {bool: st.booleans(), int: st.integers(-(2**60), 2**60) | st.integers(-9, 9).map(float)}
TEXTS = {"date": "2026-11-29", "Decimal": "1.50", "Path": "a/b"}
WRONG = [None, True, 7, -2.5, "", [], {}, [[]], {"no_such_name": 1}, [None], {"id": ""}, "a b"]
ABSENT = re.compile(
    r"no asset type has|has no |nothing in |is no |neither a CID|but wants|assets; give one|is not one of|text of"
)


def values(kind: Kind, assets: dict[str, list[sg.Asset]]) -> st.SearchStrategy[Any]:
    """JSON values of a kind."""
    if isinstance(kind, Scalar):
        if kind.type is float:
            return st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**60), 2**60)
        return st.text(max_size=5) if kind.type is str else NUMBERS[kind.type]
    if isinstance(kind, Nothing):
        return st.none()
    if isinstance(kind, Choice):
        return st.sampled_from([written for written, _ in kind.choices])
    if isinstance(kind, Text):
        return st.just(TEXTS.get(str(kind), "a/b"))
    if isinstance(kind, Members):
        return st.dictionaries(st.text(max_size=3), values(kind.value, assets), max_size=2)
    if isinstance(kind, Fields):
        parts = {name: within(values(each.kind, assets), each.bounds) for name, each in kind.fields.items()}
        needed = {name: part for name, part in parts.items() if kind.fields[name].required}
        return st.fixed_dictionaries(needed, optional={name: parts[name] for name in parts.keys() - needed.keys()})
    if isinstance(kind, AssetKind):
        return st.sampled_from(names_of(assets[kind.type.asset_key][0]))
    if isinstance(kind, AssetList):
        return values(kind.items, assets) | st.just({"asset": assets[kind.each.type.asset_key][0].asset_key})
    if isinstance(kind, Items):
        if kind.fixed:
            return st.tuples(*(values(each, assets) for each in kind.items)).map(list)
        unique = json.dumps if kind.made is set else None
        return st.lists(values(kind.items[0], assets), max_size=2, unique_by=unique)
    if isinstance(kind, Either):
        return st.one_of([values(each, assets) for each in kind.kinds])
    assert isinstance(kind, Anything), kind
    return st.none()


def within(drawn: st.SearchStrategy[Any], bounds: Mapping[str, Any]) -> st.SearchStrategy[Any]:
    """Those numbers alone that a field may be."""
    least = bounds.get("minimum")
    return drawn if least is None else drawn.filter(lambda value: value is None or value >= least)


def names_of(asset: sg.Asset) -> list[Any]:
    """Everything that an asset may be given by."""
    facts = {"asset": asset.asset_key, "cid": asset.cid}
    known = {"id": asset.id, "cid": asset.cid, "type": asset.asset_key, "name": asset.name, "facts": {}}
    return [
        asset.cid,
        asset.id,
        asset.id[:20],
        f"stargazer://asset/{asset.cid}",
        facts,
        {**facts, "cid": [asset.cid]},
        known,
    ]


def inputs(entry: Entry, assets: dict[str, list[sg.Asset]]) -> st.SearchStrategy[dict[str, Any]]:
    parts = {param.name: values(param.kind, assets) for param in entry.params}
    needed = {param.name: parts[param.name] for param in entry.params if param.required}
    optional = {name: parts[name] for name in parts.keys() - needed.keys()}
    return st.fixed_dictionaries(needed, optional=optional)


def mutated(value: Any, draw: Any) -> Any:
    """A value with one place in it changed, taken away or added."""
    value = copy.deepcopy(value)
    holder, places = value, list(value)
    while True:
        place = draw(st.sampled_from(places)) if places else None
        inner = holder[place] if place is not None else None
        if isinstance(inner, (dict, list)) and inner and draw(st.booleans()):
            holder, places = inner, list(inner) if isinstance(inner, dict) else list(range(len(inner)))
            continue
        what = draw(st.sampled_from(["change", "change", "remove", "add"]))
        if what == "add" or place is None:
            holder.append(None) if isinstance(holder, list) else holder.update(no_such_name=1)
        elif what == "remove":
            del holder[place]
        else:
            holder[place] = draw(st.sampled_from(WRONG))
        return value


@pytest.mark.parametrize("name", ENTRIES)
@pytest.mark.parametrize("many", [FEW, pytest.param(MANY, marks=pytest.mark.slow, id="many")])
def test_schema_and_engine_agree(name: str, many: int, shelf: Shelf) -> None:
    store, assets = shelf
    entry = ENTRIES[name]
    schema = entry.schema()
    Draft202012Validator.check_schema(schema)
    validator = Draft202012Validator(json.loads(json.dumps(schema)))

    @settings(max_examples=many, deadline=None, database=None, derandomize=True,
              suppress_health_check=list(HealthCheck))  # fmt: skip
    @given(inputs(entry, assets), st.data())
    def check(value: dict[str, Any], data: st.DataObject) -> None:
        assert not list(validator.iter_errors(value))
        bind_entry(entry, json.loads(json.dumps(value)), store=store)
        wrong = mutated(value, data.draw)
        if validator.is_valid(wrong):
            try:
                bind_entry(entry, wrong, store=store)
            except ArgumentError as error:
                assert ABSENT.search(str(error)), (wrong, error)
        else:
            with pytest.raises(ArgumentError):
                bind_entry(entry, wrong, store=store)

    check()


def test_values_become_what_python_takes(shelf: Shelf) -> None:
    store, assets = shelf
    reads, mask = assets["r1"][0], assets["intervals"][0]
    values = {
        "reads": {"sample_id": "s1"}, "masks": [mask.id], "named": {"a": mask.cid}, "k": 4.0, "share": 1,
        "strand": "REVERSE", "trimming": {"ends": [1, 2]}, "levels": [3, 1], "since": "2026-11-29", "price": "1.50",
    }  # fmt: skip
    bound = bind_entry(entry_of(flows.count), values, store=store)
    assert bound.arguments == {
        "reads": reads, "masks": [mask], "named": {"a": mask}, "k": 4, "share": 1.0, "strand": flows.Strand.REVERSE,
        "trimming": flows.Trimming(ends=(1, 2)), "levels": {1, 3}, "since": date(2026, 11, 29),
        "price": Decimal("1.50"),
    }  # fmt: skip
    call = bound.wire()
    assert call.name == "count"
    assert call.store == store


def test_all_mistakes_are_told_at_once(shelf: Shelf) -> None:
    store, _ = shelf
    with pytest.raises(ArgumentError) as told:
        catalog.bind("call_sheet", {"sheet": 3, "options": {"filter": "soft", "no": 1}, "bild": "b"}, store=store)
    for part in ("bild", "Did you mean build?", "build missing", "sheet: 3 is no str", "options"):
        assert part in str(told.value)


def test_what_several_assets_fit_is_not_chosen_from(shelf: Shelf) -> None:
    store, assets = shelf
    with pytest.raises(ArgumentError, match="fits 2 assets; give one by its id") as told:
        catalog.bind("samtools_stats", {"alignment": {"asset": "alignment"}}, store=store)
    assert all(asset.id[:12] in str(told.value) for asset in assets["alignment"])
    with pytest.raises(ArgumentError, match="is no Alignment"):
        catalog.bind("samtools_stats", {"alignment": assets["r1"][0].cid}, store=store)


def test_text_is_a_sample_and_a_uri_an_asset(shelf: Shelf) -> None:
    store, assets = shelf
    entry, reads = entry_of(flows.many), assets["r1"][0]
    for given_, meant in ((reads.cid, reads.cid), (f"stargazer://asset/{reads.cid}", reads)):
        assert bind_entry(entry, {"samples": [], "sample": given_}, store=store).arguments["sample"] == meant


class Reading(NamedTuple):
    name: str
    path: Path | None = None


@pytest.mark.parametrize(
    ("hint", "value", "paths"),
    [
        (Path, "a", ["a"]),
        (Path | None, None, []),
        (str | Path, "a", ["a"]),
        (str, "a", []),
        (list[list[Path]], [["a"], ["b", "c"]], ["a", "b", "c"]),
        (tuple[str, Path], ["a", "b"], ["b"]),
        (dict[str, Path], {"x": "a"}, ["a"]),
        (list[Reading], [{"name": "n", "path": "a"}, {"name": "n"}], ["a"]),
        (dict[str, list[Reading]], {"x": [{"path": "a", "other": "b"}]}, ["a"]),
        (Path, {"x": "a"}, []),
    ],
)
def test_paths_are_found_wherever_they_stand_in_what_is_given(hint: Any, value: Any, paths: list[str]) -> None:
    assert list(given_paths(kind_of(hint), value)) == paths


def test_what_numbers_may_be_at_least_stands_in_the_schema(shelf: Shelf) -> None:
    entry = ENTRIES["call_cohort"]
    schema = entry.schema()
    options = schema["$defs"]["GatkOptions"]["properties"]
    assert [options[name]["minimum"] for name in ("padding", "shards", "ploidy", "max_gaussians")] == [0, 1, 1, 1]
    validator = Draft202012Validator({"$defs": schema["$defs"], "$ref": "#/$defs/GatkOptions"})
    assert validator.is_valid({"shards": None, "padding": 0})
    assert not validator.is_valid({"shards": 0})
