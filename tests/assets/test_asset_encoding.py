"""Assets as JSON and as flat strings: every type comes back as it was."""

import json
from dataclasses import field, replace
from enum import Enum
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stargazer.assets import R1, Alignment, Asset, KnownSites, Reference, Variants, asset_type, asset_types, parse_fact
from stargazer.assets.fact_types import FrozenDict
from stargazer.errors import AssetError, InvalidField, UnknownField

FASTA = "bafkreib6vj3os7l4lqqytaw5vju46iorcknttfiwfnlbizjcqn7xd5hrvy"
READS = "bafybeia3lsmhibzqk3uo5phryz4wurlj26pn74klczwbmnxq3pf5q3iyy4"


class Strand(Enum):
    FORWARD = "+"
    REVERSE = "-"


class Depth(Enum):
    LOW = 4
    HIGH = 30


class EncodingProbe(Asset):
    """Every kind of fact that there is."""

    note: str | None = None
    count: int | None = None
    ratio: float | int = 0
    either: int | str = ""
    strand: Strand = Strand.FORWARD
    depth: Depth | None = None
    mode: Literal["snp", "indel"] = "snp"
    shape: tuple[int, float] = (0, 0.0)
    tags: list[str] = field(default_factory=list)
    counts: dict[str, int | None] = field(default_factory=dict)
    nested: tuple[tuple[bool, ...], ...] = ()
    other_cid: str | None = None
    anything: Any = None


CIDS = st.sampled_from(["", FASTA, READS])
TEXT = st.text(max_size=8) | st.sampled_from(["", "true", "null", "12", 'json:"x"', "json:", "[1]", "007", "1e5"])
FLOATS = st.floats(allow_nan=False, allow_infinity=False)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | FLOATS | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)
NAMES = st.text(max_size=8).filter(lambda name: "/" not in name and "\0" not in name and name not in (".", ".."))
KINDS = {
    str: TEXT,
    int: st.integers(),
    float: FLOATS | st.integers(-9, 9),
    bool: st.booleans(),
    tuple: st.lists(TEXT),
    FrozenDict: st.dictionaries(TEXT, TEXT, max_size=3),
}
PROBES = {
    "note": st.none() | TEXT,
    "count": st.none() | st.integers(),
    "ratio": FLOATS | st.integers(-9, 9),
    "either": st.integers() | TEXT,
    "strand": st.sampled_from(Strand),
    "depth": st.none() | st.sampled_from(Depth),
    "mode": st.sampled_from(["snp", "indel"]),
    "shape": st.tuples(st.integers(), FLOATS),
    "tags": st.lists(TEXT),
    "counts": st.dictionaries(TEXT, st.none() | st.integers()),
    "nested": st.lists(st.lists(st.booleans())),
    "other_cid": st.none() | CIDS,
    "anything": JSON,
}
FREE = st.dictionaries(TEXT.filter(lambda n: n[:1] != "_" and n not in Asset.__dataclass_fields__), JSON, max_size=3)


def facts_of(cls: type[Asset]) -> st.SearchStrategy[dict[str, Any]]:
    if cls is Asset:
        return FREE.map(lambda facts: {"facts": {k: v for k, v in facts.items() if k != "asset"}})
    if cls is EncodingProbe:
        return st.fixed_dictionaries({}, optional=PROBES)
    kinds = {name: CIDS if name.endswith("_cid") else KINDS[type(value)] for name, value in cls().declared.items()}
    return st.fixed_dictionaries({}, optional=kinds)


@st.composite
def assets(draw: st.DrawFn, depth: int = 1) -> Asset:
    cls: type[Asset] = draw(st.sampled_from(TYPES))
    companions = draw(st.lists(assets(depth=depth - 1), max_size=2)) if depth else []
    cid, name = draw(st.sampled_from([None, FASTA, READS])), draw(NAMES)
    path = draw(st.none() | st.just(Path("work/a.b")))
    return cls(path=path, cid=cid, name=name, companions=companions, **draw(facts_of(cls)))


TYPES = [
    Asset,
    EncodingProbe,
    *(cls for cls in asset_types().values() if cls.__module__.startswith("stargazer.")),
]


def test_the_types_under_test_are_all_there() -> None:
    assert len(TYPES) >= 2 + 18


@given(assets())
def test_json_round_trip(asset: Asset) -> None:
    back = Asset.from_dict(json.loads(json.dumps(asset.to_dict())))
    assert type(back) is type(asset)
    assert back == asset
    assert back.to_dict() == asset.to_dict()


@given(assets())
def test_keyvalues_round_trip(asset: Asset) -> None:
    flat = asset.to_keyvalues()
    assert all(isinstance(key, str) and isinstance(value, str) for key, value in flat.items())
    back = Asset.from_keyvalues(flat, cid=asset.cid, path=asset.path, companions=asset.companions)
    assert type(back) is type(asset)
    assert back == asset
    assert back.to_dict() == asset.to_dict()


