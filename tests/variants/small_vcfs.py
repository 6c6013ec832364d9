from __future__ import annotations

import gzip
from pathlib import Path

#                  0         1         2         3         4         5         6         7
#                  0123456789012345678901234567890123456789012345678901234567890123456789012345
GENOME = {"c": "ACGTACGGTTTTTCAGCATCATCATGGACCTGAAGTCCGATTAGCCATGCAATTGCCGGATACGTTAGCACGTATTGC", "d": "ACGTTGCAACGT"}


def write_vcf(path: Path, *records: str, samples: str = "s") -> Path:
    """A VCF of lines ``[CONTIG:]POS REF ALT [FILTER] GENOTYPE …``."""
    lines = ["##fileformat=VCFv4.2", '##FILTER=<ID=LowQual,Description="Low">']
    lines += [f"##contig=<ID={name},length={len(sequence)}>" for name, sequence in GENOME.items()]
    lines += ['##FORMAT=<ID=GT,Number=1,Type=String,Description="Genotype">']
    columns = "#CHROM POS ID REF ALT QUAL FILTER INFO" + (f" FORMAT {samples}" if samples else "")
    lines += [columns.replace(" ", "\t")]
    lines += ["\t".join(_fields(record)) for record in records]
    text = "\n".join(lines) + "\n"
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


def _fields(record: str) -> list[str]:
    at, ref, alt, *genotypes = record.split(" ")
    contig, _, position = at.rpartition(":")
    status = genotypes.pop(0) if genotypes and genotypes[0].isalpha() else "PASS"
    return [contig or "c", position, ".", ref, alt, ".", status, ".", *["GT"][: len(genotypes)], *genotypes]
