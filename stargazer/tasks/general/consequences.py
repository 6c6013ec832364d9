"""Names and consequences of variants: ids and INFO of other VCFs, and what variants do to proteins.

References
----------
Danecek P, McCarthy SA. BCFtools/csq: haplotype-aware variant consequences. Bioinformatics 33, 2037-2039 (2017).
bcftools(1), https://samtools.github.io/bcftools/bcftools.html (annotate, csq)
"""

from __future__ import annotations

import itertools
import re
from dataclasses import replace
from typing import TYPE_CHECKING

from stargazer.assets import Asset, KnownSites, Reference, ReferenceIndex, Variants, VariantsIndex
from stargazer.calls import task
from stargazer.errors import DataError
from stargazer.tasks.engines import Engine, command, norm_commands, tools
from stargazer.tasks.regions import bed_text, other_names
from stargazer.tasks.sam import is_long
from stargazer.tasks.vcf import has_records, samples_of, vcf_lines
from stargazer.tools import Workdir

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

__all__ = ["annotate_variants", "genes_problem", "info_names", "list_consequences", "predict_consequences"]

SILENT = ("synonymous", "intron", "non_coding", "3_prime_utr", "5_prime_utr", "intergenic")
"""Consequences that change no protein; a table of consequential variants leaves them out."""

GFF_COLUMNS = 9
PLACES = "places.bed"
"""The reference's contigs."""
KINDS = {"GTF": 'gene_id "', "GENCODE": "gene_type=", "Ensembl": "biotype="}
"""By what the attributes of genes tell who wrote them."""
MOST_NAMES = 1000
INFO = re.compile(r"##INFO=<ID=([^,>]+)")
UNNAMED = re.compile(r"[^A-Za-z0-9_.]+")
CLINICAL = ("CLNSIG", "CLNDN", "CLNREVSTAT")

COLUMNS = ("contig", "position", "id", "ref", "alt", "genotype", "gene", "consequence", "change")


@task(memory="1 GiB", tools=tools("bcftools"))
def annotate_variants(
    work: Workdir,
    ref: Reference,
    vcf: Variants,
    known: list[KnownSites],
    *,
    info: list[str] | None = None,
    engine: Engine = "embedded",
) -> Variants:
    """Take ids and INFO of the same alleles from other VCFs, such as those of ClinVar, dbSNP or gnomAD.

    Each allele gets a record of its own first, left-aligned, on both sides: what is known of one must not be told of
    another that happens to stand in its line, and an indel is the same one wherever in its repeat it is written.

    Parameters
    ----------
    work
        The scratch directory.
    ref
        FASTA with its index.
    vcf
        VCF with its index.
    known
        VCFs of known variants, sorted by position.
    info
        Names of INFO to take (``"CLNSIG"``, ``"AF"``); from each file those that it has. Ids are always taken, beside
        those that are there. A name that means something else already, such as the cohort's own AF, or that another
        file gave, becomes ``RESOURCE_AF``.
    engine
        Where bcftools comes from.

    Returns
    -------
    Variants
        VCF with the facts of the input, one allele in each record; its index is a companion.

    Raises
    ------
    DataError
        None of the files has one of the names.
    """
    bcftools, wanted = command("bcftools", engine), list(info or ())
    seen: set[str] = set()
    current = work.file("alleles.vcf.gz")
    fasta = _linked(work, ref)
    work.file(PLACES).write_text("".join(f"{name}\t0\t{length}\n" for name, length in ref.contigs), "utf-8")
    alone: list[str | int | Path] = ["-m", "-any", "-c", "w", "-f", fasta]
    work.pipe(*norm_commands(engine, [*alone, vcf.path], ["-o", current, "-"]))
    _, option = _index_form(ref)
    work.run([*bcftools, "index", option, current])
    for number, site in enumerate(known, 1):
        source, output = work.file(f"known{number}.vcf.gz"), work.file(f"annotated{number}.vcf.gz")
        sites = _of_contigs(work, site, f"{fasta.name}.fai", engine)
        if not has_records(sites):
            there_are = ", ".join(name for name, _ in ref.contigs[:3])
            work.warn(f"{site.name} tells nothing: it has no record on a contig of the reference ({there_are}, …)")
        there = _infos(sites)
        names = {name: _free_name(name, site, current) for name in wanted if name in there}
        stages: list[list[str | int | Path]] = [[*bcftools, "view", "--no-version", "-G", "-Ou", sites]]
        if not there <= names.keys():  # what is not wanted may be malformed, which splitting would not forgive
            kept = ",".join(f"^INFO/{name}" for name in names) or "INFO"
            stages.append([*bcftools, "annotate", "--no-version", "-x", kept, "-Ou", "-"])
        work.pipe(*stages, *norm_commands(engine, [*alone, "-"], ["-o", source, "-"]))
        work.run([*bcftools, "index", option, source])
        for name, other in names.items():
            if other != name:
                work.warn(f"INFO {name} of {site.name} is called {other}: there is another {name} in the variants")
        seen.update(names)
        columns = ",".join(["=ID", *(f"INFO/{other}:=INFO/{name}" for name, other in names.items())])
        work.run([*bcftools, "annotate", "--no-version", "-a", source, "-c", columns, "-Oz", "-o", output, current])
        work.run([*bcftools, "index", option, output])
        current = output
    if missing := [name for name in wanted if name not in seen]:
        names_of = ", ".join(site.name for site in known)
        raise DataError(f"INFO {', '.join(missing)} is in none of the files {names_of or '(there are none)'}")
    return _made(work, ref, vcf, current, "annotated", engine)


