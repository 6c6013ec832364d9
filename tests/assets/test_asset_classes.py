"""Asset types of one's own: declared in a notebook, decorated or not, redefined, and sent to another process."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from enum import Enum
from pathlib import Path
from typing import Any, ClassVar

import pytest

from stargazer.assets import R1, Asset, asset_type, asset_types
from stargazer.errors import AssetError, InvalidField, UnknownField


class Assembly(Enum):
    GRCH38 = "GRCh38"
    T2T = "T2T-CHM13"


class StringAnnotations(Asset):
    assembly: Assembly = Assembly.GRCH38
    shared: ClassVar[int] = 3
    bins: tuple[int, ...] = ()


@dataclasses.dataclass(frozen=True)
class DecoratedByHand(Asset):
    sample_id: str = ""
    count: int = 0
    tags: Sequence[str] = dataclasses.field(default_factory=list)


@pytest.mark.parametrize("cls", [StringAnnotations, DecoratedByHand])
def test_a_subclass_is_registered_under_its_name(cls: type[Asset]) -> None:
    assert asset_type(cls.asset_key) is cls
    assert asset_types()[cls.asset_key] is cls
    assert Asset.from_dict(cls().to_dict()) == cls()


def test_annotations_that_are_strings_are_evaluated() -> None:
    asset = StringAnnotations(assembly="T2T-CHM13", bins=[1, 2])  # type: ignore[arg-type]
    assert asset.assembly is Assembly.T2T
    assert asset.declared == {"assembly": Assembly.T2T, "bins": (1, 2)}
    with pytest.raises(InvalidField, match=r"StringAnnotations\.assembly: expected Assembly \('GRCh38', 'T2T-CHM13'\)"):
        StringAnnotations(assembly="hg19")  # type: ignore[arg-type]


def test_a_dataclass_decorator_on_top_changes_nothing() -> None:
    asset = DecoratedByHand(Path("a.bed"), sample_id="s1", tags=["x"])
    assert asset.name == "a.bed"
    assert asset.tags == ("x",)
    assert repr(asset) == "DecoratedByHand(sample_id='s1', tags=('x',), path='a.bed')"
    assert hash(asset) == hash(DecoratedByHand(path=Path("a.bed"), sample_id="s1", tags=["x"]))
    with pytest.raises(InvalidField, match=r"DecoratedByHand\.count"):
        DecoratedByHand(count="3")  # type: ignore[arg-type]
    with pytest.raises(dataclasses.FrozenInstanceError):
        asset.count = 3  # type: ignore[misc]
    with pytest.raises(UnknownField):
        DecoratedByHand(counts=3)  # type: ignore[call-arg]


def test_slots_are_refused() -> None:
    with pytest.raises(AssetError, match="drop slots=True"):

        @dataclasses.dataclass(frozen=True, slots=True)
        class Slotted(Asset):
            count: int = 0


def test_the_key_can_be_chosen() -> None:
    class ByKeyword(Asset, key="chosen_by_keyword"):
        pass

    class ByAttribute(Asset):
        asset_key = "chosen_by_attribute"

    assert asset_type("chosen_by_keyword") is ByKeyword
    assert asset_type("chosen_by_attribute") is ByAttribute
    with pytest.raises(AssetError, match="snake case"):

        class Bad(Asset, key="Not A Key"):
            pass


def test_a_second_definition_takes_the_place_of_the_first() -> None:
    def define(default: int) -> type[Asset]:
        class Redefined(Asset):
            count: int = default

        return Redefined

    first, second = define(1), define(2)
    assert asset_type("redefined") is second
    assert first().declared == {"count": 1}
    assert asset_type("redefined") is second
    assert type(Asset.from_dict(first().to_dict())) is second
    assert first() != second()


def test_a_taken_key_is_refused() -> None:
    with pytest.raises(AssetError, match=r"'r1' .* is taken by stargazer\.assets\.reads\.R1; choose another"):

        class Reads(Asset, key="r1"):
            sample_id: str = ""

    with pytest.raises(AssetError, match="is taken by"):

        class Variants(Asset):
            chemistry: str = ""

    assert asset_type("r1") is R1


def test_a_subtype_of_a_type_has_its_facts_and_its_own_key() -> None:
    class TrimmedR1(R1):
        trimmer: str = ""

    trimmed = TrimmedR1(sample_id="s1", trimmer="fastp")
    assert isinstance(trimmed, R1)
    assert (trimmed.asset_key, R1.asset_key) == ("trimmed_r1", "r1")
    assert list(trimmed.declared) == ["sample_id", "mate_cid", "sequencing_platform", "trimmed_by", "trimmer"]
    assert R1.from_dict(trimmed.to_dict()) == trimmed


def test_checks_of_ones_own_see_checked_values() -> None:
    class Ranged(Asset):
        count: int = 0

        def __post_init__(self) -> None:
            if self.count < 0:
                raise ValueError("count is negative")

    with pytest.raises(ValueError, match="negative"):
        Ranged(count=-1)
    with pytest.raises(InvalidField):
        Ranged(count="-1")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("body", "match"),
    [
        ({"__annotations__": {"count": int}}, "give it a default"),
        ({"__annotations__": {"_count": int}, "_count": 0}, "reserved"),
        ({"__annotations__": {"identity": str}, "identity": ""}, "reserved"),
        ({"__annotations__": {"cid": str}, "cid": ""}, "every asset has this field"),
        ({"__annotations__": {"n": int}, "n": dataclasses.field(default=0, init=False)}, "drop init=False"),
    ],
)
def test_a_class_that_cannot_work_is_refused_when_it_is_made(body: dict[str, Any], match: str) -> None:
    with pytest.raises(AssetError, match=match):
        type("Impossible", (Asset,), {**body, "__qualname__": "test.<locals>.Impossible"})


@pytest.mark.parametrize(
    ("annotation", "default", "match"),
    [
        (Path, None, "a fact cannot be"),
        (complex, 0j, "a fact cannot be"),
        (dict[int, str], None, "a fact cannot be"),
        ("Nowhere", None, "'Nowhere' is not known"),
        (int, None, "the default does not fit"),
        (bool, 0, "the default does not fit"),
    ],
)
def test_an_annotation_that_is_no_fact_is_refused_at_first_use(annotation: Any, default: Any, match: str) -> None:
    body = {"__annotations__": {"fact": annotation}, "fact": default, "__qualname__": "test.<locals>.Odd"}
    cls = type("Odd", (Asset,), {**body, "__module__": __name__})
    with pytest.raises(AssetError, match=match):
        cls()
