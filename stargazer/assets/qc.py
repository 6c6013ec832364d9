"""Measures of quality: of reads, of alignments, of called variants beside a truth."""

from __future__ import annotations

import csv
from typing import ClassVar

from stargazer.assets.asset import Asset
from stargazer.assets.fact_types import Share

__all__ = [
    "AlignmentStats",
    "Contamination",
    "ContigCounts",
    "Coverage",
    "FlagCounts",
    "Identity",
    "QCReport",
    "TargetCoverage",
    "TrimmingReport",
    "VariantComparison",
    "VariantStats",
    "WgsMetrics",
]


class AlignmentStats(Asset):
    """What ``samtools stats`` counts in an alignment.

    Parameters
    ----------
    sample_id
        The sample.
    alignment_cid
        The alignment.
    reads
        Reads, without secondary and supplementary alignments.
    mapped, duplicates
        Those that are mapped, those that are marked as duplicates.
    insert_size
        Mean distance in bases between the outer ends of mates.
    """

    sample_id: str = ""
    alignment_cid: str = ""
    reads: int = 0
    mapped: int = 0
    duplicates: int = 0
    insert_size: float = 0.0


class Coverage(Asset):
    """Depth and breadth of coverage, a table (TSV) of contigs as ``samtools coverage`` writes it.

    Parameters
    ----------
    sample_id
        The sample.
    alignment_cid
        The alignment.
    mean_depth
        Reads over a base, on average over the reference.
    breadth
        Share of the reference that is covered.
    """

    sample_id: str = ""
    alignment_cid: str = ""
    mean_depth: float = 0.0
    breadth: float = 0.0


class TrimmingReport(Asset):
    """What ``fastp`` did to the reads of one lane, as JSON.

    Parameters
    ----------
    sample_id
        The sample.
    r1_cid
        The forward reads.
    reads, kept
        Reads before and after, of both ends.
    lane
        Name of the lane; empty where it has none.
    """

    later: ClassVar[tuple[str, ...]] = ("lane",)

    sample_id: str = ""
    r1_cid: str = ""
    reads: int = 0
    kept: int = 0
    lane: str = ""


class VariantComparison(Asset):
    """How well called variants agree with a truth: a table (TSV) of counts and shares, by sample and type.

    Parameters
    ----------
    sample_id
        The sample or cohort whose calls they are.
    truth_cid, calls_cid
        The VCFs.
    regions_cid
        The BED file within which records count; empty if all do.
    snv_precision, snv_recall, snv_f1
        Of substitutions, of all samples together; NaN where there are none to be right or found.
    indel_precision, indel_recall, indel_f1
        Of insertions and deletions.
    genotype_concordance
        Share of the records whose alleles both sides have that have one genotype.
    truth_symbolic, calls_symbolic
        Records with an allele without sequence (``<DEL>``), which were left out.
    """

    later: ClassVar[tuple[str, ...]] = ("truth_symbolic", "calls_symbolic")

    sample_id: str = ""
    truth_cid: str = ""
    calls_cid: str = ""
    regions_cid: str = ""
    snv_precision: Share = Share(0.0)
    snv_recall: Share = Share(0.0)
    snv_f1: Share = Share(0.0)
    indel_precision: Share = Share(0.0)
    indel_recall: Share = Share(0.0)
    indel_f1: Share = Share(0.0)
    genotype_concordance: Share = Share(0.0)
    truth_symbolic: int = 0
    calls_symbolic: int = 0

    def rows(self) -> list[dict[str, str]]:
        """The table: a row for each sample (``"."`` for all of them) and type."""
        with self.open("r") as table:
            return list(csv.DictReader(table, delimiter="\t"))

    def picture(self) -> str:
        """The table as HTML; empty where the store is on another machine."""
        if self.path is None and (self.source is None or not self.source.url.startswith("file:")):
            return ""
        from stargazer.display import table_html

        return table_html(self.rows())


# Counts of alignments and variants, and the report of them all.


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


class Contamination(Asset):
    """Which share of a sample's reads is of somebody else, as JSON.

    Parameters
    ----------
    sample_id
        The sample.
    alignment_cid, variants_cid
        The alignment, and the joint calls of its cohort.
    share
        Share of the reads, 0 to 0.5; NaN where there are too few sites to tell.
    sites
        Sites with reads at which people of the cohort differ.
    """

    sample_id: str = ""
    alignment_cid: str = ""
    variants_cid: str = ""
    share: Share = Share(0.0)
    sites: int = 0


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
        Transitions to transversions (Ti/Tv); about 2.1 over a human genome, 3 over its exons; NaN without
        transversions.
    notes
        What the VCF's facts say of how it was called.
    """

    later: ClassVar[tuple[str, ...]] = ("notes",)

    sample_id: str = ""
    variants_cid: str = ""
    snvs: int = 0
    indels: int = 0
    ts_tv: Share = Share(0.0)
    notes: tuple[str, ...] = ()


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


class TargetCoverage(Asset):
    """Depth on a target, or on the whole genome, as JSON with its histogram.

    Parameters
    ----------
    sample_id
        The sample.
    alignment_cid
        The alignment.
    targeted
        Whether there is a target.
    bases
        Bases of the target, or of the genome.
    mean_depth
        Reads over a base; duplicates do not count, and bases that both mates show count once.
    breadth_10x, breadth_20x, breadth_30x
        Shares of the bases that have so many reads at least.
    on_target
        Share of the mapped reads that lie on the target; NaN where none is mapped.
    fold_80
        Mean depth over the depth that 80 per cent of the covered bases have; NaN where none is covered.
    gc
        Share of G and C in the reads; NaN where there are none.
    """

    sample_id: str = ""
    alignment_cid: str = ""
    targeted: bool = False
    bases: int = 0
    mean_depth: float = 0.0
    breadth_10x: float = 0.0
    breadth_20x: float = 0.0
    breadth_30x: float = 0.0
    on_target: Share = Share(0.0)
    fold_80: Share = Share(0.0)
    gc: Share = Share(0.0)


class Identity(Asset):
    """Who the samples of a cohort are, as JSON: sex by their reads, contamination, kinship of pairs.

    Parameters
    ----------
    sample_id
        The cohort.
    source_samples
        Its samples.
    marked
        Those that are not whom they are said to be, or that have reads of others.
    """

    sample_id: str = ""
    source_samples: tuple[str, ...] = ()
    marked: tuple[str, ...] = ()
