"""The sixteen types: their fields, what they accept and what they refuse."""

import dataclasses
import inspect
from pathlib import Path
from typing import Any

import pytest

from stargazer import assets
from stargazer.assets import (
    R1,
    Alignment,
    AnnData,
    Asset,
    KnownSites,
    Reference,
    ReferenceIndex,
    Variants,
    asset_type,
    asset_types,
)
from stargazer.errors import AssetError, InvalidField, UnknownField

FASTA = "bafkreib6vj3os7l4lqqytaw5vju46iorcknttfiwfnlbizjcqn7xd5hrvy"
READS = "bafybeia3lsmhibzqk3uo5phryz4wurlj26pn74klczwbmnxq3pf5q3iyy4"

SNV_SHARES = "snv_precision snv_recall snv_f1"
SYMBOLIC = "truth_symbolic calls_symbolic"
INDEL_SHARES = SNV_SHARES.replace("snv", "indel")

FIELDS = {
    "reference": ("Reference", "build"),
    "reference_index": ("ReferenceIndex", "build tool reference_cid"),
    "sequence_dict": ("SequenceDict", "build tool reference_cid"),
    "aligner_index": ("AlignerIndex", "build aligner reference_cid"),
    "r1": ("R1", "sample_id mate_cid sequencing_platform trimmed_by"),
    "r2": ("R2", "sample_id mate_cid sequencing_platform"),
    "alignment": (
        "Alignment",
        "sample_id format sorted duplicates_marked bqsr_applied tool reference_cid r1_cid",
    ),
    "alignment_index": ("AlignmentIndex", "sample_id alignment_cid"),
    "bqsr_report": ("BQSRReport", "sample_id tool alignment_cid"),
    "duplicate_metrics": ("DuplicateMetrics", "sample_id tool alignment_cid notes optical_distance"),
    "variants": ("Variants", "sample_id caller variant_type build vqsr_mode sample_count source_samples notes"),
    "variants_index": ("VariantsIndex", "sample_id variants_cid"),
    "known_sites": ("KnownSites", "build resource_name known training truth prior vqsr_mode"),
    "known_sites_index": ("KnownSitesIndex", "known_sites_cid"),
    "vqsr_model": ("VQSRModel", "sample_id mode build variants_cid"),
    "vqsr_tranches": ("VQSRTranches", "sample_id mode model_cid annotations left_out"),
    "genomics_db": ("GenomicsDB", "sample_id caller build sample_count source_samples"),
    "alignment_stats": ("AlignmentStats", "sample_id alignment_cid reads mapped duplicates insert_size"),
    "coverage": ("Coverage", "sample_id alignment_cid mean_depth breadth"),
    "trimming_report": ("TrimmingReport", "sample_id r1_cid reads kept lane"),
    "filter_choice": ("FilterChoice", "sample_id method reason samples snv_sites indel_sites notes"),
    "intervals": ("Intervals", "build reference_cid"),
    "variant_comparison": (
        "VariantComparison",
        f"sample_id truth_cid calls_cid regions_cid {SNV_SHARES} {INDEL_SHARES} genotype_concordance {SYMBOLIC}",
    ),
    "flag_counts": ("FlagCounts", "sample_id alignment_cid"),
    "contig_counts": ("ContigCounts", "sample_id alignment_cid"),
    "contamination": ("Contamination", "sample_id alignment_cid variants_cid share sites"),
    "variant_stats": ("VariantStats", "sample_id variants_cid snvs indels ts_tv notes"),
    "target_coverage": (
        "TargetCoverage",
        "sample_id alignment_cid targeted bases mean_depth breadth_10x breadth_20x breadth_30x on_target fold_80 gc",
    ),
    "identity": ("Identity", "sample_id source_samples marked"),
    "wgs_metrics": ("WgsMetrics", "sample_id alignment_cid mean_coverage median_coverage breadth_20x"),
    "qc_report": ("QCReport", "sample_id source_samples"),
    "anndata": ("AnnData", "sample_id n_obs n_vars stage organism source_cid"),
}


@pytest.mark.parametrize("key", FIELDS)
def test_each_type_has_its_key_and_fields(key: str) -> None:
    name, fields = FIELDS[key]
    cls = getattr(assets, name)
    assert asset_type(key) is cls is asset_types()[key]
    assert cls.asset_key == cls().asset_key == key
    assert list(cls().declared) == fields.split()
    assert name in assets.__all__


