"""Counts of variants that two sides agree on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stargazer.concordance.compare import Difference

__all__ = ["Accuracy", "Comparison", "SampleAccuracy"]


@dataclass(frozen=True)
class Accuracy:
    """Variants of one type, counted on each side in the records of that side.

    One variant may stand in two records of the calls and in one of the truth, so true positives have two numbers.

    Parameters
    ----------
    found
        Records of the truth that the calls spell, with their genotypes.
    missed
        The other records of the truth (false negatives).
    right
        Records of the calls that the truth spells, with their genotypes.
    wrong
        The other records of the calls (false positives).
    misgenotyped
        Records of both sides that are missed or wrong for their genotype alone: the other side has an allele of theirs.
    """

    found: int = 0
    missed: int = 0
    right: int = 0
    wrong: int = 0
    misgenotyped: int = 0

    def __add__(self, other: Accuracy) -> Accuracy:
        return Accuracy(
            self.found + other.found,
            self.missed + other.missed,
            self.right + other.right,
            self.wrong + other.wrong,
            self.misgenotyped + other.misgenotyped,
        )

    @property
    def precision(self) -> float:
        """Share of the calls that are right; 1 where there are none."""
        return self.right / (self.right + self.wrong) if self.right + self.wrong else 1.0

    @property
    def recall(self) -> float:
        """Share of the truth that was found; 1 where there is none."""
        return self.found / (self.found + self.missed) if self.found + self.missed else 1.0

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall."""
        both = self.precision + self.recall
        return 2 * self.precision * self.recall / both if both else 0.0

    @property
    def genotype_concordance(self) -> float:
        """Share of the records whose alleles the other side has that have its genotype too; 1 where there are none."""
        agreeing = self.found + self.right
        return agreeing / (agreeing + self.misgenotyped) if agreeing + self.misgenotyped else 1.0


class SampleAccuracy(NamedTuple):
    """Accuracy of one sample's SNVs (and MNVs) and of its indels."""

    snv: Accuracy
    indel: Accuracy


@dataclass(frozen=True)
class Comparison:
    """Accuracy of SNVs and of indels, of every sample and of all of them together.

    Parameters
    ----------
    samples
        By the truth's names of them.
    differences
        Every record that is missed or wrong, in the order of the genome.
    symbolic
        Records of the truth and of the calls that carry an allele without sequence, such as ``<DEL>``; not compared.
    """

    samples: Mapping[str, SampleAccuracy]
    differences: tuple[Difference, ...] = ()
    symbolic: tuple[int, int] = (0, 0)

    @property
    def snv(self) -> Accuracy:
        """Substitutions: of one base, or of several side by side."""
        return sum((each.snv for each in self.samples.values()), Accuracy())

    @property
    def indel(self) -> Accuracy:
        """All that changes the length."""
        return sum((each.indel for each in self.samples.values()), Accuracy())

    @property
    def total(self) -> Accuracy:
        """Both types."""
        return self.snv + self.indel
