"""Changes of a sequence, without the bases around them that VCF writes along."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["Edit", "leftmost", "reach", "trimmed"]


class Edit(NamedTuple):
    """The bases from `start` to before `end`, counted from 0, become `alt`."""

    start: int
    end: int
    alt: str

    @property
    def first(self) -> int:
        """Where it begins, in halves of bases: an insertion lies between two of them."""
        return 2 * self.start + (self.end > self.start)

    @property
    def last(self) -> int:
        """Where it ends, in halves of bases."""
        return 2 * self.end - (self.end > self.start)


def trimmed(start: int, ref: str, alt: str) -> Edit:
    """An allele without the bases at its ends that do not change.

    Parameters
    ----------
    start
        First base of `ref`, counted from 0.
    ref, alt
        Different alleles.
    """
    end = start + len(ref)
    while ref and alt and ref[-1] == alt[-1]:
        ref, alt, end = ref[:-1], alt[:-1], end - 1
    shared = 0
    while shared < min(len(ref), len(alt)) and ref[shared] == alt[shared]:
        shared += 1
    return Edit(start + shared, end, alt[shared:])


def leftmost(sequence: str, edit: Edit) -> Edit:
    """The same change written as far to the left as it goes; other than pure insertions and deletions stay.

    References
    ----------
    Tan A, Abecasis GR, Kang HM. Unified representation of genetic variants. Bioinformatics 31, 2202-2204 (2015).
    """
    start, end, alt = edit
    if alt and start < end:
        return edit
    while start > 0 and sequence[start - 1] == (alt or sequence[start:end])[-1]:
        start, end = start - 1, end - 1
        alt = alt and alt[-1] + alt[:-1]
    return Edit(start, end, alt)


def reach(sequence: str, edit: Edit) -> tuple[int, int]:
    """First and last place over which a change can be written: an indel moves through the repeat that it lies in."""
    start, end, alt = edit
    if alt and start < end:
        return start, end
    if alt:
        right, unit = end, alt
        while right < len(sequence) and sequence[right] == unit[(right - end) % len(unit)]:
            right += 1
    else:
        right = end
        while right < len(sequence) and sequence[right] == sequence[right - (end - start)]:
            right += 1
    return leftmost(sequence, edit).start, right
