"""Which regions of X and Y a person has once, and not at all."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stargazer.tasks.scatter import Region, subtract

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["sex_regions"]

X, Y = ("chrX", "X"), ("chrY", "Y")
PSEUDOAUTOSOMAL = {
    156_040_895: ((10_000, 2_781_479), (155_701_382, 156_030_895)),
    155_270_560: ((60_000, 2_699_520), (154_931_043, 155_260_560)),
    154_259_566: ((0, 2_394_410), (153_925_834, 154_259_566)),
}
"""Regions of X that males have twice, by the length of X: GRCh38, GRCh37, T2T-CHM13 (0-based, half-open).

Source: Genome Reference Consortium, https://www.ncbi.nlm.nih.gov/grc/human; T2T-CHM13v2.0 analysis set.
"""
PSEUDOAUTOSOMAL_Y = {
    57_227_415: ((10_000, 2_781_479), (56_887_902, 57_217_415)),
    59_373_566: ((10_000, 2_649_520), (59_034_049, 59_363_566)),
    62_460_029: ((0, 2_458_320), (62_122_809, 62_460_029)),
}
"""The same of Y."""


def sex_regions(lengths: Mapping[str, int], sex: str) -> tuple[list[Region], list[Region]]:
    """Regions that a person of this sex has once, and not at all.

    Parameters
    ----------
    lengths
        Bases of each contig. X and Y are known by name and length: GRCh37, GRCh38, T2T-CHM13.
    sex
        ``"XX"`` or ``"XY"``; nothing is known of others.
    """
    x = [Region(name, 0, lengths[name]) for name in X if lengths.get(name) in PSEUDOAUTOSOMAL]
    y = [Region(name, 0, lengths[name]) for name in Y if lengths.get(name) in PSEUDOAUTOSOMAL_Y]
    if sex == "XX":
        return [], y
    if sex != "XY":
        return [], []
    twice = [Region(one.contig, *span) for one in x for span in PSEUDOAUTOSOMAL[one.end]]
    twice += [Region(one.contig, *span) for one in y for span in PSEUDOAUTOSOMAL_Y[one.end]]
    return subtract([*x, *y], twice), []
