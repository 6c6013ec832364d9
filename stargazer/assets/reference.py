"""Reference genomes and the files that tools want beside them."""

from __future__ import annotations

from typing import ClassVar, NamedTuple

from stargazer.assets.asset import Asset
from stargazer.errors import AssetError, DataError

__all__ = ["AlignerIndex", "Contig", "Intervals", "Reference", "ReferenceIndex", "SequenceDict"]


class Contig(NamedTuple):
    """One sequence of a reference.

    Parameters
    ----------
    name
        Its name in the FASTA, up to the first blank.
    length
        Bases.
    """

    name: str
    length: int


class Reference(Asset):
    """A reference genome in FASTA.

    Parameters
    ----------
    build
        Name of the assembly, such as ``"GRCh38"``.
    """

    build: str = ""

    @property
    def contigs(self) -> tuple[Contig, ...]:
        """Names and lengths of its sequences, in the order of the file, from the companion ReferenceIndex.

        Raises
        ------
        AssetError
            There is no such companion: `samtools_faidx` makes it.
        DataError
            The index is malformed.
        """
        if not any(isinstance(companion, ReferenceIndex) for companion in self.companions):
            raise AssetError(f"{self!r} has no ReferenceIndex beside it; samtools_faidx makes one")
        with self.companion(ReferenceIndex).open("r") as index:
            return tuple(_contig(line, number) for number, line in enumerate(index, 1))


class ReferenceIndex(Asset):
    """The index of a FASTA (``.fai``): where each sequence begins.

    Parameters
    ----------
    build
        Name of the assembly.
    tool
        What made it, such as ``"samtools"``.
    reference_cid
        The FASTA.
    """

    companion_of: ClassVar[str] = "reference_cid"

    build: str = ""
    tool: str = ""
    reference_cid: str = ""


class SequenceDict(Asset):
    """A sequence dictionary (``.dict``): names, lengths and MD5s as a SAM header.

    Parameters
    ----------
    build
        Name of the assembly.
    tool
        What made it, such as ``"gatk"``.
    reference_cid
        The FASTA.
    """

    companion_of: ClassVar[str] = "reference_cid"

    build: str = ""
    tool: str = ""
    reference_cid: str = ""


class AlignerIndex(Asset):
    """An aligner's index of a reference; one asset a file, or a directory.

    Parameters
    ----------
    build
        Name of the assembly.
    aligner
        The program that reads it: ``"bwa"`` and ``"bwa-mem2"`` share file names, not formats.
    reference_cid
        The FASTA.
    """

    companion_of: ClassVar[str] = "reference_cid"

    build: str = ""
    aligner: str = ""
    reference_cid: str = ""


class Intervals(Asset):
    """Regions of a reference, as a BED file.

    Parameters
    ----------
    build
        Name of the assembly.
    reference_cid
        The FASTA.
    """

    build: str = ""
    reference_cid: str = ""


def _contig(line: str, number: int) -> Contig:
    """One line of a ``.fai``: name, length, offset, bases a line, bytes a line.

    Source: http://www.htslib.org/doc/faidx.html
    """
    name, _, rest = line.partition("\t")
    length = rest.partition("\t")[0]
    if not name or not length.isdecimal():
        raise DataError(
            f"line {number} of the reference index is malformed: {line!r:.60}; make it anew with samtools_faidx"
        )
    return Contig(name, int(length))
