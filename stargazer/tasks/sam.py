"""What several tasks do with BAM files."""

from __future__ import annotations

import gzip
import re
import struct
import zlib
from dataclasses import replace
from typing import TYPE_CHECKING

from stargazer.assets import Alignment, AlignmentIndex, Reference, ReferenceIndex, SequenceDict, Variants
from stargazer.config import cram_references
from stargazer.errors import DataError
from stargazer.tasks.engines import Engine, command
from stargazer.tasks.vcf import samples_of
from stargazer.tools import EMBEDDED
from stargazer.tools.workdir import LONGEST_OUTPUT

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from stargazer.tools import Workdir

__all__ = [
    "bam_header",
    "check_alignment",
    "check_blocks",
    "check_contigs",
    "check_gvcfs",
    "check_header",
    "check_lengths",
    "check_references",
    "check_sample",
    "is_long",
    "is_recalibrated",
    "libraries",
    "read_groups",
    "read_header",
    "sam_contigs",
    "sam_md5s",
    "sam_references",
    "sam_samples",
    "sort_options",
    "vcf_contigs",
    "with_index",
    "with_md5s",
]

SORT_MEMORY = "512M"
"""Memory of each thread of a sort; what does not fit goes to temporary files, the order is the same."""


def sort_options(work: Workdir) -> list[str | int]:
    """What every ``samtools sort`` is given."""
    return ["--no-PG", "-@", work.cpus - 1, "-m", SORT_MEMORY]


LONGEST_BAI = 1 << 29
"""Bases of a contig up to which the indices BAI and TBI reach; CSI has no such limit."""


def is_long(lengths: Iterable[int]) -> bool:
    """Whether a contig is longer than BAI and TBI can index."""
    return any(length > LONGEST_BAI for length in lengths)


def with_index(work: Workdir, alignment: Alignment, engine: Engine) -> Alignment:
    """A draft sorted by coordinate with its index as companion: BAI, CSI where a contig is too long for it, or CRAI."""
    form, option = ".crai", list[str]()
    if alignment.path.suffix == ".bam":
        csi = is_long(sam_contigs(bam_header(alignment.path)).values())
        form, option = (".csi", ["-c"]) if csi else (".bai", ["-b"])
    index = work.file(f"{alignment.path.name}{form}")
    work.run([*command("samtools", engine), "index", *option, alignment.path, index])
    return replace(alignment, companions=(AlignmentIndex(path=index, sample_id=alignment.sample_id),))


CRAM = b"CRAM"
REMOTE = re.compile(r"(?!file:)[A-Za-z][A-Za-z0-9+.-]*:", re.IGNORECASE)


def check_references(work: Workdir, alignment: Alignment, engine: Engine) -> None:
    """Refuse a CRAM whose header would make htslib read files or ask the network, where no reference is given.

    What its header names (UR) is read where the reference is found in no other way: a file of whoever reads it, or
    a page on the internet. A name under which there is nothing does no harm.

    Raises
    ------
    DataError
        It would; the setting ``stargazer.cram-references`` lets it.
    """
    with open(alignment.path, "rb") as file:
        if file.read(4) != CRAM or cram_references():
            return
    header = work.output([*command("samtools", engine), "view", "--no-PG", "-H", alignment.path])
    for place in dict.fromkeys(sam_references(header)):
        if REMOTE.match(place) or (work.path / place.removeprefix("file:")).exists():
            raise DataError(
                f"{alignment.path.name} says that its reference is {place}, which would be read here: convert it with "
                "convert_alignment, which takes the reference from you, or set stargazer.cram-references"
            )


def read_header(work: Workdir, alignment: Alignment, engine: Engine) -> str:
    """The header of an alignment; of a BAM that a task made it is read here, which spares a process.

    Raises
    ------
    DataError
        It has no read group.
    """
    if alignment.tool and alignment.path.suffix == ".bam":
        header = bam_header(alignment.path)
    else:
        header = work.output([*command("samtools", engine), "view", "--no-PG", "-H", alignment.path])
    if "\n@RG\t" not in f"\n{header}":
        raise DataError(
            f"{alignment.path.name} has no read groups, so its sample and library are unknown; align it anew"
        )
    return header


# What the headers of alignments and variants say, and whether it fits the reference.
#
# References
# ----------
# SAM/BAM format specification, https://samtools.github.io/hts-specs/SAMv1.pdf (section 1.3, the header);
# VCF 4.2, https://samtools.github.io/hts-specs/VCFv4.2.pdf


VCF_CONTIG = re.compile(
    r"^##contig=<ID=(?P<name>[^,>\n]++)(?:,(?:[^>\n]*,)?length=(?P<length>\d{1,18})(?!\d))?", re.MULTILINE
)
LENGTH = re.compile(r"\d{1,18}")