@given(assets())
def test_facts_can_be_read_one_by_one(asset: Asset) -> None:
    flat = asset.to_keyvalues()
    for name, value in asset.declared.items():
        if name in flat:  # facts that a later version added are written where they say something
            assert parse_fact(type(asset), name, flat[name]) == value
        else:
            assert name in type(asset).later
        if not isinstance(value, str):
            assert parse_fact(asset.asset_key, name, value) == value


@given(assets())
def test_ids_follow_equality(asset: Asset) -> None:
    stored = replace(asset, cid=READS, companions=())
    again = Asset.from_dict(json.loads(json.dumps(stored.to_dict())))
    assert again.id == stored.id
    assert hash(again) == hash(stored)


MEMBERS = dict.fromkeys(["cid", "name", "path", "facts", "companions", "format"], JSON)


@given(JSON | st.fixed_dictionaries({"asset": st.sampled_from([*asset_types(), "", "x"]) | JSON}, optional=MEMBERS))
def test_a_malformed_dict_is_an_asset_error_and_nothing_else(members: Any) -> None:
    try:
        assert isinstance(Asset.from_dict(members), Asset)
    except AssetError as error:
        assert str(error)


@given(st.sampled_from(sorted(asset_types())), st.data())
def test_malformed_strings_are_an_asset_error_and_nothing_else(key: str, data: st.DataObject) -> None:
    names = st.sampled_from([*asset_type(key)().declared, "name", "other"])
    flat = data.draw(st.dictionaries(names, TEXT, max_size=4))
    try:
        assert isinstance(Asset.from_keyvalues({"asset": key, **flat}), Asset)
    except AssetError as error:
        assert str(error)


@pytest.mark.parametrize(
    ("cls", "field", "text", "value"),
    [
        (Alignment, "duplicates_marked", "true", True),
        (Alignment, "duplicates_marked", "False", False),
        (Alignment, "sample_id", "true", "true"),
        (Variants, "sample_count", "3", 3),
        (Variants, "source_samples", '["s1","s2"]', ("s1", "s2")),
        (KnownSites, "prior", "10", 10.0),
        (KnownSites, "prior", "1e1", 10.0),
        (Reference, "name", "a.fa", "a.fa"),
        (Reference, "cid", FASTA, FASTA),
    ],
)
def test_text_becomes_the_true_type(cls: type[Asset], field: str, text: str, value: object) -> None:
    for kind in (cls, cls.asset_key):
        parsed = parse_fact(kind, field, text)
        assert (parsed, type(parsed)) == (value, type(value))
    assert parse_fact(cls, field, value) == value


@pytest.mark.parametrize(
    ("cls", "field", "text"),
    [
        (Alignment, "duplicates_marked", "maybe"),
        (Alignment, "duplicates_marked", ""),
        (Alignment, "duplicates_marked", 1),
        (Alignment, "reference_cid", "bafy"),
        (Variants, "sample_count", "3.0"),
        (Variants, "sample_count", " 3"),
        (Variants, "sample_count", "1_000"),
        (Variants, "source_samples", "s1,s2"),
        (Variants, "source_samples", "[1]"),
        (KnownSites, "prior", "high"),
        (KnownSites, "prior", "nan"),
        (KnownSites, "prior", "1_0"),
        (Reference, "name", "../../etc/passwd"),
    ],
)
def test_text_that_is_no_such_value_is_refused(cls: type[Asset], field: str, text: str) -> None:
    with pytest.raises(InvalidField, match=rf"{cls.__name__}\.{field}"):
        parse_fact(cls, field, text)


def test_a_fact_that_is_not_declared_cannot_be_parsed() -> None:
    with pytest.raises(UnknownField, match="sample_id"):
        parse_fact("r1", "sampleid", "s1")
    assert parse_fact("nobody_knows", "sampleid", "12") == "12"


def test_an_unknown_key_becomes_a_bare_asset_that_keeps_it() -> None:
    flat = {"asset": "nobody_knows", "name": "a.bed", "count": "007", "flag": "true"}
    asset = Asset.from_keyvalues(flat, cid=READS)
    assert type(asset) is Asset
    assert asset.asset_key == "nobody_knows"
    assert asset.declared == {"count": "007", "flag": "true"}
    assert asset.to_keyvalues() == flat
    assert Asset.from_dict(asset.to_dict()) == asset


def test_keyvalues_refuse_what_the_type_does_not_declare() -> None:
    with pytest.raises(UnknownField):
        Asset.from_keyvalues({"asset": "r1", "lane": "1"})
    with pytest.raises(UnknownField, match="reserved"):
        Asset.from_keyvalues({"asset": "nobody_knows", "_internal": "1"})
    with pytest.raises(AssetError, match="expected Reference"):
        Reference.from_keyvalues({"asset": "r1"})
    assert R1.from_dict(R1(sample_id="s1").to_dict()) == R1(sample_id="s1")


def test_a_list_that_the_first_stargazer_left_out_is_empty() -> None:
    assert Asset.from_keyvalues({"asset": "variants", "source_samples": "null"}) == Variants()


def test_another_format_is_not_guessed_at() -> None:
    with pytest.raises(AssetError, match="format 2"):
        Asset.from_dict({"format": 2, **R1().to_dict()})
