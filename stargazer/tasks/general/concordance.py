"""Called variants beside a truth.

References
----------
Krusche P et al. Best practices for benchmarking germline small-variant calls in human genomes.
Nat Biotechnol 37, 555-560 (2019).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from stargazer.assets import Asset, Reference, ReferenceIndex, VariantComparison, Variants
from stargazer.bio.variants import Comparison, Contigs, compare, read_bed
from stargazer.calls import task
from stargazer.display import cell
from stargazer.errors import AssetError, DataError
from stargazer.tools import EMBEDDED, Workdir

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from stargazer.bio.variants import Accuracy, Regions

__all__ = ["compare_variants"]

COUNTS = ("found", "missed", "right", "wrong", "misgenotyped")
SHARES = ("precision", "recall", "f1", "genotype_concordance")
DIGITS = 6


@task(memory="2 GiB", tools=["pysam"])
def compare_variants(
    work: Workdir,
    ref: Reference,
    truth: Variants,
    calls: Variants,
    regions: Asset | None = None,
    *,
    genotypes: bool = True,
    filtered: bool = False,
) -> VariantComparison:
    """Compare called variants with a truth, as haplotypes: however they are written, and whatever their phase.

    Parameters
    ----------
    work
        The scratch directory.
    ref
        FASTA.
    truth, calls
        VCFs sorted by position; they need no index. Samples are compared by name, single samples whatever their names.
    regions
        BED file of the regions in which the truth is sure; records elsewhere do not count.
    genotypes
        Whether the number of copies counts; if not, an allele is right where it is called at all.
    filtered
        Whether to take records that a filter rejected as well.

    Returns
    -------
    VariantComparison
        A table by sample and type; a list of the records that are missed or wrong is its companion. Shares of nothing
        are ``nan``. Records with symbolic alleles are left out, and counted.

    Raises
    ------
    DataError
        A file is damaged, not sorted or of another reference, or has no genotypes; a sample of the truth was not
        called; the regions are of another reference, or the truth has nothing in them.
    """
    confident = read_bed(regions.path) if regions is not None else None
    contigs = Contigs(ref.path, _index(ref, work))
    result = compare(contigs, truth.path, calls.path, regions=confident, genotypes=genotypes, filtered=filtered)
    if not result.total.found + result.total.missed:
        where = "in the regions" if confident is not None else "that is compared"
        raise DataError(
            f"{truth.name or truth.path.name}, the truth, has no variant {where}: nothing can be found or missed; "
            "filtered records, symbolic alleles and homozygous reference do not count"
        )
    name = calls.name.removesuffix(".gz").removesuffix(".vcf")
    table, differences = work.file(f"{name}.comparison.tsv"), work.file(f"{name}.differences.tsv")
    _write(table, _rows(result))
    _write(differences, _differences(result))
    facts = _facts("snv", result.snv) | _facts("indel", result.indel)
    facts |= {"genotype_concordance": round(result.total.genotype_concordance, DIGITS)}
    if confident is not None and (beyond := _beyond(confident, contigs)):
        work.warn(f"regions go beyond the ends of contigs: {', '.join(beyond[:5])}; they may be of another build")
    if confident is not None and (unknown := [name for name in confident.contigs if name not in contigs]):
        work.warn(f"regions are on contigs that the reference does not have: {', '.join(unknown[:5])}")
    if sum(result.symbolic):
        counts = "{:,} of the truth and {:,} of the calls".format(*result.symbolic)
        work.warn(f"records with symbolic alleles were left out: {counts}")
    if sum(result.repeated):
        counts = "{:,} of the truth and {:,} of the calls".format(*result.repeated)
        work.warn(
            f"records stand in a file twice: {counts}; the second one counts as missed or wrong where the other side "
            "has but one; take them out with bcftools norm --rm-dup exact"
        )
    made = VariantComparison(
        path=table,
        companions=(Asset(path=differences, table="differences", sample_id=calls.sample_id),),
        sample_id=calls.sample_id,
        truth_cid=truth.cid or "",
        calls_cid=calls.cid or "",
        regions_cid=(regions.cid or "") if regions is not None else "",
        truth_symbolic=result.symbolic[0],
        calls_symbolic=result.symbolic[1],
    )
    return replace(made, **facts)


def _beyond(regions: Regions, contigs: Contigs) -> list[str]:
    """Contigs that end before their last region does."""
    return [name for name in regions.contigs if name in contigs and regions.end(name) > contigs.length(name)]


def _index(ref: Reference, work: Workdir) -> Path:
    try:
        return ref.companion(ReferenceIndex).path
    except AssetError:
        fai = work.file(f"{ref.name}.fai")
        work.run([*EMBEDDED, "samtools", "faidx", ref.path, "--fai-idx", fai])
        return fai


def _facts(kind: str, accuracy: Accuracy) -> dict[str, Any]:
    return {f"{kind}_{name}": round(getattr(accuracy, name), DIGITS) for name in SHARES[:3]}


def _write(path: Path, rows: Iterable[Iterable[object]]) -> None:
    path.write_text("".join("\t".join(str(cell(each)) for each in row) + "\n" for row in rows), "utf-8")


def _rows(result: Comparison) -> Iterator[list[object]]:
    """All samples together, ``"."``, then each, where there are several."""
    yield ["sample", "type", *COUNTS, *SHARES]
    samples = {".": (result.snv, result.indel), **result.samples} if len(result.samples) != 1 else result.samples
    for sample, (snv, indel) in samples.items():
        for kind, accuracy in (("SNV", snv), ("INDEL", indel), ("ALL", snv + indel)):
            counts = [getattr(accuracy, name) for name in COUNTS]
            yield [sample, kind, *counts, *(f"{getattr(accuracy, name):.{DIGITS}f}" for name in SHARES)]


def _differences(result: Comparison) -> Iterator[list[object]]:
    yield ["contig", "position", "ref", "alts", "genotype", "sample", "side", "genotype_only"]
    for one in result.differences:
        yield [*one[:-1], "yes" if one.genotype_only else "no"]