def _fields(header: str, kind: str) -> list[list[list[str]]]:
    """Tags and values of the lines of a kind; a line ends where htslib ends it, and not at other separators."""
    lines = (line.split("\t") for line in header.split("\n"))
    # What has no colon is no field: it says nothing that is asked for here.
    return [[f.split(":", 1) for f in fields if ":" in f] for tag, *fields in lines if tag == f"@{kind}"]


def _lines(header: str, kind: str) -> list[dict[str, str]]:
    """The same, each tag once: the first counts, as for htslib."""
    return [dict(reversed(fields)) for fields in _fields(header, kind)]


def sam_contigs(header: str) -> dict[str, int]:
    """Lengths of the contigs in a SAM header; `DataError` where one has no name or no length."""
    lines = _lines(header, "SQ")
    if wrong := [line for line in lines if not line.get("SN") or not LENGTH.fullmatch(line.get("LN", ""))]:
        raise DataError(f"the header has a contig without name or length: {str(wrong[0])[:80]}")
    return {line["SN"]: int(line["LN"]) for line in lines}


def sam_md5s(header: str) -> dict[str, str]:
    """MD5s of the contigs in a SAM header, of those that have one."""
    return {line["SN"]: line["M5"] for line in _lines(header, "SQ") if line.get("M5")}


def sam_references(header: str) -> list[str]:
    """Where the contigs in a SAM header say that their sequences are, of those that do; all that each names."""
    return [value for fields in _fields(header, "SQ") for tag, value in fields if tag == "UR" and value]


def sam_samples(header: str) -> set[str]:
    """Samples of the read groups in a SAM header."""
    return {line["SM"] for line in _lines(header, "RG") if "SM" in line}


def read_groups(header: str) -> list[str]:
    """IDs of the read groups in a SAM header."""
    return [line["ID"] for line in _lines(header, "RG") if line.get("ID")]


RECALIBRATE = ("applybqsr", "bqsrpipelinespark", "readspipelinespark", "tablerecalibration", "qualcalfilter")
"""What a @PG line has of programs that recalibrate base qualities: GATK 4 and 1, Sentieon. In GATK 3 PrintReads did."""


def is_recalibrated(header: str) -> bool:
    """Whether a SAM header says that base qualities were recalibrated."""
    return any(_recalibrates(line.lower()) for line in header.splitlines() if line.startswith("@PG\t"))


def _recalibrates(line: str) -> bool:
    """Looked for word by word: a pattern takes the square of a line's length where it holds one word many times."""
    at = line.find("printreads")
    return any(name in line for name in RECALIBRATE) or (at >= 0 and "bqsr" in line[at:])


def libraries(header: str) -> list[str]:
    """Libraries of the read groups in a SAM header, sorted.

    Raises
    ------
    DataError
        A read group does not say which library it is of.
    """
    groups = _lines(header, "RG")
    unknown = [group.get("ID", "?") for group in groups if not group.get("LB")]
    if unknown:
        raise DataError(f"read groups {', '.join(unknown)} name no library (LB), within which duplicates are marked")
    return sorted({group["LB"] for group in groups})


def vcf_contigs(header: str) -> dict[str, int]:
    """Lengths of the contigs in a VCF header; those without a length are left out."""
    return {line["name"]: int(line["length"]) for line in VCF_CONTIG.finditer(header) if line["length"]}


def with_md5s(header: str, dictionary: str) -> str:
    """A SAM header whose contigs have the MD5s of a sequence dictionary, those that had none."""
    known = sam_md5s(dictionary)
    lines = []
    for line in header.removesuffix("\n").split("\n"):
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


# Whether inputs belong together: alignments and their reference, gVCFs of one caller.
#
# References
# ----------
# SAM/BAM format specification, https://samtools.github.io/hts-specs/SAMv1.pdf (section 4.2, the BAM format)


MAGIC = b"BAM\1"


def bam_header(path: Path) -> str:
    """The text of a BAM's header.

    Raises
    ------
    DataError
        It is no BAM, or cut short.
    """
    try:
        with gzip.open(path) as file:
            magic, length = struct.unpack("<4si", file.read(8))
            if magic == MAGIC and not 0 <= length <= LONGEST_OUTPUT:
                raise DataError(f"{path.name} claims a header of {length:,} bytes: it is damaged, or made to harm")
            text = file.read(length) if magic == MAGIC else b""
    except (OSError, EOFError, struct.error, zlib.error) as error:
        raise DataError(f"{path.name} is no BAM, or damaged: {error}") from None
    if magic != MAGIC or len(text) < length:
        raise DataError(f"{path.name} is no BAM, or cut short; convert_alignment makes BAM of SAM and CRAM")
    return text.rstrip(b"\0").decode("utf-8", "replace")