def _of_contigs(work: Workdir, site: KnownSites, index: str, engine: Engine) -> Path:
    """Known sites on the reference's contigs, which their header names: those of ClinVar and dbSNP name none."""
    bcftools, found, named = command("bcftools", engine), work.file("found.vcf.gz"), work.file("named.vcf.gz")
    work.run([*bcftools, "view", "--no-version", "-T", work.file(PLACES), "-Oz", "-o", found, site.path])
    work.run([*bcftools, "reheader", "--fai", work.file(index), "-o", named, found])
    return named


def _index_form(ref: Reference) -> tuple[str, str]:
    """End and option of an index: TBI, but CSI where a contig is too long for it."""
    return (".csi", "-c") if is_long(dict(ref.contigs).values()) else (".tbi", "-t")


def _infos(vcf: Path) -> set[str]:
    """Names of INFO in the header of a VCF."""
    header = itertools.takewhile(lambda line: line.startswith("##"), vcf_lines(vcf))
    return {found[1] for line in header if (found := INFO.match(line))}


def _free_name(name: str, site: KnownSites, vcf: Path) -> str:
    """What INFO of known sites is called in a VCF: as it is, but not as what is there and means something else."""
    there = _infos(vcf)
    if name not in there:
        return name
    resource = UNNAMED.sub("_", site.resource_name or site.name.partition(".")[0]) or "known"
    prefix = resource if resource[0].isalpha() else f"known_{resource}"
    wanted = (f"{prefix}{number}_{name}" for number in ("", *range(2, MOST_NAMES)))
    return next(other for other in wanted if other not in there)


