"""``stargazer germline``: from a sample sheet to a folder of results."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from stargazer.cli.options import JSON, STORE, chosen_profile, open_store, print_json, say

if TYPE_CHECKING:
    from stargazer.workflows.folder import Results

__all__ = ["germline"]

GermlineEngine = Literal["embedded", "native", "gatk"]


def germline(
    sheet: Annotated[str, typer.Argument(metavar="SHEET", help="Sample sheet: sample,lane,fastq_1,fastq_2 or bam …")],
    ref: Annotated[str, typer.Option(metavar="FASTA|BUILD", help="The reference: a file, or the name of a build.")],
    out: Annotated[str, typer.Option(metavar="DIR", help="The folder of the results.")],
    target: Annotated[str | None, typer.Option(metavar="BED", help="Exons or amplicons.")] = None,
    engine: Annotated[
        GermlineEngine,
        typer.Option(help="'gatk'; 'native' for bwa, samtools and bcftools on PATH; else what the package has."),
    ] = "embedded",
    on: Annotated[
        str | None, typer.Option(metavar="WHERE", help="A profile, as 'local' or 'slurm', or a scheduler's address.")
    ] = None,
    workers: Annotated[str | None, typer.Option(help="How many workers for --on: 4, or 0-10.")] = None,
    cohort: Annotated[str, typer.Option(metavar="NAME", help="Name of the cohort, and of its files.")] = "cohort",
    known_sites: Annotated[
        list[str] | None, typer.Option("--known-sites", metavar="[NAME=]VCF", help="Known variants, for GATK.")
    ] = None,
    filter_by: Annotated[
        Literal["auto", "hard", "vqsr", "none"], typer.Option("--filter", help="How GATK's variants are filtered.")
    ] = "auto",
    trim: Annotated[bool, typer.Option("--trim", help="Trim adapters and bad reads with fastp.")] = False,
    aligner: Annotated[Literal["bwa", "bwa-mem2"], typer.Option(help="What aligns reads.")] = "bwa",
    genes: Annotated[
        str | None, typer.Option(metavar="GFF3", help="Ensembl's genes, for consequences of variants.")
    ] = None,
    annotate: Annotated[
        list[str] | None, typer.Option("--annotate", metavar="[NAME=]VCF", help="Ids and INFO of known variants.")
    ] = None,
    info: Annotated[list[str] | None, typer.Option("--info", metavar="NAME", help="INFO to take from them.")] = None,
    stop_after: Annotated[
        Literal["preprocess"] | None, typer.Option("--stop-after", help="End with alignments that are ready.")
    ] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="A lane or sample without usable reads is an error.")
    ] = False,
    bam: Annotated[bool, typer.Option("--bam", help="Put alignments down as BAM in place of CRAM.")] = False,
    links: Annotated[bool, typer.Option("--links", help="Links into the store in place of copies.")] = False,
    store: STORE = None,
    json: JSON = False,
) -> None:
    """Call variants of a cohort, from a sample sheet to a folder of results.

    The sheet and its files are looked at beside the reference first: every mistake is told at once. Samples without
    usable reads are left out, and named. The folder has the joint calls, alignment and gVCF of each sample, a report of
    quality that marks samples, a manifest with CIDs, and a README.
    """
    from stargazer.client import connect
    from stargazer.workflows import CohortOptions, GatkOptions, ReadOptions
    from stargazer.workflows import germline as call_germline

    if Path(out).exists() and not Path(out).is_dir():
        raise typer.BadParameter(f"{out} is no folder", param_hint="--out")
    if on:
        chosen_profile(on, workers=workers)
    gatk = GatkOptions(filter=filter_by) if engine == "gatk" or filter_by != "auto" else None
    options = CohortOptions(
        cram=not bam,
        genes=genes,
        annotations=tuple(annotate or ()),
        info=tuple(info or ()),
        stop_after=stop_after or "",
        strict=strict,
        links=links,
    )
    with ExitStack() as stack:
        stack.enter_context(open_store(store))
        client = stack.enter_context(connect(on, workers=workers)) if on else None
        results = call_germline(
            sheet,
            ref,
            out,
            target=target,
            engine=engine,
            known_sites=known_sites,
            gatk=gatk,
            reads=ReadOptions(trim=trim, aligner=aligner),
            options=options,
            cohort_id=cohort,
            client=client,
        )
    if json:
        print_json(_as_json(results))
    else:
        say(_as_text(results))
    for name, why in results.left_out.items():
        say(f"stargazer: sample {name} was left out: {why}", err=True)
    sys.stderr.flush()


def _as_json(results: Results) -> dict[str, Any]:
    vcf, choice = results.vcf, results.choice
    told: dict[str, Any] = {"engine": results.engine}
    if vcf is not None:
        told["vcf"] = {"cid": vcf.cid, "path": str(results.out / f"{results.cohort_id}.vcf.gz")}
    told["samples"] = list(results.samples)
    if choice is not None:
        told["filter"] = {"method": choice.method, "reason": choice.reason, "notes": list(choice.notes)}
    told |= {"seconds": round(results.seconds, 3), "tasks_run": results.tasks_run, "out": str(results.out)}
    told |= {"left_out": dict(results.left_out), "marks": dict(results.marks), "notes": list(results.notes)}
    return told | {"files": {name: asset.cid for name, asset in results.files.items()}}


def _as_text(results: Results) -> str:
    from stargazer.display import plural, seconds_text

    rows = [("samples", ", ".join(results.samples)), ("engine", results.engine)]
    if results.choice is not None:
        rows.append(("filters", f"{results.choice.method} ({results.choice.reason})"))
    rows.append(("run", f"{plural(results.tasks_run, 'task')} in {seconds_text(results.seconds)}"))
    rows += [("look at", f"{name}: {'; '.join(marks)}") for name, marks in results.marks.items()]
    if results.vcf is not None:
        rows += [("VCF", str(results.out / f"{results.cohort_id}.vcf.gz")), ("CID", str(results.vcf.cid))]
    rows += [("report", str(results.out / "report" / f"{results.cohort_id}.qc.html")), ("folder", str(results.out))]
    return "\n".join(f"{name:<11} {value}" for name, value in rows)