def check_alignment(alignment: Alignment, ref: Reference) -> None:
    """Refuse an alignment to another reference: contigs, lengths and, where both tell them, MD5s must agree.

    Parameters
    ----------
    alignment
        BAM; of other formats nothing is checked here.
    ref
        FASTA with its index and dictionary.

    Raises
    ------
    DataError
        They do not fit, or the file is damaged.
    AssetError
        The reference lacks its index or its dictionary.
    """
    ref.companion(SequenceDict)
    check_lengths(ref.name, dict(ref.contigs))
    if alignment.path.suffix == ".bam":
        check_header(alignment.path.name, bam_header(alignment.path), ref)


def check_lengths(what: str, contigs: Mapping[str, int]) -> None:
    """Refuse contigs of which GATK cannot index a file.

    Raises
    ------
    DataError
        One is too long.
    """
    if long := [f"{name} ({length:,} bases)" for name, length in contigs.items() if is_long([length])]:
        raise DataError(
            f"{what} has contigs beyond {LONGEST_BAI:,} bases: {_some(long)}. GATK writes BAI and TBI, which end "
            "there; take engine='embedded' or 'native', which write CSI, or split the contigs"
        )


def check_blocks(work: Workdir, *alignments: Alignment) -> None:
    """Read BAMs that no task made once through: GATK does not look at the checksums of their blocks.

    Raises
    ------
    ToolFailed
        One is damaged or cut short; samtools says where.
    """
    for alignment in alignments:
        if alignment.path.suffix == ".bam" and not alignment.tool:
            work.run([*EMBEDDED, "samtools", "view", "--no-PG", "-c", "-@", work.cpus - 1, alignment.path])


def check_header(name: str, header: str, ref: Reference) -> None:
    """Refuse the header of an alignment to another reference; errors as of `check_alignment`.

    Parameters
    ----------
    name
        Name of the alignment, for the message.
    header
        As SAM.
    ref
        FASTA with its index and dictionary.
    """
    check_contigs(name, sam_contigs(header), ref)
    with ref.companion(SequenceDict).open("r") as file:
        known = sam_md5s(file.read())
    wrong = [contig for contig, md5 in sam_md5s(header).items() if known.get(contig, md5) != md5]
    if wrong:
        raise DataError(
            f"{name} was aligned to another sequence than {ref.name}: the MD5 of {wrong[0]} is "
            f"{sam_md5s(header)[wrong[0]]} in its header, {known[wrong[0]]} in the reference; align it to this one"
        )


def check_sample(name: str, header: str, sample: str) -> None:
    """Refuse the header of an alignment of another sample than its facts say.

    Raises
    ------
    DataError
        The read groups name another one, several, or none.
    """
    if sam_samples(header) != {sample}:
        raise DataError(f"{name} has reads of {sorted(sam_samples(header))}, but is said to be of {sample!r}")


def check_gvcfs(gvcfs: Sequence[Variants], caller: str) -> list[str]:
    """Check that gVCFs can be called together.

    Parameters
    ----------
    gvcfs
        What is to be joined.
    caller
        The caller whose gVCFs are wanted, as facts name it; ``"bcftools (pysam)"`` is bcftools.

    Returns
    -------
    list of str
        Their samples, in order, as the files name them.

    Raises
    ------
    DataError
        There are none, one is no gVCF or of another caller, its facts name other samples than the file, or a sample
        comes twice.
    """
    for gvcf in gvcfs:
        if gvcf.variant_type != "gvcf":
            raise DataError(f"a joint call takes gVCFs, but {gvcf!r} has variant_type {gvcf.variant_type!r}")
        if gvcf.caller.partition(" ")[0] not in ("", caller):
            raise DataError(
                f"{gvcf.name or gvcf.path.name} was called by {gvcf.caller}, and is to be joined by {caller}: gVCFs of "
                "different callers hold different likelihoods and are never mixed; call all samples with one engine"
            )
    said = [sample for gvcf in gvcfs for sample in (gvcf.source_samples or (gvcf.sample_id,))]
    _check_once(said)
    samples = [sample for gvcf in gvcfs for sample in samples_of(gvcf)]
    _check_once(samples)
    return samples


def _check_once(samples: Sequence[str]) -> None:
    if not samples or len(set(samples)) < len(samples):
        raise DataError(f"every sample of a cohort is wanted once, with its gVCF, not {list(samples)}")
