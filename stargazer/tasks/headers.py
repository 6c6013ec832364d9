"""What the headers of alignments and variants say, and whether it fits the reference.

References
----------
SAM/BAM format specification, https://samtools.github.io/hts-specs/SAMv1.pdf (section 1.3, the header);
VCF 4.2, https://samtools.github.io/hts-specs/VCFv4.2.pdf
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from stargazer.assets import Reference, ReferenceIndex
from stargazer.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

__all__ = [
    "check_contigs",
    "join_headers",
    "libraries",
    "sam_contigs",
    "sam_md5s",
    "sam_samples",
    "vcf_contigs",
    "with_md5s",
]

VCF_CONTIG = re.compile(r"##contig=<ID=(?P<name>[^,>]+)(?:,(?:[^>]*,)?length=(?P<length>\d+))?")


def _lines(header: str, kind: str) -> list[dict[str, str]]:
    lines = (line.split("\t") for line in header.splitlines())
    return [dict(field.split(":", 1) for field in fields) for tag, *fields in lines if tag == f"@{kind}"]


def sam_contigs(header: str) -> dict[str, int]:
    """Lengths of the contigs in a SAM header."""
    return {line["SN"]: int(line["LN"]) for line in _lines(header, "SQ")}


def sam_md5s(header: str) -> dict[str, str]:
    """MD5s of the contigs in a SAM header, of those that have one."""
    return {line["SN"]: line["M5"] for line in _lines(header, "SQ") if line.get("M5")}


def sam_samples(header: str) -> set[str]:
    """Samples of the read groups in a SAM header."""
    return {line["SM"] for line in _lines(header, "RG") if "SM" in line}


def libraries(header: str) -> list[str]:
    """Libraries of the read groups in a SAM header, sorted.

    Raises
    ------
    DataError
        A read group does not say which library it is of.
    """
    groups = _lines(header, "RG")
    unknown = [group["ID"] for group in groups if not group.get("LB")]
    if unknown:
        raise DataError(f"read groups {', '.join(unknown)} name no library (LB), within which duplicates are marked")
    return sorted({group["LB"] for group in groups})


def vcf_contigs(header: str) -> dict[str, int]:
    """Lengths of the contigs in a VCF header; those without a length are left out."""
    return {line["name"]: int(line["length"]) for line in VCF_CONTIG.finditer(header) if line["length"]}


def join_headers(headers: Sequence[str]) -> str:
    """One SAM header for the alignments of several lanes: the contigs of the first, the read groups of all.

    Raises
    ------
    DataError
        The lanes were aligned to different references, or two different read groups have one ID.
    """
    contigs = [[line for line in header.splitlines() if line.startswith("@SQ")] for header in headers]
    if any(lane != contigs[0] for lane in contigs):
        raise DataError("the lanes were aligned to different references: their contigs differ; align them to the same")
    groups = [line for header in headers for line in header.splitlines() if line.startswith("@RG")]
    unique = list(dict.fromkeys(groups))
    ids = [line["ID"] for line in _lines("\n".join(unique), "RG")]
    if len(set(ids)) < len(ids):
        raise DataError(f"different read groups share an ID: {', '.join(unique)}; give each lane a name of its own")
    return "".join(f"{line}\n" for line in ("@HD\tVN:1.6\tSO:unsorted\tGO:query", *contigs[0], *unique))


def with_md5s(header: str, dictionary: str) -> str:
    """A SAM header whose contigs have the MD5s of a sequence dictionary, those that had none."""
    known = sam_md5s(dictionary)
    lines = []
    for line in header.splitlines():
        name = next((field[3:] for field in line.split("\t") if field.startswith("SN:")), "")
        lacking = line.startswith("@SQ\t") and "\tM5:" not in line and name in known
        lines.append(f"{line}\tM5:{known[name]}\n" if lacking else f"{line}\n")
    return "".join(lines)


def check_contigs(what: str, found: Mapping[str, int], ref: Reference) -> None:
    """Refuse data that belongs to another reference.

    Parameters
    ----------
    what
        Name of the data, for the message.
    found
        Its contigs and their lengths.
    ref
        The reference, with its ReferenceIndex beside it.

    Raises
    ------
    DataError
        A contig is not in the reference, or has another length there.
    AssetError
        The reference has no index.
    """
    with ref.companion(ReferenceIndex).open("r") as index:
        known = {fields[0]: int(fields[1]) for fields in (line.split("\t") for line in index)}
    wrong = [f"{name} ({length} bases)" for name, length in found.items() if known.get(name) != length]
    if wrong or not found:
        raise DataError(
            f"{what} does not belong to reference {ref.name}: {_some(wrong) or 'it has no contigs'}; "
            f"the reference has {_some([f'{name} ({length} bases)' for name, length in known.items()])}"
        )


def _some(names: Iterable[str], most: int = 3) -> str:
    shown = list(names)
    return ", ".join(shown[:most]) + (f" and {len(shown) - most} more" if len(shown) > most else "")
