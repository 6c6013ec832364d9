"""Whether an alignment looks like what it is said to be: counts that are wrong where nothing has failed.

Wrong inputs seldom stop a tool. Mates of two libraries, a file of another species or a negative control are aligned
as well as they can be, and end in a VCF that looks like any other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["is_usable", "oddities", "read_flags"]

NOTHING, HARDLY = "There are no reads", "Hardly any read is mapped"

LEAST_MAPPED = 0.1
LEAST_PROPER = 0.1
MOST_ORPHANS = 0.5


def read_flags(flagstat: str) -> dict[str, int]:
    """Counts by name, passed and failed reads together, from what ``samtools flagstat -O tsv`` writes."""
    fields = (line.split("\t") for line in flagstat.splitlines())
    return {name: int(passed) + int(failed) for passed, failed, name in fields if passed.isdecimal()}


def oddities(flags: Mapping[str, int]) -> list[str]:
    """What is odd about an alignment, a sentence each, with the likely cause.

    Parameters
    ----------
    flags
        What `read_flags` gives.
    """
    reads, mapped = flags["primary"], flags["primary mapped"]
    if not reads:
        return [f"{NOTHING} (a negative control, or files that are empty?)."]
    if mapped < LEAST_MAPPED * reads:
        share = _percent(mapped, reads)
        return [f"{HARDLY}: {share} of {reads:,}; they are of another species, of a negative control, or bad."]
    found = []
    paired, proper = flags["paired in sequencing"], flags["properly paired"]
    if paired and proper < LEAST_PROPER * paired:
        found.append(
            f"Only {_percent(proper, paired)} of {paired:,} paired reads are in proper pairs: mates that do not belong "
            "together, or a library of another kind."
        )
    if (alone := abs(flags["read1"] - flags["read2"])) > MOST_ORPHANS * paired:
        found.append(f"{_percent(alone, paired)} of {paired:,} paired reads have no mate in the file.")
    if (alone := flags["singletons"]) > MOST_ORPHANS * (pairs := alone + flags["with itself and mate mapped"]):
        found.append(f"The mates of {_percent(alone, pairs)} of {pairs:,} mapped paired reads are not mapped.")
    return found


def is_usable(notes: Iterable[str]) -> bool:
    """Whether reads are worth calling, by what `oddities` said of them."""
    return not any(note.startswith((NOTHING, HARDLY)) for note in notes)


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f} %"
