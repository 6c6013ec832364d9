"""Parts of a gVCF put together, in lines made up for it."""

from __future__ import annotations

import itertools
import random

import pytest

from stargazer.errors import DataError
from stargazer.tasks.vcf import BLOCK, GvcfLine, spliced


def block(start: int, end: int, depth: int, contig: str = "c") -> str:
    return f"{contig}\t{start}\t.\tA\t{BLOCK}\t.\t.\tEND={end}\tGT:DP\t0/0:{depth}\n"


def variant(start: int, ref: str, alt: str, contig: str = "c") -> str:
    return f"{contig}\t{start}\t.\t{ref}\t{alt},{BLOCK}\t50\t.\tDP=9\tGT:DP\t0/1:9\n"


def base(contig: str, at: int) -> str:
    return "ACGT"[at % 4]


def together(*parts: list[str]) -> list[str]:
    return list(spliced(parts, base))


def test_parts_go_on_where_they_tell_the_same() -> None:
    whole = [block(1, 9, 5), variant(10, "A", "C"), block(11, 20, 7), block(21, 30, 8), block(31, 50, 2)]
    left = [*whole[:3], block(21, 24, 9)]  # its last block ends with the part
    right = [block(14, 20, 4), *whole[3:]]  # and its first begins with it
    assert together([*left[:3], block(21, 24, 9)], [variant(10, "A", "C"), *whole[2:]]) == whole
    with_ends = [*whole[:2], *whole[2:3], whole[3], block(31, 34, 3)]
    assert together(with_ends, right) == whole
    assert together(whole[:2], whole[2:]) == whole
    other = [block(1, 8, 3, contig="d")]
    assert together(with_ends, right, other) == [*whole, *other]


def test_a_block_longer_than_what_parts_have_in_common_is_one() -> None:
    assert together([block(1, 60, 0)], [block(40, 100, 0)], [block(80, 120, 0)]) == [block(1, 120, 0)]
    behind = f"c\t61\t.\t{base('c', 61)}\t{BLOCK}\t.\t.\tEND=100\tGT:DP\t0/0:1\n"
    assert together([block(1, 60, 0)], [block(40, 100, 1)]) == [block(1, 60, 0), behind]


def test_no_base_behind_a_deletion_is_told_of_twice() -> None:
    deletion = variant(8, "ACGTA", "A")
    right = [block(11, 14, 3), variant(15, "A", "T"), block(16, 20, 3)]
    cut = f"c\t13\t.\t{base('c', 13)}\t{BLOCK}\t.\t.\tEND=14\tGT:DP\t0/0:3\n"
    assert together([block(1, 7, 3), deletion], right) == [block(1, 7, 3), deletion, cut, *right[1:]]
    assert together([deletion], [block(9, 12, 3), *right[1:]]) == [deletion, *right[1:]]


def test_variants_within_a_deletion_that_reaches_over_the_cut_are_kept() -> None:
    left = [block(1, 94, 3), variant(95, "A" * 16, "A")]
    inside, reaching = variant(105, "A", "C"), variant(105, "A" * 20, "A")
    cut = f"c\t111\t.\t{base('c', 111)}\t{BLOCK}\t.\t.\tEND=120\tGT:DP\t0/0:3\n"
    assert together(left, [block(101, 104, 3), inside, block(106, 120, 3)]) == [*left, inside, cut]
    right = [block(101, 104, 3), reaching, block(125, 140, 3)]
    assert together(left, right) == [*left, *right[1:]]


def test_a_part_without_records_is_refused() -> None:
    with pytest.raises(DataError, match="part 2"):
        together([block(1, 9, 1)], [])


def a_gvcf(draw: random.Random) -> list[str]:
    lines, at = [], 1
    while at < 2_000:
        length = draw.choice((1, 3, 20, 60))
        if draw.random() < 0.3:
            lines.append(variant(at, "A" * (1 + length % 20), "C"))
            at += 1 + length % 20
        else:
            lines.append(block(at, at + length - 1, draw.randrange(40)))
            at += length
    return lines


def part_of(whole: list[str], start: int, end: int) -> list[str]:
    """What a caller tells of a part: blocks are cut and have another depth; variants belong where they start."""
    found = []
    for text in whole:
        line = GvcfLine.of(text)
        if line.is_block and line.start <= end and line.end >= start:
            inside = line.start >= start and line.end <= end
            found.append(text if inside else block(max(line.start, start), min(line.end, end), 99))
        elif not line.is_block and start <= line.start <= end:
            found.append(text)
    return found


@pytest.mark.parametrize("seed", range(30))
def test_overlapping_parts_give_the_whole(seed: int) -> None:
    draw = random.Random(seed)
    whole = a_gvcf(draw)
    last = GvcfLine.of(whole[-1]).end
    cuts = sorted(draw.sample(range(300, last - 300, 250), 3))
    edges = [0, *cuts, last]
    parts = [part_of(whole, a + 1 - 110 * (a > 0), b + 110 * (b < last)) for a, b in itertools.pairwise(edges)]
    assert together(*parts) == whole
