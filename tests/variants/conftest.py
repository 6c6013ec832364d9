from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from small_vcfs import GENOME, write_vcf

from stargazer.bio.variants import Accuracy, Comparison, Regions, compare

Compared = Callable[..., Comparison]


@pytest.fixture
def compared(tmp_path: Path) -> Compared:
    """Compares records of a truth with those of calls, and checks that the other way round says the opposite."""

    def compare_records(
        truth: list[str], calls: list[str], regions: Regions | None = None, **options: bool
    ) -> Comparison:
        paths = [write_vcf(tmp_path / f"{name}.vcf", *side) for name, side in (("truth", truth), ("calls", calls))]
        result = compare(GENOME, *paths, regions=regions, **options)
        turned = compare(GENOME, *paths[::-1], regions=regions, **options)
        for one, other in ((result.snv, turned.snv), (result.indel, turned.indel)):
            assert other == Accuracy(one.right, one.wrong, one.found, one.missed, one.misgenotyped)
            # As texts, for shares of nothing are NaN, which equals nothing.
            assert str((one.precision, one.recall, one.f1)) == str((other.recall, other.precision, other.f1))
            assert str(one.genotype_concordance) == str(other.genotype_concordance)
        return result

    return compare_records
