"""Measures of quality of a cohort on one page, and the files that they come from."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any, NamedTuple

from stargazer.assets import (
    AlignmentStats,
    Asset,
    Coverage,
    DuplicateMetrics,
    FilterChoice,
    Identity,
    QCReport,
    TargetCoverage,
    TrimmingReport,
    VariantComparison,
    VariantStats,
)
from stargazer.calls import task
from stargazer.tasks import html
from stargazer.tasks.html import figures, good, heading, note, page_of, table
from stargazer.tasks.limits import (
    LEAST_BASE_QUALITY,
    MOST_AMBIGUOUS,
    MOST_FAILED,
    PLAIN_LIMITS,
    QCLimits,
    by_sample,
    coverage_marks,
    lane_marks,
    ratio_marks,
)
from stargazer.tasks.metrics import (
    AlignmentNumbers,
    VariantNumbers,
    read_alignment_stats,
    read_duplication,
    read_variant_stats,
)
from stargazer.tools import Workdir

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    Points = Sequence[tuple[float, float]]

__all__ = ["qc_report"]

WITHIN = "OPTICAL_DISTANCE"
LIBRARY_COLUMNS = {
    "sample": "sample",
    "LIBRARY": "library",
    "READ_PAIRS_EXAMINED": "pairs",
    "READ_PAIR_DUPLICATES": "duplicate pairs",
    "READ_PAIR_OPTICAL_DUPLICATES": "optical",
    WITHIN: "within (pixels)",
    "UNPAIRED_READS_EXAMINED": "unpaired reads",
    "UNPAIRED_READ_DUPLICATES": "duplicate unpaired",
    "UNMAPPED_READS": "unmapped",
    "PERCENT_DUPLICATION": "share of duplicates",
    "ESTIMATED_LIBRARY_SIZE": "library size",
}
EXAMINED = ("READ_PAIRS_EXAMINED", "UNPAIRED_READS_EXAMINED")
MOST_CONTIGS = 30
"""Contigs with a column of their own, the longest ones."""


class _Sample(NamedTuple):
    """What is known of one sample."""

    stats: AlignmentNumbers | None
    coverage: list[dict[str, str]]
    duplicates: list[dict[str, str]]
    lanes: list[dict[str, str]]


@task(memory="1 GiB")
def qc_report(
    work: Workdir,
    stats: list[AlignmentStats],
    coverages: list[Coverage],
    duplicates: list[DuplicateMetrics],
    variants: list[VariantStats],
    comparisons: list[VariantComparison],
    others: list[Asset],
    *,
    title: str,
    notes: tuple[str, ...] = (),
    marks: dict[str, list[str]] | None = None,
    limits: QCLimits = PLAIN_LIMITS,
) -> QCReport:
    """Draw and tabulate what was measured; any of the lists may be empty.

    Parameters
    ----------
    work
        The scratch directory.
    stats, coverages, duplicates
        Of the alignment of each sample.
    variants
        Counts of called variants.
    comparisons
        Called variants beside a truth.
    others
        Files that shall lie beside the report as well; how reads were trimmed and variants filtered is told.
    title
        Name of the sample or cohort.
    notes
        What else is to be said, above all the rest.
    marks
        What is wrong with samples beside what the measures tell, such as that they were left out.
    limits
        Beyond which a sample is marked.

    Returns
    -------
    QCReport
        ``TITLE.qc.html``; the files that it was made of are its companions, as MultiQC reads them, and so is
        ``TITLE.marks.json``: what is beyond the limits, by sample.
    """
    files = (*stats, *coverages, *duplicates, *variants, *comparisons, *others)
    measured: list[AlignmentStats | Coverage | DuplicateMetrics] = [*stats, *coverages, *duplicates]
    names = list(dict.fromkeys(one.sample_id for one in measured))
    samples = {name: _sample(name, stats, coverages, duplicates) for name in names}
    counted = [(one.sample_id, read_variant_stats(one.path.read_text("utf-8"))) for one in variants]
    told = [*notes, *_filters(others), *(each for one in variants for each in one.notes), *_untold(others)]
    found = _marks([*measured, *others], samples, counted, limits)
    marked = by_sample([*((name, mark) for name, given in (marks or {}).items() for mark in given), *found])
    parts = [*map(note, told), *_marked(marked, names), *_trimming(others), *_alignments(samples), *_targets(others)]
    parts += [*_identity(others), *_variants(counted), *_comparisons(comparisons)]
    page, table = work.file(f"{title}.qc.html"), work.file(f"{title}.marks.json")
    page.write_text(page_of(title, names, parts), "utf-8")
    table.write_text(json.dumps({"marks": marked, "notes": told}, indent=1) + "\n", "utf-8")
    beside = (*files, Asset(path=table, table="marks", sample_id=title))
    return QCReport(path=page, companions=beside, sample_id=title, source_samples=tuple(names))


def _marks(
    measures: Iterable[Asset],
    samples: Mapping[str, _Sample],
    counted: Iterable[tuple[str, VariantNumbers]],
    limits: QCLimits,
) -> Iterator[tuple[str, str]]:
    """Samples and what is beyond a limit in their measures."""
    for one in measures:
        if isinstance(one, DuplicateMetrics):
            yield from ((one.sample_id, f"reads: {each}") for each in one.notes)
        elif isinstance(one, TargetCoverage):
            marks = coverage_marks(one.declared, targeted=one.targeted, limits=limits)
            yield from ((one.sample_id, mark) for mark in marks)
        elif isinstance(one, TrimmingReport) and one.kept < limits.least_kept * one.reads:
            lane = f"lane {one.lane}: " if one.lane else ""
            yield one.sample_id, f"{lane}trimming left {_percent(one.kept, one.reads)} % of {one.reads:,} reads"
        elif isinstance(one, Identity):
            found = json.loads(one.path.read_text("utf-8"))["marks"]
            yield from ((name, mark) for name, marks in found.items() for mark in marks)
    for name, sample in samples.items():
        yield from ((name, mark) for mark in _read_marks(sample, limits))
    for _, numbers in counted:
        for name, row in numbers.samples.items():
            het, hom = row.get("nHets", 0.0), row.get("nNonRefHom", 0.0)
            changes = row.get("nTransitions", 0.0), row.get("nTransversions", 0.0)
            ts_tv = changes[0] / changes[1] if changes[1] else math.inf
            ratios = ratio_marks(ts_tv, het / hom if hom else math.inf, het + hom, limits)
            yield from ((name, mark) for mark in ratios)


def _read_marks(sample: _Sample, limits: QCLimits) -> Iterator[str]:
    summary = sample.stats.summary if sample.stats is not None else {}
    reads = summary.get("raw total sequences", 0.0)
    if reads:
        mapped, copies = (summary.get(f"reads {name}", 0.0) / reads for name in ("mapped", "duplicated"))
        if mapped < limits.least_mapped:
            yield f"reads: {100 * mapped:.1f} % are mapped, wanted are {100 * limits.least_mapped:g} %"
        if copies > limits.most_duplicates:
            yield f"duplicates: {100 * copies:.1f} %, {100 * limits.most_duplicates:g} % at most"
        yield from _unusable_marks(summary)
    yield from lane_marks(sample.lanes, limits)


def _unusable_marks(summary: Mapping[str, float]) -> Iterator[str]:
    """Why callers pass over reads that are there, and mapped."""
    reads, mapped = summary["raw total sequences"], summary.get("reads mapped", 0.0)
    if (unclear := summary.get("reads MQ0", 0.0)) > MOST_AMBIGUOUS * mapped:
        yield (
            f"reads: {100 * unclear / mapped:.1f} % of those mapped have mapping quality 0, and callers pass over "
            "them: are contigs twice in the reference?"
        )
    if (failed := summary.get("reads QC failed", 0.0)) > MOST_FAILED * reads:
        yield f"reads: {100 * failed / reads:.1f} % are marked as failed (QCFAIL), and callers pass over them"
    if (quality := summary.get("average quality", LEAST_BASE_QUALITY)) < LEAST_BASE_QUALITY:
        yield f"base quality: {quality:.1f} on average, wanted are {LEAST_BASE_QUALITY:g}"


def _marked(marked: Mapping[str, Sequence[str]], names: Sequence[str]) -> Iterator[str]:
    """What stands at the top: who is to be looked at, and why."""
    if not marked:
        if names:
            yield good(f"None of {len(names)} samples is beyond a limit.")
        return
    yield heading("Samples to look at", f"{len(marked)} of {len({*names, *marked})} are beyond a limit.")
    yield table([{"sample": name, "why": mark} for name, marks in marked.items() for mark in marks], marked=True)


def _trimming(others: Iterable[Asset]) -> Iterator[str]:
    found = [one for one in others if isinstance(one, TrimmingReport)]
    if not found:
        return
    yield heading(
        "Trimming", "By fastp, lane by lane: adapters cut away, mates that are too bad or too short left out."
    )
    rows = []
    for one in found:
        told = json.loads(one.path.read_text("utf-8"))
        cut = told.get("adapter_cutting", {}).get("adapter_trimmed_reads", 0)
        good_before, good_after = (told["summary"][f"{when}_filtering"]["q30_rate"] for when in ("before", "after"))
        row = {"sample": one.sample_id, "lane": one.lane, "reads": f"{one.reads:,}", "kept": f"{one.kept:,}"}
        row |= {"kept (%)": _percent(one.kept, one.reads), "with adapter (%)": _percent(cut, one.reads)}
        rows.append(row | {"Q30 before (%)": f"{100 * good_before:.1f}", "Q30 after (%)": f"{100 * good_after:.1f}"})
    yield table(rows)


def _targets(others: Iterable[Asset]) -> Iterator[str]:
    found = [one for one in others if isinstance(one, TargetCoverage)]
    if not found:
        return
    where = f"a target of {found[0].bases:,} bases" if found[0].targeted else f"{found[0].bases:,} bases"
    yield heading("Coverage", f"Of {where}: without duplicates, what both mates show counted once.")
    rows = []
    for one in found:
        row = {"sample": one.sample_id, "mean depth": f"{one.mean_depth:.1f}"}
        row |= {f"≥ {level}× (%)": f"{100 * getattr(one, f'breadth_{level}x'):.1f}" for level in (10, 20, 30)}
        row |= {"on target (%)": _shown(100 * one.on_target, 1)} if one.targeted else {}
        rows.append(row | {"fold-80": _shown(one.fold_80, 2), "GC (%)": _shown(100 * one.gc, 1)})
    yield table(rows)


def _identity(others: Iterable[Asset]) -> Iterator[str]:
    for one in others:
        if isinstance(one, Identity):
            told = json.loads(one.path.read_text("utf-8"))
            yield heading(
                "Identity",
                "Sex by the depths of X and Y; contamination as a mixture of two people explains the reads best.",
            )
            yield table([{"sample": name, **_person(row)} for name, row in told["samples"].items()])
            related = [pair for pair in told["pairs"] if pair["relation"] not in ("", "unrelated")]
            unclear = sum(not pair["relation"] for pair in told["pairs"])
            count = f"{len(told['pairs'])} pairs; those are shown that are related (KING-robust)."
            count += f" Of {unclear:,} too few sites tell." if unclear else ""
            yield heading("Kinship", count) if told["pairs"] else ""
            yield table([_pair(pair) for pair in related]) if related else ""


def _untold(others: Iterable[Asset]) -> Iterator[str]:
    """What is not known of who samples are: who has no mark may be somebody else all the same."""
    for told in (json.loads(one.path.read_text("utf-8")) for one in others if isinstance(one, Identity)):
        yield from (f"Identity: {each}." for each in told.get("untold", ()))


def _person(row: Mapping[str, Any]) -> dict[str, str]:
    shown = {"sex said": row["said"], "sex of the reads": row["sex"]}
    shown |= {key.upper(): f"{row[key]:.2f}" if row[key] is not None else "" for key in ("x", "y")}
    alien = row["contamination"]
    return shown | {
        "contamination (%)": f"{100 * alien:.1f}" if alien is not None else "",
        "sites": f"{row['sites']:,}",
    }


def _pair(pair: Mapping[str, Any]) -> dict[str, str]:
    shown = {"sample": pair["one"], "and": pair["another"], "relation": pair["relation"]}
    return shown | {"kinship": f"{pair['kinship']:.3f}", "sites": f"{pair['sites']:,}"}


def _filters(others: Iterable[Asset]) -> Iterator[str]:
    for one in others:
        if isinstance(one, FilterChoice):
            yield f"Variants of {one.sample_id} were filtered: {one.method}. {one.reason}"
            yield from one.notes


def _sample(name: str, stats: Iterable[Asset], coverages: Iterable[Asset], duplicates: Iterable[Asset]) -> _Sample:
    text = {
        kind: next((one.path.read_text("utf-8") for one in found if getattr(one, "sample_id", "") == name), "")
        for kind, found in (("stats", stats), ("coverage", coverages), ("duplicates", duplicates))
    }
    return _Sample(
        read_alignment_stats(text["stats"]) if text["stats"] else None,
        _rows(text["coverage"]),
        _libraries(text["duplicates"], name, duplicates),
        _lanes(next((one for one in stats if getattr(one, "sample_id", "") == name), None)),
    )


def _libraries(text: str, name: str, duplicates: Iterable[Asset]) -> list[dict[str, str]]:
    """Counts of each library of a sample, and within how many pixels its copies count as optical."""
    known = [one for one in duplicates if isinstance(one, DuplicateMetrics) and one.sample_id == name]
    within = f"{known[0].optical_distance:,}" if known and known[0].optical_distance else ""
    rows = [{**row, WITHIN: within} for row in read_duplication(text)]
    for row in rows:
        if all(row.get(name) == "0" for name in EXAMINED):
            row["PERCENT_DUPLICATION"] = ""  # Picard's 0 is a share of nothing
    return rows


def _lanes(stats: Asset | None) -> list[dict[str, str]]:
    """Reads of each read group, which lie beside the measures of the alignment."""
    beside = stats.companions if stats is not None else ()
    tables = [one for one in beside if dict(one.declared).get("table") == "read_groups"]
    return _rows(tables[0].path.read_text("utf-8")) if tables else []


def _rows(text: str) -> list[dict[str, str]]:
    heads, *rows = [line.split("\t") for line in text.splitlines()] or [[]]
    return [dict(zip((head.lstrip("#") for head in heads), row, strict=False)) for row in rows]


def _alignments(samples: Mapping[str, _Sample]) -> Iterator[str]:
    if not samples:
        return
    yield heading("Alignments", "Reads without secondary and supplementary alignments; depth without duplicates.")
    yield table([{"sample": name, **_measures(sample)} for name, sample in samples.items()])
    yield figures(_drawn({name: sample.stats for name, sample in samples.items() if sample.stats is not None}))
    yield from _contigs(samples)
    lanes = [{"sample": name, **row} for name, sample in samples.items() for row in sample.lanes]
    if len(lanes) > len(samples):
        yield heading("Lanes", "Reads by read group.")
        yield table([{key.replace("_", " "): _count(value) for key, value in row.items()} for row in lanes])
    libraries = [{"sample": name, **row} for name, sample in samples.items() for row in sample.duplicates]
    if libraries:
        yield heading("Duplicates", "By library, whose size is estimated from how many of its pairs are copies.")
        yield table([{shown: row.get(name, "") for name, shown in LIBRARY_COLUMNS.items()} for row in libraries])


def _drawn(stats: Mapping[str, AlignmentNumbers]) -> dict[str, str]:
    inserts = {name: _binned(_without_tail(one.insert_sizes)) for name, one in stats.items()}
    depths = {name: _without_tail(one.depths) for name, one in stats.items()}
    qualities = {name: one.qualities for name, one in stats.items()}
    gc = {name: _shares(one.gc) for name, one in stats.items()}
    return {
        "Insert sizes": html.lines(inserts, "bases", "share of pairs (%)"),
        "Depth": html.lines(depths, "reads over a base", "share of bases (%)"),
        "Base quality": html.lines(qualities, "cycle", "mean Phred score"),
        "GC content": html.lines(gc, "GC (%)", "share of reads (%)"),
    }


def _measures(sample: _Sample) -> dict[str, str]:
    shown: dict[str, str] = {}
    if sample.stats is not None:
        summary = sample.stats.summary
        reads = summary.get("raw total sequences", 0.0)
        shown["reads"] = f"{reads:,.0f}"
        for name in ("mapped", "properly paired", "duplicated"):
            shown[f"{name} (%)"] = _percent(summary.get(f"reads {name}", 0.0), reads)
        # Of nothing samtools says 0, as if no base were wrong.
        aligned, sizes = summary.get("bases mapped (cigar)", 0.0), sum(count for _, count in sample.stats.insert_sizes)
        shown["error rate (%)"] = f"{100 * summary.get('error rate', 0.0):.3f}" if aligned else ""
        shown["base quality"] = f"{summary.get('average quality', 0.0):.1f}" if reads else ""
        deviation = summary.get("insert size standard deviation", 0.0)
        shown["insert size"] = f"{summary.get('insert size average', 0.0):.0f} ± {deviation:.0f}" if sizes else ""
    if sample.coverage:
        bases = sum(int(row["endpos"]) for row in sample.coverage) or 1
        depth = sum(float(row["meandepth"]) * int(row["endpos"]) for row in sample.coverage) / bases
        shown["depth"] = f"{depth:.1f}"
        shown["covered (%)"] = _percent(sum(int(row["covbases"]) for row in sample.coverage), bases)
    return shown


def _count(text: str) -> str:
    return f"{int(text):,}" if text.isdecimal() else text


def _percent(part: float, whole: float) -> str:
    return f"{100 * part / whole:.2f}" if whole else ""


def _shown(value: float, digits: int) -> str:
    """A number, or nothing where it is none."""
    return "" if math.isnan(value) else f"{value:.{digits}f}"


def _shares(points: Points) -> list[tuple[float, float]]:
    total = sum(y for _, y in points) or 1
    return [(x, 100 * y / total) for x, y in points]


def _without_tail(points: Points, kept: float = 0.995) -> list[tuple[float, float]]:
    """Shares, up to where nearly all have been seen."""
    shares, seen = [], 0.0
    for x, share in _shares(points):
        seen += share
        shares.append((x, share))
        if seen >= 100 * kept:
            break
    return shares


def _binned(points: Points, most: int = 80) -> list[tuple[float, float]]:
    """Means over equally wide ranges, not many more than `most`."""
    width = len(points) // most + 1
    parts = [points[start : start + width] for start in range(0, len(points), width)]
    return [(sum(x for x, _ in part) / len(part), sum(y for _, y in part) / len(part)) for part in parts]


def _contigs(samples: Mapping[str, _Sample]) -> Iterator[str]:
    rows = next((sample.coverage for sample in samples.values() if sample.coverage), [])
    longest = sorted(rows, key=lambda row: -int(row["endpos"]))[:MOST_CONTIGS]
    names = [row["rname"] for row in rows if row in longest]
    if len(names) > 1:
        yield heading("Depth by contig", f"Mean depth over the {len(names)} longest contigs of {len(rows)}.")
        depths = {
            sample: {row["rname"]: f"{float(row['meandepth']):.1f}" for row in known.coverage}
            for sample, known in samples.items()
        }
        yield table([{"sample": one, **{name: found.get(name, "") for name in names}} for one, found in depths.items()])


def _variants(counted: Iterable[tuple[str, VariantNumbers]]) -> Iterator[str]:
    for name, numbers in counted:
        totals, ratio = numbers.totals, _shown(numbers.ts_tv, 2) or "unknown, without transversions"
        shown = (("records", "records"), ("SNPs", "SNVs"), ("indels", "indels"), ("multiallelic sites", "multiallelic"))
        counts = ", ".join(f"{totals.get(f'number of {key}', 0):,} {label}" for key, label in shown)
        yield heading(f"Variants of {name}", f"{counts}; transitions to transversions (Ti/Tv) {ratio}.")
        yield table([{"sample": sample, **_genotypes(row)} for sample, row in numbers.samples.items()])
        lengths = {f"{length:+g}": count for length, count in numbers.indel_lengths if abs(length) <= 20}
        yield figures(
            {
                "Substitutions": html.bars(numbers.substitutions, "", "SNVs"),
                "Lengths of indels": html.bars(lengths, "bases inserted (+) or deleted (−)", "indels"),
            }
        )


def _genotypes(row: Mapping[str, float]) -> dict[str, str]:
    het, hom = row.get("nHets", 0.0), row.get("nNonRefHom", 0.0)
    transversions = row.get("nTransversions", 0.0)
    return {
        "heterozygous SNVs": f"{het:,.0f}",
        "homozygous SNVs": f"{hom:,.0f}",
        "het/hom": f"{het / hom:.2f}" if hom else "",
        "Ti/Tv": f"{row.get('nTransitions', 0.0) / transversions:.2f}" if transversions else "",
        "indels": f"{row.get('nIndels', 0.0):,.0f}",
        "singletons": f"{row.get('nSingletons', 0.0):,.0f}",
        "missing": f"{row.get('nMissing', 0.0):,.0f}",
        "mean depth": f"{row.get('average depth', 0.0):.1f}",
    }


def _comparisons(comparisons: Iterable[VariantComparison]) -> Iterator[str]:
    for one in comparisons:
        yield heading(f"Calls of {one.sample_id} beside the truth", "Records that spell the same haplotypes agree.")
        if one.truth_symbolic or one.calls_symbolic:
            left_out = f"{one.truth_symbolic:,} of the truth and {one.calls_symbolic:,} of the calls"
            yield note(f"Records with symbolic alleles, such as <DEL>, were left out: {left_out}.")
        yield table([{key.replace("_", " "): value for key, value in row.items()} for row in one.rows()])
