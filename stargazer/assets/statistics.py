"""Counts of alignments and variants, and the report of them all."""

from __future__ import annotations

from stargazer.assets.asset import Asset

__all__ = ["ContigCounts", "FlagCounts", "QCReport", "VariantStats", "WgsMetrics"]


class FlagCounts(Asset):
    """Alignments by their flags, as ``samtools flagstat`` writes them.

    Parameters
    ----------
    sample_id
        The sample.
    alignment_cid
        The alignment.
    """

    sample_id: str = ""
    alignment_cid: str = ""


class ContigCounts(Asset):
    """Alignments by contig, as ``samtools idxstats`` writes them: contig, length, mapped, unmapped.

    Parameters
    ----------
    sample_id
        The sample.
    alignment_cid
        The alignment.
    """

    sample_id: str = ""
    alignment_cid: str = ""


class VariantStats(Asset):
    """What ``bcftools stats`` counts in a VCF, of all samples and of each.

    Parameters
    ----------
    sample_id
        The sample or cohort.
    variants_cid
        The VCF.
    snvs, indels
        Records with at least one of these.
    ts_tv
        Transitions to transversions (Ti/Tv); about 2.1 over a human genome, 3 over its exons.
    """

    sample_id: str = ""
    variants_cid: str = ""
    snvs: int = 0
    indels: int = 0
    ts_tv: float = 0.0


class QCReport(Asset):
    """Measures of quality of a cohort, to be looked at: one HTML file, what it shows beside it.

    Parameters
    ----------
    sample_id
        The sample or cohort.
    source_samples
        Its samples.
    """

    sample_id: str = ""
    source_samples: tuple[str, ...] = ()


class WgsMetrics(Asset):
    """Coverage of a genome by well-mapped bases, as Picard's CollectWgsMetrics writes it.

    Parameters
    ----------
    sample_id
        The sample.
    alignment_cid
        The alignment.
    mean_coverage, median_coverage
        Bases over a base of the reference.
    breadth_20x
        Share of the reference that has at least 20.
    """

    sample_id: str = ""
    alignment_cid: str = ""
    mean_coverage: float = 0.0
    median_coverage: float = 0.0
    breadth_20x: float = 0.0