def test_companions_say_which_link_they_lie_beside() -> None:
    beside = {key: cls.companion_of for key, cls in asset_types().items() if key in FIELDS and cls.companion_of}
    assert beside == {
        "reference_index": "reference_cid",
        "sequence_dict": "reference_cid",
        "aligner_index": "reference_cid",
        "alignment_index": "alignment_cid",
        "variants_index": "variants_cid",
        "known_sites_index": "known_sites_cid",
        "vqsr_tranches": "model_cid",
    }


@pytest.mark.parametrize(
    ("cls", "field", "value"),
    [
        (Variants, "sample_count", "3"),
        (Variants, "sample_count", 3.0),
        (Variants, "sample_count", True),
        (Variants, "sample_count", None),
        (Variants, "source_samples", "s1"),
        (Variants, "source_samples", ["s1", 2]),
        (AnnData, "n_obs", "274"),
        (KnownSites, "known", "true"),
        (KnownSites, "truth", 1),
        (KnownSites, "prior", "10"),
        (KnownSites, "prior", True),
        (KnownSites, "prior", float("nan")),
        (KnownSites, "prior", 10**400),
        (Alignment, "duplicates_marked", "false"),
        (R1, "sample_id", 1),
        (R1, "sample_id", None),
        (R1, "mate_cid", "bafybei…"),
        (R1, "mate_cid", READS[:-1]),
        (R1, "cid", "QmNotOurKindOfCid"),
        (R1, "name", "lane1/reads.fq.gz"),
        (R1, "name", ".."),
        (R1, "path", 3),
        (R1, "companions", [READS]),
        (R1, "companions", None),
        (Asset, "facts", ["lane"]),
        (Asset, "facts", {"when": object()}),
        (Asset, "asset", 3),
    ],
)
def test_a_value_of_the_wrong_type_is_named_with_its_field(cls: type[Asset], field: str, value: object) -> None:
    with pytest.raises(InvalidField, match=rf"{cls.__name__}\.") as error:
        cls(**{field: value})  # type: ignore[arg-type]
    assert field in str(error.value) or field == "asset"
    assert f"({type(value).__name__})" in str(error.value) or field == "asset"


def test_values_are_kept_in_their_normal_form() -> None:
    variants = Variants(source_samples=["s1", "s2"])  # type: ignore[arg-type]
    assert variants.source_samples == ("s1", "s2")
    assert variants == Variants(source_samples=("s1", "s2"))
    prior = KnownSites(prior=15).prior
    assert (prior, type(prior)) == (15.0, float)
    assert R1(mate_cid=Asset(path="r2.fq").cid).mate_cid == ""  # type: ignore[arg-type]


def test_integers_of_numpy_are_integers_and_its_truths_are_not() -> None:
    numpy = pytest.importorskip("numpy")
    assert type(AnnData(n_obs=numpy.int64(274)).n_obs) is int
    assert type(Asset(cells=numpy.int64(274)).facts["cells"]) is int
    for truth in (numpy.True_, True):
        with pytest.raises(InvalidField):
            AnnData(n_obs=truth)


def test_an_unknown_field_names_those_that_there_are() -> None:
    with pytest.raises(UnknownField) as error:
        Alignment(duplicate_marked=True)  # type: ignore[call-arg]
    message = str(error.value)
    assert "Alignment has no field duplicate_marked" in message
    assert "Did you mean duplicates_marked?" in message
    assert all(name in message for name in FIELDS["alignment"][1].split())
    with pytest.raises(UnknownField, match="R1 has no field lane"):
        R1(facts={"lane": 1})
    with pytest.raises(TypeError):
        R1(*[None] * 10)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="path twice"):
        R1(Path("a"), path=Path("b"))  # type: ignore[misc]


def test_reserved_names_are_refused() -> None:
    with pytest.raises(UnknownField, match="reserved"):
        Asset(_lane=1)
    for facts in ({"_lane": 1}, {"cid": READS}):
        with pytest.raises(UnknownField):
            Asset(facts=facts)
    with pytest.raises(UnknownField, match="reserved"):
        R1(_lane=1)  # type: ignore[call-arg]


def test_a_link_is_a_cid_not_an_asset() -> None:
    reference = Reference(cid=FASTA)
    with pytest.raises(InvalidField, match=r"reference_cid.*Pass the asset's \.cid"):
        Alignment(reference_cid=reference)  # type: ignore[arg-type]
    assert Alignment(reference_cid=FASTA).reference_cid == FASTA


