"""Assets as Dask takes them apart and puts them together."""

from dataclasses import fields
from pathlib import Path

import pytest
from dask.base import compute, tokenize
from dask.delayed import delayed

from stargazer.assets import R1, Asset, KnownSites, Reference, ReferenceIndex, Variants

FASTA = "bafkreib6vj3os7l4lqqytaw5vju46iorcknttfiwfnlbizjcqn7xd5hrvy"
READS = "bafybeia3lsmhibzqk3uo5phryz4wurlj26pn74klczwbmnxq3pf5q3iyy4"


class Origin:
    """A source that is equal to itself only."""


ORIGIN = Origin()
ASSETS = [
    R1(cid=READS, name="a.fq", sample_id="s1", source=ORIGIN),  # type: ignore[arg-type]
    Reference(cid=FASTA, companions=(ReferenceIndex(cid=READS),), build="GRCh38"),
    Variants(path=Path("a.vcf"), source_samples=("s1", "s2")),
    KnownSites(cid=READS, known=True, prior=15.0),
    Asset(cid=READS, facts={"asset": "nobody_knows", "tags": {"a": [1, None]}}),
]


@pytest.mark.parametrize("asset", ASSETS, ids=lambda asset: asset.asset_key)
def test_an_asset_is_rebuilt_by_position(asset: Asset) -> None:
    rebuilt = type(asset)(*[getattr(asset, field.name) for field in fields(asset)])
    assert rebuilt == asset
    assert rebuilt.source is asset.source
    assert rebuilt.declared == asset.declared


def test_assets_pass_through_a_graph() -> None:
    count = delayed(lambda assets: [asset.asset_key for asset in assets])(ASSETS)
    results = compute([*ASSETS, count], scheduler="sync")[0]  # type: ignore[no-untyped-call]
    assert results == [*ASSETS, [asset.asset_key for asset in ASSETS]]
    assert results[0].source is ORIGIN


def test_tokens_leave_the_source_out() -> None:
    token = tokenize(R1(cid=READS, sample_id="s1"))
    assert tokenize(R1(cid=READS, sample_id="s1", source=ORIGIN)) == token  # type: ignore[arg-type]
    assert tokenize(R1(cid=READS, sample_id="s2")) != token
