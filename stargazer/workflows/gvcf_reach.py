"""How far a gVCF reaches, and whether it is of the reference: what it tells nothing of leaves genotypes unknown.

That it is one part of several its first and its last records tell, as it is sorted; holes within it, and whether its
bases are those of the reference, the records between them.

References
----------
SAM/BAM format specification, https://samtools.github.io/hts-specs/SAMv1.pdf (section 4.1, BGZF)
"""

from __future__ import annotations

import gzip
import re
import zlib
from typing import TYPE_CHECKING, NamedTuple

from stargazer.errors import DataError
from stargazer.tasks.regions import Region, intersect
from stargazer.tasks.vcf import vcf_lines

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from pathlib import Path

    from stargazer.workflows.gvcf_records import Bases

__all__ = ["Reached", "reached", "unreached"]

TAIL = 256 << 10
"""Bytes at the end that are read; a block of BGZF has at most 64 KiB."""

LEAST = 0.01
"""Share of the reference that a contig has which every sample has reads on."""

LONG = 1000
"""Bases that a hole has at least which is told of where nobody says what was looked at."""

MANY = 0.1
"""Share of the reference from which on shorter holes are told, too: some are where there are no reads."""

LOOKS = 20
"""Places of a hole at which it is looked whether there is anything but N."""

SHOWN = 3
"""Places that are named."""

NOT_IN_ALL = frozenset(("chrY", "Y", "chrM", "chrMT", "MT", "M"))
BLOCK = re.compile(rb"\x1f\x8b\x08\x04")


class Reached(NamedTuple):
    """What the records of a gVCF tell.

    Parameters
    ----------
    problems
        Why it cannot be joined on this reference.
    notes
        What a person should know.
    """

    problems: list[str]
    notes: list[str]


def reached(
    path: Path, name: str, lengths: Mapping[str, int], bases: Bases | None, target: Sequence[Region]
) -> Reached:
    """Look at the records of a gVCF.

    Parameters
    ----------
    path
        Sorted as the reference is.
    name
        Of the reference.
    lengths
        Its contigs, in its order.
    bases
        Its bases, if they are at hand.
    target
        Regions that are asked about, in the order of the reference; if empty, contigs as for `unreached`.
    """
    from stargazer.workflows.gvcf_records import read_records

    missing, first, last = unreached(path, lengths, list(dict.fromkeys(one.contig for one in target)))
    try:
        told = read_records(path, lengths, bases)
    except DataError as error:
        return Reached([str(error)], [])
    problems = []
    if told.others:
        problems.append(
            f"was called on other bases than those of {name}: {told.other}, and {told.others:,} of {told.records:,} "
            "records that were looked at have another base; take the reference that it was called on, or call it anew"
        )
    if told.turned:
        problems.append(f"is not sorted: {told.turned}; sort it, with bcftools sort")
    if told.twice:
        problems.append(
            f"has a record twice: {told.twice}, with the same alleles, as parts that overlap have when they are put "
            "together; others would lose their genotypes there; take it out, with bcftools norm --rm-dup exact"
        )
    if told.blank:
        problems.append("has blank lines among its records, which no tool reads; take them out")
    if told.bare and told.bare == told.variants:
        problems.append("has no likelihoods (PL) of any variant, from which genotypes are made; call it anew")
    notes = [_missing_note(path.name, missing, first, last)] if missing else []
    if told.bare and not problems:
        notes.append(
            f"{path.name} has no likelihoods (PL) at {told.bare:,} of the {told.variants:,} records with variants that "
            "were looked at; there the genotypes of its sample are unknown"
        )
    if told.whole and not problems:
        holes = [one for one in told.holes if one.contig not in missing]
        kept = [one for one in target if one.contig not in missing]
        told_of = _target_note(path.name, kept, holes) if target else _hole_note(path.name, lengths, holes, bases)
        notes += [told_of] if told_of else []
    return Reached(problems, notes)


def _missing_note(gvcf: str, missing: Sequence[str], first: str, last: str) -> str:
    shown = ", ".join(missing[:SHOWN]) + (f" and {len(missing) - SHOWN} more" if len(missing) > SHOWN else "")
    reach = first if first == last else f"{first} to {last}"
    return (
        f"{gvcf} has records of {reach} alone, and the genotypes of its sample are unknown on {shown}: is it "
        "one of several parts?"
    )


def _target_note(gvcf: str, target: Sequence[Region], holes: Sequence[Region]) -> str:
    """What a person should know of a target of which a part is not told of; empty where nearly all is."""
    asked = [one for one in target if one.contig not in NOT_IN_ALL] or list(target)
    untold = {one: _size(intersect([one], holes)) for one in asked}
    nothing = [one for one, size in untold.items() if size == one.end - one.start]
    size, total = sum(untold.values()), _size(asked)
    if not nothing and size <= LEAST * total:
        return ""
    regions = f", and nothing at all of {len(nothing):,} of its {len(asked):,} regions" if nothing else ""
    where = _places(nothing or intersect(asked, holes))
    return (
        f"{gvcf} tells nothing of {size:,} of the {total:,} bases of the target{regions}: {where}; there the genotypes "
        "of its sample are unknown"
    )


def _hole_note(gvcf: str, lengths: Mapping[str, int], holes: Sequence[Region], bases: Bases | None) -> str:
    """What a person should know of long holes where nobody says what was looked at; empty where there are none."""
    asked = set(_in_all(lengths))
    inside = [one for one in holes if one.contig in asked]
    long = [one for one in inside if one.end - one.start >= LONG and _is_called(one, bases)]
    if not long:
        return _short_note(
            gvcf, [one for one in inside if one.end - one.start < LONG], sum(lengths[name] for name in asked)
        )
    longest = sorted(long, key=lambda one: one.start - one.end)
    return (
        f"{gvcf} tells nothing of {_size(long):,} bases, in {len(long):,} places of {LONG:,} and more: "
        f"{_places(longest)}; there the genotypes of its sample are unknown. If it is of exons or amplicons, give "
        "their BED as target"
    )


def _short_note(gvcf: str, holes: Sequence[Region], total: int) -> str:
    """What a person should know of holes that are short and many, such as of a gVCF whose blocks were taken out."""
    if _size(holes) <= MANY * total:
        return ""
    longest = sorted(holes, key=lambda one: one.start - one.end)
    return (
        f"{gvcf} tells nothing of {_size(holes):,} of {total:,} bases, in {len(holes):,} places: {_places(longest)}; "
        "there the genotypes of its sample are unknown. Are its blocks of reference bases there, with their END?"
    )


def _is_called(hole: Region, bases: Bases | None) -> bool:
    """Whether there is anything but N, as far as some places tell."""
    import numpy as np

    if bases is None or hole.contig not in bases.index:
        return True
    return bool(bases.at(hole.contig, np.linspace(hole.start, hole.end - 1, LOOKS).astype(np.int64)).any())


def _size(regions: Iterable[Region]) -> int:
    return sum(one.end - one.start for one in regions)


def _places(regions: Sequence[Region]) -> str:
    shown = [f"{one.contig}:{one.start + 1:,}-{one.end:,}" for one in regions[:SHOWN]]
    return ", ".join(shown) + (f" and {len(regions) - SHOWN:,} more" if len(regions) > SHOWN else "")


def _in_all(lengths: Mapping[str, int]) -> list[str]:
    """Contigs that every sample has reads on."""
    least = LEAST * sum(lengths.values())
    return [name for name, length in lengths.items() if length >= least and name not in NOT_IN_ALL]


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
    asked = target or _in_all(lengths)
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
