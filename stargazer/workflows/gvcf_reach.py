"""How far a gVCF reaches: one part of several, given as the whole, leaves the genotypes of other contigs unknown.

Its first and its last records tell, as it is sorted; nothing between them is read.

References
----------
SAM/BAM format specification, https://samtools.github.io/hts-specs/SAMv1.pdf (section 4.1, BGZF)
"""

from __future__ import annotations

import gzip
import re
import zlib
from typing import TYPE_CHECKING

from stargazer.tasks.vcf import vcf_lines

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from pathlib import Path

__all__ = ["unreached"]

TAIL = 256 << 10
"""Bytes at the end that are read; a block of BGZF has at most 64 KiB."""

LEAST = 0.01
"""Share of the reference that a contig has which every sample has reads on."""

NOT_IN_ALL = frozenset(("chrY", "Y", "chrM", "chrMT", "MT", "M"))
BLOCK = re.compile(rb"\x1f\x8b\x08\x04")


def unreached(path: Path, lengths: Mapping[str, int], target: Collection[str] = ()) -> tuple[list[str], str, str]:
    """Contigs before the first record of a gVCF and after its last one; and those of these two.

    Parameters
    ----------
    path
        Sorted as the reference is.
    lengths
        Contigs of the reference, in its order.
    target
        Contigs that are asked about; if empty, all that have a hundredth of the reference, without Y and mitochondria.
    """
    first = next((line.partition("\t")[0] for line in vcf_lines(path) if not line.startswith("#")), "")
    last = _last_contig(path)
    order = {name: place for place, name in enumerate(lengths)}
    if first not in order or last not in order:
        return [], first, last
    least = LEAST * sum(lengths.values())
    asked = target or [name for name, length in lengths.items() if length >= least and name not in NOT_IN_ALL]
    return [name for name in asked if not order[first] <= order.get(name, order[first]) <= order[last]], first, last


def _last_contig(path: Path) -> str:
    with path.open("rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
        file.seek(max(0, file.seek(0, 2) - TAIL))
        data = file.read()
    lines = (_unpacked(data) if packed else data).splitlines()
    return next((line.partition(b"\t")[0].decode("utf-8", "replace") for line in reversed(lines) if line.strip()), "")


def _unpacked(data: bytes) -> bytes:
    """Blocks from the first whole one on."""
    for found in BLOCK.finditer(data):
        try:
            return gzip.decompress(data[found.start() :])
        except (OSError, EOFError, zlib.error):
            continue
    return b""