@task(memory=["1 GiB", "4 GiB"], tools=tools("bcftools"))
def predict_consequences(
    work: Workdir, ref: Reference, vcf: Variants, genes: Asset, *, engine: Engine = "embedded"
) -> Variants:
    """Predict what variants do to proteins, each by itself: which of them share a haplotype is not known.

    Parameters
    ----------
    work
        The scratch directory.
    ref
        FASTA with its index.
    vcf
        VCF with its index.
    genes
        GFF3 as Ensembl writes it, compressed or not, with the names of contigs that the reference has: transcripts with
        ``biotype=``, and coding sequences.
    engine
        Where bcftools comes from.

    Returns
    -------
    Variants
        VCF with BCSQ in INFO and of each sample; its index is a companion.

    Raises
    ------
    DataError
        Its genes are on none of the reference's contigs; it has no coding sequences; it is GTF, or GENCODE's.
    ToolFailed
        The GFF3 is not one of Ensembl's kind.
    """
    output, fasta = work.file("consequences.vcf.gz"), _linked(work, ref)
    _check_genes(genes, dict(ref.contigs))
    options = ["--force", "--no-version", "--phase", "a", "--local-csq", "--ncsq", "64"]
    work.run(
        [*command("bcftools", engine), "csq", *options, "-f", fasta, "-g", genes.path, "-Oz", "-o", output, vcf.path]
    )
    if has_records(output) and not any(not line.startswith("#") and "BCSQ=" in line for line in vcf_lines(output)):
        work.warn(f"no variant has a consequence: {genes.name} has no genes there, or is no GFF3 as Ensembl writes it")
    return _made(work, ref, vcf, output, "csq", engine)


def _linked(work: Workdir, ref: Reference) -> Path:
    """The reference under its bare name: bcftools writes into the VCF where it found it."""
    fasta, fai = work.file(ref.name), work.file(f"{ref.name}.fai")
    fasta.symlink_to(ref.path)
    fai.symlink_to(ref.companion(ReferenceIndex).path)
    return fasta


def _check_genes(genes: Asset, lengths: Mapping[str, int]) -> None:
    """Refuse genes of another reference, and files from which nothing would follow; contigs may lack genes."""
    named: set[str] = set()
    coding = False
    kinds: set[str] = set()
    for number, line in enumerate(bed_text(genes.path), 1):
        if line.startswith("##FASTA"):
            break
        if line.strip() and not line.startswith("#"):
            fields = line.rstrip("\r\n").split("\t")
            if len(fields) != GFF_COLUMNS:
                told = f"{genes.name}, line {number} has {len(fields)} columns, and GFF3 has {GFF_COLUMNS}"
                raise DataError(f"{told}, with tabs between them: {line.rstrip()!r:.60}")
            named.add(fields[0])
            coding = coding or fields[2] == "CDS"
            kinds.update(kind for kind, mark in KINDS.items() if mark in fields[8])
    if not named & lengths.keys():
        first = min(named, default="nothing")
        raise DataError(f"{genes.name} has genes on none of the reference's contigs: {other_names(first, lengths)}")
    if "GTF" in kinds:
        raise DataError(f"{genes.name} is GTF; give the same genes as GFF3, which Ensembl has beside it")
    if "GENCODE" in kinds and "Ensembl" not in kinds:
        raise DataError(
            f"{genes.name} is GENCODE's GFF3, which calls biotypes otherwise; take Ensembl's, or convert it with "
            "gff2gff.py of bcftools"
        )
    if not coding:
        raise DataError(f"{genes.name} has no coding sequences (CDS), so nothing is known of proteins")


def genes_problem(genes: Asset, lengths: Mapping[str, int]) -> str:
    """What is wrong with genes, as `predict_consequences` would say; empty if nothing is."""
    try:
        _check_genes(genes, lengths)
    except DataError as error:
        return str(error)
    return ""


def info_names(vcf: Path) -> set[str]:
    """Names of INFO that a VCF has."""
    return _infos(vcf)


def _made(work: Workdir, ref: Reference, vcf: Variants, written: Path, kind: str, engine: Engine) -> Variants:
    """A draft with the facts of what it was made from, and its index."""
    bcftools, output = command("bcftools", engine), work.file(f"{vcf.sample_id or 'variants'}.{kind}.vcf.gz")
    output.unlink(missing_ok=True)
    work.run([*bcftools, "view", "--no-version", "-Oz", "-o", output, written])
    form, option = _index_form(ref)
    index = work.file(f"{output.name}{form}")
    work.run([*bcftools, "index", option, "-o", index, output])
    made = replace(vcf, path=output, cid=None, name=output.name, source=None)
    return replace(made, companions=(VariantsIndex(path=index, sample_id=vcf.sample_id),))


