"""A genome that imitates real sequence where it is hard: repeats, uneven GC, depleted CpG, a gap.

References
----------
International Human Genome Sequencing Consortium. Initial sequencing and analysis of the human genome.
Nature 409, 860-921 (2001): interspersed repeats (Alu 10.6 %, LINE1 17 % of bases), isochores, CpG at a fifth of
what its bases suggest, a microsatellite about every 2 kb.
Bailey JA et al. Recent segmental duplications in the human genome. Science 297, 1003-1007 (2002).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from stargazer.bio.simulate.draw import Draw

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = ["Genome", "genome_around", "imitate", "imitate_contigs", "read_fasta", "reverse_complement", "write_fasta"]

Genome = dict[str, str]
"""Sequence of each contig, in upper case."""

BASES = "ACGT"
COMPLEMENT = str.maketrans("ACGTN", "TGCAN")
LINE_WIDTH = 60

UNIQUE_MEAN = 600
"""Mean length of unique sequence between two repeats, in bases."""
CPG_KEPT = 0.22
DUPLICATION, DUPLICATION_IDENTITY = 3000, 0.975
GAP = 500
UNITS = ("A", "A", "A", "CA", "CA", "CA", "TA", "GA", "AAT", "AAAT", "AAAG", "GATA", "GGAA", "TTTTA", "CAG")


def reverse_complement(sequence: str) -> str:
    """The other strand, 5' to 3'."""
    return sequence.translate(COMPLEMENT)[::-1]


def _unique(draw: Draw, length: int) -> str:
    """Sequence of one isochore: GC between 36 and 54 %, few CpG."""
    gc = 0.36 + 0.18 * draw.uniform() ** 1.5
    weights = ((1 - gc) / 2, gc / 2, gc / 2, (1 - gc) / 2)
    bases: list[str] = ["A"]
    while len(bases) <= length:
        base = draw.weighted(BASES, weights)
        if base == "G" and bases[-1] == "C" and draw.uniform() > CPG_KEPT:
            base = "A"
        bases.append(base)
    return "".join(bases[1:])


def diverged(draw: Draw, sequence: str, divergence: float) -> str:
    """A copy with that share of its bases changed; every tenth change is a gap or an insertion of 1 to 5 bases."""
    copy: list[str] = []
    skip = 0
    for base in sequence:
        if skip:
            skip -= 1
        elif draw.uniform() >= divergence:
            copy.append(base)
        elif draw.uniform() < 0.05:
            skip = draw.between(0, 4)
        elif draw.uniform() < 0.05:
            copy.append(base + "".join(draw.one_of(BASES) for _ in range(draw.between(1, 5))))
        else:
            copy.append(draw.one_of(BASES.replace(base, "")))
    return "".join(copy)


class _Families(NamedTuple):
    """Consensus sequences of the interspersed repeats of one genome."""

    alus: tuple[str, ...]
    line: str


def _families(draw: Draw) -> _Families:
    arm = _unique(draw, 130)
    alu = arm + "A" * 6 + "TACA" + "A" * 8 + diverged(draw, arm, 0.15) + _unique(draw, 30)
    return _Families((alu, diverged(draw, alu, 0.05), diverged(draw, alu, 0.1)), _unique(draw, 6000))


def _alu(draw: Draw, families: _Families) -> str:
    return diverged(draw, draw.one_of(families.alus), 0.02 + 0.13 * draw.uniform()) + "A" * draw.between(8, 28)


def _line(draw: Draw, families: _Families) -> str:
    length = min(len(families.line), 300 + int(draw.exponential(700)))
    return diverged(draw, families.line[-length:], 0.03 + 0.17 * draw.uniform()) + "A" * draw.between(5, 20)


def _microsatellite(draw: Draw, families: _Families) -> str:
    unit = draw.one_of(UNITS)
    repeat = unit * draw.between(5 if len(unit) > 2 else 7, max(10, 36 // len(unit)))
    return repeat if draw.uniform() < 0.7 else diverged(draw, repeat, 0.04)


def _low_complexity(draw: Draw, families: _Families) -> str:
    rich = draw.one_of(("AAAT", "AAT", "GGGA", "CCCT"))
    return "".join(draw.one_of(rich) for _ in range(draw.between(30, 90)))


REPEATS = {_alu: 0.28, _line: 0.12, _microsatellite: 0.48, _low_complexity: 0.12}
"""Each kind of repeat and its share of the repeats, by number."""


def _contig(draw: Draw, families: _Families, length: int) -> str:
    pieces: list[str] = []
    size = 0
    while size < length:
        repeat = draw.weighted(tuple(REPEATS), tuple(REPEATS.values()))(draw, families)
        repeat = repeat if draw.uniform() < 0.5 else reverse_complement(repeat)
        pieces += [_unique(draw, 50 + int(draw.exponential(UNIQUE_MEAN))), repeat]
        size += len(pieces[-2]) + len(repeat)
    return "".join(pieces)[:length]


def _insert(sequence: str, place: int, piece: str) -> str:
    return sequence[:place] + piece + sequence[place:]


def imitate(length: int, seed: str) -> Genome:
    """A genome of two contigs with repeats, a segmental duplication between them and a gap of N.

    Parameters
    ----------
    length
        Bases in all, roughly; at least 20,000. Two thirds of them are on the first contig.
    seed
        The same seed gives the same genome.

    Returns
    -------
    Genome
        Contigs ``chr1`` and ``chr2``.
    """
    draw = Draw(f"genome {seed}")
    families = _families(draw)
    first, second = (_contig(draw, families, length * share // 3) for share in (2, 1))
    copied = first[len(first) // 4 :][: min(DUPLICATION, length // 20)]
    second = _insert(second, len(second) // 2, diverged(draw, copied, 1 - DUPLICATION_IDENTITY))
    return {"chr1": _insert(first, len(first) * 3 // 5, "N" * GAP), "chr2": second}


def imitate_contigs(lengths: Mapping[str, int], seed: str) -> Genome:
    """A genome of contigs of these lengths, without gaps.

    Parameters
    ----------
    lengths
        Bases by the name of the contig.
    seed
        The same seed gives the same genome.
    """
    draw = Draw(f"genome {seed}")
    families = _families(draw)
    return {name: _contig(draw, families, length) for name, length in lengths.items()}


def genome_around(real: Mapping[str, str], seed: str) -> Genome:
    """Real contigs and one imitated contig, four fifths as long as they are together, with a gap of N.

    Parameters
    ----------
    real
        Contigs of real sequence.
    seed
        Seed of the imitated contig.
    """
    draw = Draw(f"contig {seed}")
    imitated = _contig(draw, _families(draw), sum(map(len, real.values())) * 4 // 5)
    return {**real, "imitated": _insert(imitated, len(imitated) // 2, "N" * GAP)}


def read_fasta(path: Path) -> Genome:
    """Contigs of a FASTA file, in upper case."""
    contigs: dict[str, list[str]] = {}
    for line in path.read_text("ascii").splitlines():
        if line.startswith(">"):
            lines = contigs[line[1:].split()[0]] = []
        else:
            lines.append(line.strip().upper())
    return {name: "".join(lines) for name, lines in contigs.items()}


def write_fasta(genome: Mapping[str, str], path: Path) -> None:
    """Write contigs with 60 bases a line."""
    with open(path, "w", encoding="ascii", newline="\n") as file:
        for name, sequence in genome.items():
            lines = (sequence[start : start + LINE_WIDTH] for start in range(0, len(sequence), LINE_WIDTH))
            file.writelines(f"{line}\n" for line in (f">{name}", *lines))
