"""Ids: what goes into them, and that they stay what they are."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import pytest

from stargazer.assets import (
    R1,
    AlignerIndex,
    AnnData,
    Asset,
    KnownSites,
    Reference,
    ReferenceIndex,
    Variants,
    asset_type,
    canonical,
)
from stargazer.errors import AssetError

FASTA = "bafkreib6vj3os7l4lqqytaw5vju46iorcknttfiwfnlbizjcqn7xd5hrvy"
READS = "bafybeia3lsmhibzqk3uo5phryz4wurlj26pn74klczwbmnxq3pf5q3iyy4"
INDEX = ReferenceIndex(cid=READS, name="GRCh38.fa.fai", build="GRCh38", tool="samtools", reference_cid=FASTA)

GOLDEN = {
    "r1": (
        R1(cid=READS, name="s1_R1.fq.gz", sample_id="s1", sequencing_platform="ILLUMINA"),
        "7bd37ad3de7902492dc5765eeaf181a8cf9da70a0b0e6579e298a48c19badbea",
    ),
    "reference with its index": (
        Reference(cid=FASTA, name="GRCh38.fa", build="GRCh38", companions=(INDEX,)),
        "2a05db9b39717172319e9989cfb3477fc94fb77e124a68dccd5f4268c1727c66",
    ),
    "variants": (
        Variants(cid=READS, sample_id="Zoë", sample_count=2, source_samples=("s1", "s2")),
        "73378ada1f2af30bcf091701722adfcc914a332e347c6e965307b0e6a629bb5c",
    ),
    "known_sites": (
        KnownSites(cid=READS, known=True, prior=0.1 + 0.2),
        "bc302233275c53ff3ec1e1ef1a4199c9768e00e496ab9e84f1d0d3df88952188",
    ),
    "bare": (
        Asset(cid=FASTA, facts={"lane": 3, "tags": ["a", None, 1e22, {"x": False}]}),
        "1267db190b92ae17c9aa12004c65832bf0834aeec7b0dcf5fcc9261311c26513",
    ),
}


@pytest.mark.parametrize("name", GOLDEN)
def test_ids_stay_what_they_are(name: str) -> None:
    """Ids are in every store's records and keys: an encoding that changes loses them all."""
    asset, expected = GOLDEN[name]
    assert asset.id == expected


def test_the_id_is_the_hash_of_the_canonical_json() -> None:
    asset, _ = GOLDEN["reference with its index"]
    text = canonical(asset)
    assert asset.id == hashlib.sha256(text).hexdigest()
    assert Asset.from_dict(json.loads(text)) == asset
    assert {"format": 1, **asset.identity} == json.loads(text)


@pytest.mark.parametrize(
    "change",
    [
        {"cid": FASTA},
        {"name": "other.fq"},
        {"sample_id": "s2"},
        {"mate_cid": FASTA},
        {"companions": (INDEX,)},
    ],
)
def test_what_differs_has_another_id(change: dict[str, object]) -> None:
    asset = R1(cid=READS, name="a.fq", sample_id="s1")
    assert replace(asset, **change).id != asset.id  # type: ignore[arg-type]


def test_a_companions_facts_are_in_the_id() -> None:
    reference = Reference(cid=FASTA, companions=(INDEX,))
    assert replace(reference, companions=(replace(INDEX, tool="gatk"),)).id != reference.id


def test_types_with_the_same_facts_have_other_ids() -> None:
    assert len({asset_type(key)(cid=READS, sample_id="s1").id for key in ("r1", "r2", "alignment_index")}) == 3


def test_path_and_source_are_in_no_id() -> None:
    asset = R1(cid=READS, name="a.fq", sample_id="s1")
    assert replace(asset, path=Path("/data/a.fq"), source=object()).id == asset.id  # type: ignore[arg-type]


def test_equal_numbers_have_equal_ids() -> None:
    assert KnownSites(cid=READS, prior=-0.0).id == KnownSites(cid=READS, prior=0).id
    assert Asset(cid=READS, shift=-0.0).id == Asset(cid=READS, shift=0.0).id


def test_an_asset_whose_type_is_not_known_keeps_its_id() -> None:
    cells = AnnData(cid=READS, name="cells.h5ad", n_obs=274, organism="human")
    members = json.loads(canonical(cells))
    stranger = Asset(cid=cells.cid, name=cells.name, asset="anndata", facts=members["facts"])
    assert type(stranger) is Asset
    assert stranger.id == cells.id


@pytest.mark.parametrize(
    "draft",
    [
        R1(path=Path("a.fq")),
        Reference(cid=FASTA, companions=(ReferenceIndex(path=Path("a.fai")),)),
        Reference(cid=FASTA, companions=(AlignerIndex(cid=READS, companions=(Asset(path="x"),)),)),
    ],
)
def test_a_draft_has_no_id(draft: Asset) -> None:
    with pytest.raises(AssetError, match="is a draft"):
        _ = draft.id
