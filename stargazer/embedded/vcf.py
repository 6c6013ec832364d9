"""VCF text put right: ``vcf`` writes the bases of REF and ALT in upper case.

References are lower-case where they are masked, and bcftools copies bases as they are there: ``g`` to ``gA``. Programs
that compare alleles as text take that for another variant than ``G`` to ``GA``.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]

SYMBOLIC = frozenset(b"<[]")
"""What alleles without sequence have, as ``<DEL>`` and ends of joined contigs."""


def main(argv: Sequence[str]) -> int:
    """``vcf``: copy VCF from stdin to stdout with alleles in upper case; symbolic ones stay as they are."""
    if argv:
        raise ValueError("takes no arguments: it filters stdin to stdout")
    target = sys.stdout.buffer
    target.writelines(line if line.startswith(b"#") else _upper(line) for line in sys.stdin.buffer)
    target.flush()
    return 0


def _upper(line: bytes) -> bytes:
    fields = line.split(b"\t", 5)
    if len(fields) < 6:
        return line
    fields[3] = fields[3].upper()
    if not SYMBOLIC.intersection(fields[4]):
        fields[4] = fields[4].upper()
    return b"\t".join(fields)