def test_a_bare_asset_takes_free_facts() -> None:
    asset = Asset(path="x/peaks.bed", lane=3, facts={"tags": ["a", {"b": [1]}]})
    assert asset.declared == {"lane": 3, "tags": ("a", {"b": (1,)})}
    assert asset == Asset(path=Path("x/peaks.bed"), facts={"tags": ("a", {"b": (1,)}), "lane": 3})
    assert dataclasses.replace(asset, facts={**asset.facts, "lane": 4}).facts["lane"] == 4
    with pytest.raises(TypeError, match="cannot change"):
        asset.facts["lane"] = 5  # type: ignore[index]
    assert Asset().asset_key == Asset.asset_key == Asset(asset="asset").asset_key == "asset"
    assert Asset(asset="asset", lane=3) == Asset(lane=3)
    assert Asset(asset="peaks", n=3).asset_key == "peaks"
    assert Asset(asset="peaks", n=3).declared == {"n": 3}


def test_a_fact_whose_name_no_index_can_hold_is_refused() -> None:
    with pytest.raises(InvalidField, match="half a character"):
        Asset(facts={"\ud800": 1})
    assert Asset(facts={"größe": 1}).declared == {"größe": 1}


def test_a_draft_takes_its_name_from_its_path() -> None:
    assert R1("work/s1_R1.fq.gz").name == "s1_R1.fq.gz"  # type: ignore[arg-type]
    assert R1(path="work/s1_R1.fq.gz").path == Path("work/s1_R1.fq.gz")  # type: ignore[arg-type]
    assert R1(path=Path("work/tmp0"), name="s1_R1.fq.gz").name == "s1_R1.fq.gz"


def test_assets_do_not_change() -> None:
    read = R1(sample_id="s1")
    for name in ("sample_id", "cid", "surprise"):
        with pytest.raises(dataclasses.FrozenInstanceError, match=name):
            setattr(read, name, "s2")
    with pytest.raises(dataclasses.FrozenInstanceError):
        del read.sample_id
    assert dataclasses.replace(read, sample_id="s2") == R1(sample_id="s2")
    assert read.sample_id == "s1"


def test_equal_assets_have_equal_hashes_and_each_field_counts() -> None:
    index = ReferenceIndex(cid=READS)
    given: dict[str, Any] = {
        "path": Path("a.fa"),
        "cid": FASTA,
        "name": "b.fa",
        "companions": (index,),
        "build": "GRCh38",
    }
    one, same = Reference(**given), Reference(**given)
    assert one == same
    assert len({one, same}) == 1
    for name in given:
        others = {key: value for key, value in given.items() if key != name}
        assert Reference(**others) != one
    assert Asset(cid=FASTA) != Reference(cid=FASTA)


def test_the_source_is_no_part_of_equality() -> None:
    assert R1(cid=READS, source=object()) == R1(cid=READS)  # type: ignore[arg-type]


def test_companions_are_found_by_type_and_facts() -> None:
    index = ReferenceIndex(cid=FASTA)
    bwa, mem2 = (assets.AlignerIndex(cid=READS, aligner=aligner) for aligner in ("bwa", "bwa-mem2"))
    reference = Reference(cid=FASTA, companions=[bwa, index, mem2])  # type: ignore[arg-type]
    assert reference.companion(ReferenceIndex) == index
    assert reference.companion(assets.AlignerIndex, aligner="bwa-mem2") == mem2
    with pytest.raises(AssetError, match="2 companions fit"):
        reference.companion(assets.AlignerIndex)
    with pytest.raises(AssetError, match="no companion is SequenceDict"):
        reference.companion(assets.SequenceDict)


def test_the_order_of_companions_makes_no_difference() -> None:
    parts = (ReferenceIndex(cid=FASTA), assets.SequenceDict(cid=READS))
    one, other = Reference(cid=FASTA, companions=parts), Reference(cid=FASTA, companions=parts[::-1])
    assert one == other
    assert one.id == other.id


def test_repr_is_short_and_says_what_it_is() -> None:
    read = R1(sample_id="s1", name="s1_R1.fq.gz", cid=READS, mate_cid=FASTA)
    assert repr(read) == "R1(sample_id='s1', mate_cid='bafk…hrvy', name='s1_R1.fq.gz', cid='bafy…iyy4')"
    assert repr(Asset(path="a.bed", lane=3)) == "Asset(lane=3, path='a.bed')"
    assert repr(Reference(companions=(ReferenceIndex(),))) == "Reference(companions=('reference_index',))"


def test_the_signature_shows_the_fields() -> None:
    assert list(inspect.signature(R1).parameters) == [field.name for field in dataclasses.fields(R1)]
