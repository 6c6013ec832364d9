"""What several tasks do with VCF files."""

from __future__ import annotations

import gzip
import itertools
import zlib
from typing import TYPE_CHECKING, NamedTuple

from stargazer.assets import Variants, VariantsIndex
from stargazer.errors import AssetError, DataError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    Argument = str | int | Path

__all__ = [
    "BLOCK",
    "BLOCKED",
    "NO_COMMAND",
    "GvcfLine",
    "draft_variants",
    "gather_command",
    "has_records",
    "index_command",
    "need_indices",
    "samples_of",
    "spliced",
    "vcf_lines",
    "without_path",
]

NO_COMMAND = ("--add-output-vcf-command-line", "false")
"""GATK's header line with the command and the date would change the file's name; the record of the call says it."""


BLOCKED = (".gz", ".bgz")
"""Ends of the names of files that bgzip compressed; their index is a TBI."""


def draft_variants(
    vcf: Path, *, name: str, samples: Sequence[str], caller: str, build: str, kind: str = "vcf", mode: str = ""
) -> Variants:
    """A draft of a VCF with the index that its tool wrote beside it: ``.tbi`` for ``.vcf.gz``, else ``.idx``.

    Parameters
    ----------
    vcf
        The file.
    name
        The sample or cohort.
    samples
        Samples in it.
    caller
        What called them.
    build
        Name of the assembly.
    kind
        ``"vcf"`` or ``"gvcf"``.
    mode
        What a VQSR model filtered.
    """
    index = vcf.with_name(f"{vcf.name}{'.tbi' if vcf.suffix in BLOCKED else '.idx'}")
    return Variants(
        path=vcf,
        companions=(VariantsIndex(path=index, sample_id=name),),
        sample_id=name,
        caller=caller,
        variant_type=kind,
        build=build,
        vqsr_mode=mode,
        sample_count=len(samples),
        source_samples=tuple(samples),
    )


def need_indices(*variants: Variants) -> None:
    """Check that VCFs have their indices beside them.

    Raises
    ------
    AssetError
        One has none.
    """
    for one in variants:
        if not any(isinstance(companion, VariantsIndex) for companion in one.companions):
            raise AssetError(
                f"{one!r} has no index beside it; add it with its VariantsIndex, or make one with bcftools index"
            )


def vcf_lines(path: Path) -> Iterator[str]:
    """Lines of a VCF, compressed or not, whatever its name.

    Raises
    ------
    DataError
        It is damaged, or no text.
    """
    with path.open("rb") as raw:
        packed = raw.read(2) == b"\x1f\x8b"
    try:
        with gzip.open(path, "rt", encoding="utf-8") if packed else path.open(encoding="utf-8") as lines:
            yield from lines
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise DataError(f"{path.name} cannot be read as VCF: {error}") from error


def has_records(path: Path) -> bool:
    """Whether a VCF has anything below its header."""
    return any(not line.startswith("#") and line.strip() for line in vcf_lines(path))


def samples_of(vcf: Variants) -> list[str]:
    """Samples of a VCF, as the file has them.

    Raises
    ------
    DataError
        Its facts name others, or it has no line of columns.
    """
    name = vcf.name or vcf.path.name
    columns = next((line for line in vcf_lines(vcf.path) if not line.startswith("##")), "")
    if not columns.startswith("#CHROM\t"):
        raise DataError(f"{name} is no VCF: the line #CHROM is missing")
    found = columns.rstrip("\r\n").split("\t")[9:]
    said = vcf.source_samples or ((vcf.sample_id,) if vcf.variant_type == "gvcf" and vcf.sample_id else ())
    if said and sorted(said) != sorted(found):
        raise DataError(
            f"{name} is said to be of {', '.join(said)}, but the file has {', '.join(found) or 'no samples'}; "
            "add it with its own sample_id, or rename it with bcftools reheader -s"
        )
    return found


def without_path(index: bytes) -> bytes:
    """A Tribble index (``.idx``) with the bare name of the file that it indexes, and no time.

    GATK writes where the file lay and when it was changed. Nothing reads that.

    Source: https://github.com/samtools/htsjdk, htsjdk.tribble.index.AbstractIndex: magic, type and version, four bytes
    each; the path, ended by a zero byte; size and time of change of the file, eight bytes each.

    Raises
    ------
    DataError
        It is no such index.
    """
    if index[:4] != b"TIDX":
        raise DataError("the index is no Tribble index; GATK's IndexFeatureFile makes one")
    path, _, rest = index[12:].partition(b"\0")
    return index[:12] + path.rpartition(b"/")[2] + b"\0" + rest[:8] + bytes(8) + rest[16:]


def index_command(vcf: Path, index: Path) -> list[Argument]:
    """``IndexFeatureFile``."""
    return ["gatk", "IndexFeatureFile", "-I", vcf, "-O", index]


