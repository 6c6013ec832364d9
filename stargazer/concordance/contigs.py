"""Sequences of a FASTA, one contig at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from stargazer.errors import DataError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Contigs"]


class Contigs(Mapping[str, str]):
    """Contigs of a FASTA by name, in upper case; the last one that was read is kept.

    Parameters
    ----------
    fasta
        The file, not compressed or compressed by bgzip.
    index
        Its ``.fai``.

    Raises
    ------
    DataError
        It cannot be read.
    """

    def __init__(self, fasta: Path, index: Path) -> None:
        import pysam

        try:
            self._file: Any = pysam.FastaFile(str(fasta), filepath_index=str(index))
        except (OSError, ValueError) as error:
            raise DataError(f"{fasta.name} cannot be read as FASTA: {error}") from error
        self._last = ("", "")

    def __getitem__(self, contig: str) -> str:
        if self._last[0] != contig:
            if contig not in self._file.references:
                raise KeyError(contig)
            self._last = (contig, self._file.fetch(contig).upper())
        return self._last[1]

    def __iter__(self) -> Iterator[str]:
        return iter(self._file.references)

    def __len__(self) -> int:
        return len(self._file.references)
