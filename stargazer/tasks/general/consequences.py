"""Names and consequences of variants: ids and INFO of other VCFs, and what variants do to proteins.

References
----------
Danecek P, McCarthy SA. BCFtools/csq: haplotype-aware variant consequences. Bioinformatics 33, 2037-2039 (2017).
bcftools(1), https://samtools.github.io/bcftools/bcftools.html (annotate, csq)
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from stargazer.assets import Asset, KnownSites, Reference, ReferenceIndex, Variants, VariantsIndex
from stargazer.calls import task
from stargazer.errors import DataError
from stargazer.tasks.engines import Engine, command, tools
from stargazer.tasks.sam import is_long
from stargazer.tasks.vcf import samples_of, vcf_lines
from stargazer.tools import Workdir

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["annotate_variants", "list_consequences", "predict_consequences"]

SILENT = ("synonymous", "intron", "non_coding", "3_prime_utr", "5_prime_utr", "intergenic")
"""Consequences that change no protein; a table of consequential variants leaves them out."""

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
        Names of INFO to take (``"CLNSIG"``, ``"AF"``); from each file those that it has. Ids are always taken.
    engine
        Where bcftools comes from.

    Returns
    -------
    Variants
        VCF with the facts of the input; its index is a companion.

    Raises
    ------
    DataError
        None of the files has one of the names.
    """
    bcftools, wanted = command("bcftools", engine), list(info or ())
    seen: set[str] = set()
    current = vcf.path
    for number, site in enumerate(known, 1):
        source, output = work.file(f"known{number}.vcf.gz"), work.file(f"annotated{number}.vcf.gz")
        work.run([*bcftools, "view", "--no-version", "-Oz", "-o", source, site.path])
        work.run([*bcftools, "index", "-t", source])
        there = [name for name in wanted if _has_info(source, name)]
        seen.update(there)
        columns = ",".join(["ID", *(f"INFO/{name}" for name in there)])
        work.run([*bcftools, "annotate", "--no-version", "-a", source, "-c", columns, "-Oz", "-o", output, current])
        work.run([*bcftools, "index", "-t", output])
        current = output
    if missing := [name for name in wanted if name not in seen]:
        names = ", ".join(site.name for site in known)
        raise DataError(f"INFO {', '.join(missing)} is in none of the files {names or '(there are none)'}")
    return _made(work, ref, vcf, current, "annotated", engine)


def _has_info(vcf: Path, name: str) -> bool:
    lines = (line for line in vcf_lines(vcf) if line.startswith("##INFO=<ID="))
    return any(line.startswith(f"##INFO=<ID={name},") for line in lines)


@task(memory=["1 GiB", "4 GiB"], tools=tools("bcftools"))
def predict_consequences(
    work: Workdir, ref: Reference, vcf: Variants, genes: Asset, *, engine: Engine = "embedded"
) -> Variants:
    """Predict what variants do to proteins, neighbouring ones of a haplotype together (``bcftools csq``).

    Parameters
    ----------
    work
        The scratch directory.
    ref
        FASTA with its index.
    vcf
        VCF with its index.
    genes
        GFF3 as Ensembl writes it, compressed or not, with the names of contigs that the reference has.
    engine
        Where bcftools comes from.

    Returns
    -------
    Variants
        VCF with BCSQ in INFO and of each sample; its index is a companion.

    Raises
    ------
    ToolFailed
        The GFF3 is not one of Ensembl's kind.
    """
    output = work.file("consequences.vcf.gz")
    fasta, fai = work.file(ref.name), work.file(f"{ref.name}.fai")
    fasta.symlink_to(ref.path)
    fai.symlink_to(ref.companion(ReferenceIndex).path)
    options = ["--no-version", "--phase", "a", "--local-csq", "--ncsq", "64"]
    work.run(
        [*command("bcftools", engine), "csq", *options, "-f", fasta, "-g", genes.path, "-Oz", "-o", output, vcf.path]
    )
    return _made(work, ref, vcf, output, "csq", engine)


def _made(work: Workdir, ref: Reference, vcf: Variants, written: Path, kind: str, engine: Engine) -> Variants:
    """A draft with the facts of what it was made from, and its index."""
    bcftools, output = command("bcftools", engine), work.file(f"{vcf.sample_id or 'variants'}.{kind}.vcf.gz")
    output.unlink(missing_ok=True)
    work.run([*bcftools, "view", "--no-version", "-Oz", "-o", output, written])
    form, option = (".csi", "-c") if is_long(dict(ref.contigs).values()) else (".tbi", "-t")
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
        change, and the INFO that is there of known variants (CLNSIG, AF).
    """
    samples = samples_of(vcf)
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
    contig, position, name, ref, alts, _, _, info, _, *genotypes = line.split("\t")
    values = dict(field.partition("=")[::2] for field in info.split(";"))
    told = [one.split("|") for one in values.get("BCSQ", "").split(",") if one and not one.startswith("@")]
    strong = [one for one in told if not all(kind.startswith(SILENT) for kind in one[0].lstrip("*").split("&"))]
    if not strong:
        return
    gene, kinds = strong[0][1] if len(strong[0]) > 1 else "", ",".join(dict.fromkeys(one[0] for one in strong))
    change = next((one[5] for one in strong if len(one) > 5 and one[5]), "")
    more = ";".join(f"{key}={value}" for key, value in values.items() if key.startswith("CLN") or key == "AF")
    for sample, field in zip(samples, genotypes, strict=True):
        genotype = field.partition(":")[0]
        if any(allele not in ("0", ".") for allele in genotype.replace("|", "/").split("/")):
            yield sample, f"{contig}\t{position}\t{name}\t{ref}\t{alts}\t{genotype}\t{gene}\t{kinds}\t{change}\t{more}"