def gather_command(vcfs: Sequence[Path], output: Path) -> list[Argument]:
    """``GatherVcfs``; the index is made apart, for blocks are copied as they are."""
    return ["gatk", "GatherVcfs", *(word for vcf in vcfs for word in ("-I", vcf)), "-O", output]


# Parts of a gVCF that overlap, put together as if it had been called at once.
#
# A caller that begins or ends within a block of reference bases tells of a part of the block, and at the border of a
# deletion of bases that it would have passed over. So parts reach into each other, and each goes on in the next where
# both tell the same.


BLOCK = "<NON_REF>"
END = "END="


class GvcfLine(NamedTuple):
    """A record of a gVCF: its contig, its first and last base (1-based), and the line itself."""

    contig: str
    start: int
    end: int
    text: str

    @classmethod
    def of(cls, text: str) -> GvcfLine:
        """Read a line: a block tells its end, a variant has it from its reference allele."""
        contig, position, _, reference, alleles, _, _, info, *_ = text.split("\t", 8)
        start = int(position)
        if alleles == BLOCK and END in info:
            return cls(contig, start, int(info.partition(END)[2].partition(";")[0]), text)
        return cls(contig, start, start + len(reference) - 1, text)

    @property
    def is_block(self) -> bool:
        """Whether it tells of reference bases alone."""
        return self.text.split("\t", 5)[4] == BLOCK


def spliced(parts: Iterable[Iterable[str]], base: Callable[[str, int], str]) -> Iterator[str]:
    """The lines of consecutive parts below their headers, as one gVCF in which every base is told of once.

    Parameters
    ----------
    parts
        Lines of each part below its header, in order; neighbours may overlap.
    base
        The base of the reference at a place (contig; 1-based).

    Raises
    ------
    DataError
        A part has no records.
    """
    left: Iterator[GvcfLine] = iter(())
    for number, part in enumerate(parts, 1):
        right: Iterator[GvcfLine] = map(GvcfLine.of, part)
        first = next(right, None)
        if first is None:
            raise DataError(f"part {number} of the gVCF has no records; a gVCF tells of every base that was looked at")
        tail: list[GvcfLine] = []
        for line in left:
            if tail or (line.contig == first.contig and line.end >= first.start):
                tail.append(line)
            else:
                yield line.text
        right = itertools.chain([first], right)
        left = _joined(tail, right, base) if tail else right
    yield from (line.text for line in left)


def _joined(tail: Sequence[GvcfLine], right: Iterator[GvcfLine], base: Callable[[str, int], str]) -> Iterator[GvcfLine]:
    """The end of one part and the next."""
    last = max(line.end for line in tail)
    head, rest = [], right
    for line in right:
        if line.contig != tail[0].contig or line.start > last:
            rest = itertools.chain([line], right)
            break
        head.append(line)
    middle = (head[0].start + last) // 2
    places = {line: place for place, line in enumerate(head)}
    common = [(abs(line.start - middle), place) for place, line in enumerate(tail) if line in places]
    if common:
        place = min(common)[1]
        return itertools.chain(tail[:place], head[places[tail[place]] :], rest)
    return _merged(itertools.chain(tail, _untold(tail, head, base), rest), len(tail))


def _untold(tail: Sequence[GvcfLine], head: Sequence[GvcfLine], base: Callable[[str, int], str]) -> Iterator[GvcfLine]:
    """Variants where the part before has nothing but a deletion that reaches there, and blocks behind all of it."""
    last = max(line.end for line in tail)
    told = max(line.end if line.is_block else line.start for line in tail)
    for line in head:
        if not line.is_block and line.start > told:
            yield line
        elif line.is_block and line.end > last:
            yield _behind(line, last, base)


def _behind(line: GvcfLine, last: int, base: Callable[[str, int], str]) -> GvcfLine:
    """What is left of a block behind a base."""
    fields = line.text.split("\t")
    text = "\t".join([fields[0], str(last + 1), fields[2], base(fields[0], last + 1), *fields[4:]])
    return line._replace(start=last + 1, text=text)


def _merged(lines: Iterator[GvcfLine], count: int) -> Iterator[GvcfLine]:
    """The same lines; the last of so many and the next are one if they are blocks that tell the same."""
    yield from itertools.islice(lines, count - 1)
    one, other = next(lines), next(lines, None)
    if other is not None and one.is_block and other.is_block and one.end + 1 == other.start:
        fields, others = one.text.split("\t"), other.text.split("\t")
        if fields[8:] == others[8:] and one.contig == other.contig:
            fields[7] = others[7]
            one, other = one._replace(end=other.end, text="\t".join(fields)), None
    yield one
    if other is not None:
        yield other
    yield from lines