@task
def list_consequences(work: Workdir, vcf: Variants) -> list[Asset]:
    """Write a table of the variants that change a protein, one for each sample.

    Parameters
    ----------
    work
        The scratch directory.
    vcf
        What `predict_consequences` made.

    Returns
    -------
    list of Asset
        ``SAMPLE.consequences.tsv`` with the columns contig, position, id, ref, alt, genotype, gene, consequence and
        change, and the INFO that is there of known variants (CLNSIG, AF). Of a sample those consequences are told that
        its own alleles have.

    Raises
    ------
    DataError
        It has no samples.
    """
    samples = samples_of(vcf)
    if not samples:
        raise DataError(f"{vcf.name or vcf.path.name} has no samples, so nobody carries its variants")
    rows: dict[str, list[str]] = {name: ["\t".join((*COLUMNS, "info"))] for name in samples}
    for line in vcf_lines(vcf.path):
        if not line.startswith("#"):
            for name, row in _rows(line.rstrip("\n"), samples):
                rows[name].append(row)
    tables = []
    for name, lines in rows.items():
        table = work.file(f"{name}.consequences.tsv")
        table.write_text("\n".join(lines) + "\n", "utf-8")
        tables.append(Asset(path=table, table="consequences", sample_id=name))
    return tables


def _rows(line: str, samples: list[str]) -> Iterator[tuple[str, str]]:
    """Samples that carry a consequential allele of a record, and their rows."""
    contig, position, name, ref, alts, _, _, info, form, *genotypes = line.split("\t")
    values = dict(field.partition("=")[::2] for field in info.split(";"))
    told = [one.split("|") for one in values.get("BCSQ", "").split(",") if one]
    if not any(map(_is_strong, told)):
        return
    more = ";".join(f"{key}={value}" for key, value in values.items() if _is_told(key))
    for sample, field in zip(samples, genotypes, strict=True):
        columns = dict(zip(form.split(":"), field.split(":"), strict=False))
        genotype = columns.get("GT", ".")
        # Where no sample has a mask, nothing says whose they are: every carrier's.
        own = _numbers(columns.get("BCSQ", "")) if "BCSQ" in form.split(":") else range(len(told))
        strong = [told[number] for number in own if number < len(told) and _is_strong(told[number])]
        if strong and any(allele not in ("0", ".") for allele in genotype.replace("|", "/").split("/")):
            gene, kinds = (",".join(dict.fromkeys(each[place] for each in strong)) for place in (1, 0))
            change = next((one[5] for one in strong if len(one) > 5 and one[5]), "")
            yield sample, f"{contig}\t{position}\t{name}\t{ref}\t{alts}\t{genotype}\t{gene}\t{kinds}\t{change}\t{more}"


def _is_strong(told: Sequence[str]) -> bool:
    """Whether a consequence changes a protein; what stands with another variant (``@POS``) is told there."""
    kinds = told[0].lstrip("*").split("&")
    return not told[0].startswith("@") and not all(kind.startswith(SILENT) for kind in kinds)


def _is_told(key: str) -> bool:
    return key.startswith("CLN") or key == "AF" or key.endswith(("_AF", *(f"_{name}" for name in CLINICAL)))


def _numbers(mask: str) -> list[int]:
    """Which of a record's consequences a sample has.

    Source: bcftools csq, https://samtools.github.io/bcftools/bcftools.html#csq: a mask of the places in INFO/BCSQ, two
    bits each (one a haplotype), 30 bits to a number.
    """
    bits = [int(one) if one.isdecimal() else 0 for one in mask.split(",")]
    places = (15 * word + place // 2 for word, bit in enumerate(bits) for place in range(30) if bit >> place & 1)
    return sorted(set(places))
