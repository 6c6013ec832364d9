"""Small inputs are what they say, and the same bytes whenever they are made."""

from __future__ import annotations

from pathlib import Path

import pytest

from stargazer.cid import cid_of_path
from stargazer.testing import builders


def test_inputs_are_the_same_bytes_each_time(tmp_path: Path) -> None:
    def made(folder: Path) -> dict[str, str]:
        r1, r2 = builders.fastq_pair(folder)
        drafts = [builders.text(folder), builders.reference(folder), r1, r2, builders.variants(folder)]
        return {draft.path.name: cid_of_path(draft.path) for draft in drafts}

    assert made(tmp_path / "one") == made(tmp_path / "two")
    assert set(made(tmp_path / "one")) == {"text.txt", "genome.fa", "s1_R1.fq.gz", "s1_R2.fq.gz", "s1.vcf"}


def test_reads_lie_where_they_say(tmp_path: Path) -> None:
    import pysam

    draft = builders.alignment(tmp_path, reads=[builders.Read("b", "chr2", 5), builders.Read("a", "chr1", 30, 10)])
    with pysam.AlignmentFile(str(draft.path)) as bam:
        found = [(read.query_name, read.reference_name, read.reference_start, read.query_sequence) for read in bam]
    genome = builders.GENOME
    assert found == [("a", "chr1", 30, genome["chr1"][30:40]), ("b", "chr2", 5, genome["chr2"][5:25])]
    with pysam.VariantFile(str(builders.variants(tmp_path).path)) as calls:
        assert [(call.chrom, call.pos, call.ref, call.alts) for call in calls] == [("chr1", 11, "A", ("G",))]


def test_cells_are_drawn_by_a_seed() -> None:
    pytest.importorskip("anndata")
    one, two, other = (builders.anndata_of(seed=seed) for seed in (1, 1, 2))
    assert one.shape == (30, 20)
    assert (one.X != two.X).nnz == 0
    assert (one.X != other.X).nnz > 0


def test_contracts_have_the_names_that_the_page_says() -> None:
    from stargazer import testing
    from stargazer.testing.stores import StoreContract

    page = (Path(__file__).parents[2] / "docs" / "extending.md").read_text()
    assert testing.StoreContract is StoreContract
    for name in testing.__all__:
        assert isinstance(getattr(testing, name), type)
        assert name in page
    with pytest.raises(AttributeError, match="Contracts"):
        testing.Contracts  # noqa: B018
