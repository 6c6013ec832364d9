"""A first look at files of reads, alignments and variants: whether they are what a sample sheet says."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urljoin, urlsplit

from stargazer.config import cache_dir
from stargazer.embedded import fastq
from stargazer.errors import DataError
from stargazer.workflows.first_reads import Note, notes_on, problems_with
from stargazer.workflows.first_records import first_records, open_alignment, quiet

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from stargazer.bounded import Judge

__all__ = [
    "NoReads",
    "alignment_header",
    "alignment_order",
    "check_alignment",
    "check_gvcf",
    "check_reads",
    "first_of",
    "is_cut_short",
    "is_url",
    "local_copy",
]

FASTQ = re.compile(r"\.(fastq|fq)(\.gz)?$")
UNPACKED_BY = {
    ".ora": "Illumina's ORA: unpack it with orad",
    ".sra": "an archive of SRA: get the reads with fasterq-dump --split-files",
    ".spring": "Spring's form: unpack it with spring -d",
    ".bz2": "compressed by bzip2: unpack it, or compress it with gzip",
    ".xz": "compressed by xz: unpack it, or compress it with gzip",
    ".zst": "compressed by zstd: unpack it, or compress it with gzip",
    ".zip": "a zip archive: unpack it",
    ".tar": "an archive: unpack it",
    ".tgz": "an archive: unpack it",
    ".gpg": "encrypted: decrypt it with gpg -d",
    ".c4gh": "encrypted by Crypt4GH: decrypt it with crypt4gh decrypt",
    ".bcl": "raw data of a sequencer: BCL Convert makes FASTQ of them",
    ".cbcl": "raw data of a sequencer: BCL Convert makes FASTQ of them",
    ".md5": "a checksum, and not the file that it is of",
    ".fast5": "raw data of a nanopore: Dorado calls their bases",
    ".pod5": "raw data of a nanopore: Dorado calls their bases",
}
"""What files are that are sent in place of FASTQ, by the ends of their names, and what to do."""
URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+(::[^/]+)?://.+")
SIGNED = re.compile(r"(?<=\S)\?[^\s'\"]+")
"""What stands behind an address: it may be a secret."""
JOINED = ("gatk", "bcftools")
OTHER_CALLERS = re.compile(
    r"^##(?:source=)?[\"']?(?:SentieonCommandLine\.)?"
    r"(?P<name>DeepVariant|DeepTrio|DRAGEN|DNAscope|Clair3|Clairs?|freeBayes|strelka|octopus|Platypus|xAtlas|"
    r"PEPPER|Longshot|NanoCaller|GLnexus|WhatsHap|Edico|VarScan|VarDict|LoFreq|Manta|Mutect2)",
    re.IGNORECASE | re.MULTILINE,
)
"""What headers say of callers that are neither: ``##source=…``, or a line of their own such as ``##DRAGENVersion``."""

CONTROL = "a negative control, or a lane that failed"

FEW = 20
"""Reads of which both ends are hardly ever the same in all."""

BGZF_END = bytes.fromhex("1f8b08040000000000ff0600424302001b0003000000000000000000")
CRAM_ENDS = (
    bytes.fromhex("0f000000ffffffff0fe0454f4600000000010005bdd94f0001000606010001000100ee63014b"),
    bytes.fromhex("0b000000ffffffff0fe0454f460000000001000001000606010001000100"),
)
"""With what a BAM and a CRAM (3, 2.1) end that are whole.

Source: SAM/BAM format specification, https://samtools.github.io/hts-specs/SAMv1.pdf (section 4.1.2);
CRAM 3.0, https://samtools.github.io/hts-specs/CRAMv3.pdf (section 9)
"""


class NoReads(str):
    """A problem with a file that has no reads: no reason to stop, if others have some."""

    __slots__ = ()


def is_url(text: str) -> bool:
    """Whether a field of a sheet is an address, not a path."""
    return URL.fullmatch(text) is not None


def local_copy(url: str, judge: Judge | None = None) -> Path:
    """A copy of a file in the cache, under its own name; what is there already is not fetched again.

    Parameters
    ----------
    url
        Its address.
    judge
        Called with each address that is asked, and that a server leads to; see `stargazer.bounded.read_within`.

    Raises
    ------
    DataError
        It cannot be read: fsspec does not know the protocol, wants a package for it, does not find it, or may not.
    """
    import fsspec  # type: ignore[import-untyped]

    part = None
    try:
        system, path = fsspec.core.url_to_fs(url, **_judged(url, judge))
        key = hashlib.sha256(f"{url} {system.ukey(path)}".encode()).hexdigest()[:20]
        target = cache_dir() / "downloads" / key / _name_of(str(path))
        if not target.is_file():
            target.parent.mkdir(parents=True, exist_ok=True)
            part = target.with_name(f".{target.name}.{os.getpid()}")
            system.get_file(path, str(part))
            part.replace(target)
    except Exception as error:  # each protocol has a library with errors of its own
        if part is not None:
            part.unlink(missing_ok=True)
        raise DataError(SIGNED.sub("?…", f"{url} cannot be read: {error or type(error).__name__}")) from error
    return target


def _judged(url: str, judge: Judge | None) -> dict[str, Any]:
    """Options with which somebody judges each address to which a server leads.

    Names are looked up by who judges, and what they said is asked: a name server could else give two answers, one to be
    judged and another to be asked.
    """
    if judge is None or not url.lower().startswith(("http://", "https://")):
        return {}
    return _judging(url.partition(":")[0], judge)


def _judging(scheme: str, judge: Judge) -> dict[str, Any]:
    import aiohttp

    async def redirected(_: Any, __: Any, told: aiohttp.TraceRequestRedirectParams) -> None:
        headers = told.response.headers
        await asyncio.to_thread(judge, urljoin(str(told.url), headers.get("Location") or headers.get("URI") or ""))

    class Judged(aiohttp.abc.AbstractResolver):
        async def resolve(self, host: str, port: int = 0, family: Any = 0) -> list[Any]:
            found = await asyncio.to_thread(judge, f"{scheme}://{host}:{port}/")
            each = [await aiohttp.ThreadedResolver().resolve(address, port, family) for address in found or [host]]
            return [{**one, "hostname": host} for several in each for one in several]

        async def close(self) -> None:
            """Nothing is held."""

    async def client(**options: Any) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(connector=aiohttp.TCPConnector(resolver=Judged()), **options)

    traced = aiohttp.TraceConfig()
    traced.on_request_redirect.append(redirected)
    return {"client_kwargs": {"trace_configs": [traced]}, "get_client": client, "skip_instance_cache": True}


def _name_of(path: str) -> str:
    """Name of a file at an address, without what signs or asks behind it."""
    if path.startswith(("http://", "https://")):
        path = unquote(urlsplit(path).path)
    return Path(path.rstrip("/")).name


def check_reads(paths: Sequence[Path]) -> Iterator[str]:
    """Yield what is wrong with the FASTQ files of a lane, as far as their names and first records tell."""
    found, empty = [], []
    for path in paths:
        if problem := _absent(path):
            yield problem
        elif not FASTQ.search(path.name):
            yield f"{path} is {_other_form(path) or 'not named as FASTQ: .fastq.gz, .fq.gz, .fastq or .fq'}"
        elif _start(path)[:1] == b"<":
            yield f"{path} is a web page, as servers give it in place of a file that one may not have; get it again"
        else:
            try:
                found.append(list(itertools.islice(fastq.read_file(path), fastq.PROBE)))
            except (OSError, EOFError, ValueError) as error:
                if str(error) == f"{path.name} has no reads":
                    empty.append(NoReads(f"{path.name} has no reads, it is empty ({CONTROL})"))
                else:
                    yield f"{path} is no FASTQ: {error}"
    if len(empty) == len(paths):
        yield from empty[:1]
    elif empty:
        yield f"{empty[0].partition(' (')[0]}, and the other end has reads"
    if len(found) == 1 == len(paths) and fastq.is_interleaved(names := [read.name for read in found[0]]):
        yield (
            f"{paths[0]} has {names[0]!r} and {names[1]!r}, and so on: interleaved mates, where there is no "
            "fastq_2; give both ends as two files"
        )
    if len(found) == len(paths) and (twice := next(filter(None, map(_twice, found)), "")):
        yield (
            f"{paths[0]} has read {twice!r} twice among its first: interleaved mates; give "
            "both ends as two files, as seqtk seq -1 and -2 split them"
        )
    if len(found) == 2 and len(found[0]) >= FEW and len({tuple(read.sequence for read in each) for each in found}) == 1:
        yield f"{paths[0].name} and {paths[1].name} begin with the same reads: one end is given twice, not both"
    if len(found) == 2 and found[0][0].name != found[1][0].name:
        left, right = (reads[0].name for reads in found)
        yield (
            f"{paths[0].name} begins with read {left!r}, {paths[1].name} with {right!r}: they are no mates; "
            f"{fastq.apart(left, right)}"
        )
    if len(found) == len(paths):
        yield from problems_with([path.name for path in paths], found)
        yield from notes_on(found)


def _other_form(path: Path) -> str:
    name = path.name.lower()
    return next((told for end, told in UNPACKED_BY.items() if name.removesuffix(".gz").endswith(end)), "")


def first_of(path: Path) -> tuple[fastq.Read, ...]:
    """The first reads of a FASTQ file; none where it cannot be read."""
    try:
        return tuple(itertools.islice(fastq.read_file(path), FEW))
    except (OSError, EOFError, ValueError):
        return ()


def _twice(reads: Sequence[fastq.Read]) -> str:
    return next((one.name for one, other in itertools.pairwise(reads) if one.name == other.name), "")


def check_alignment(path: Path, sample: str, column: str = "") -> Iterator[str]:
    """Yield what is wrong with a BAM or CRAM file of a sample, as far as header, first records and end tell."""
    if problem := _absent(path) or _other_name(path, column):
        yield problem
        return
    if not _is_whole(path):
        yield f"{path} is cut short: the mark with which such files end is missing; get it again"
        return
    try:
        header = _header(path)
    except (OSError, ValueError) as error:
        yield f"{path} is neither BAM nor CRAM: {error}"
        return
    if not header.get("SQ"):
        yield (
            f"{path} has no contigs in its header: its reads are not aligned (uBAM); give them as FASTQ "
            "(fastq_1, fastq_2), as samtools fastq writes them"
        )
    groups = header.get("RG", [])
    samples = sorted({str(group.get("SM", "")) for group in groups})
    if not groups:
        yield f"{path} has no read groups, so its sample and library are unknown"
    elif samples != [sample]:
        yield f"{path} has reads of {', '.join(map(repr, samples))}, not of {sample!r}"
    if groups and not all(group.get("LB") for group in groups):
        yield f"{path} has a read group without library (LB), within which duplicates are marked"
    if header.get("SQ") and groups:
        yield from _record_problems(path)


def _other_name(path: Path, column: str) -> str:
    """Why a file cannot be what it is called: tools go by names, and facts by the column."""
    start = _start(path)
    form = "cram" if start == b"CRAM" else "bam" if start[:2] == b"\x1f\x8b" else ""
    if form and path.suffix in (".bam", ".cram") and path.suffix != f".{form}":
        return f"{path} is {form.upper()}, whatever its name says, and tools go by names; rename it"
    if form and column not in ("", form):
        return f"{path} is {form.upper()}; it belongs into the column {form}"
    return ""


def _start(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(4)


def _record_problems(path: Path) -> Iterator[str]:
    """What is wrong with an alignment, as far as its first records tell."""
    try:
        first = first_records(path)
    except (OSError, ValueError) as error:
        yield f"{path} is damaged: its records cannot be read ({error}); get it again"
        return
    if first.empty:
        yield NoReads(f"{path.name} has no reads ({CONTROL})")
    elif not first.aligned:
        yield NoReads(
            f"{path.name} has no aligned read ({CONTROL}; or a uBAM, whose reads are to be given as FASTQ, as "
            "samtools fastq writes them)"
        )
    if first.ungrouped:
        yield (
            f"{path} has reads without a read group of its header, such as {first.ungrouped!r}, so that their sample "
            "and library are unknown; samtools addreplacerg gives them one"
        )
    if first.twice:
        yield (
            f"{path} has read {first.twice!r} twice, the same end of it: a file that was merged with itself, or mates "
            "that are not marked as such; take the file that it was made of, or give its reads as FASTQ"
        )
    lowest, highest = first.qualities
    least, unlikely, above = (ord(letter) - 33 for letter in fastq.PHRED_64)
    if lowest < highest and least <= lowest and unlikely <= highest < above:
        yield (
            f"{path} has base qualities from {lowest} to {highest}: they were Phred+64 (Illumina 1.3 to 1.7), and each "
            "is 31 too good; get the reads with samtools fastq, convert them, as with seqtk seq -VQ64, and align anew"
        )
    if first.unplaced:
        yield Note(
            "aligned reads have no mapping quality (255): callers do not know which of them may belong elsewhere; "
            "reads of RNA have it so, too, as STAR writes them, and are called here as if they were of DNA"
        )
    if first.unread:
        yield f"{path} has reads without bases, such as {first.unread!r}; take the file that has them"
    elif first.unqualified:
        yield (
            f"{path} has reads without base qualities, such as {first.unqualified!r}: each error would count as a "
            "variant; take the file that has them"
        )


def check_gvcf(path: Path, sample: str) -> Iterator[str]:
    """Yield what is wrong with a gVCF of a sample, as far as its header tells."""
    if problem := _absent(path):
        yield problem
        return
    if is_cut_short(path):
        yield f"{path} is cut short: the mark with which such files end is missing; get it again"
        return
    import pysam

    try:
        with quiet(), pysam.VariantFile(str(path)) as file:
            samples, alleles, kinds = list(file.header.samples), set(file.header.alts), str(file.header)
            form, first = file.format, next(iter(file), None)
    except (OSError, ValueError, NotImplementedError) as error:
        yield f"{path} is no VCF, or not compressed by bgzip: {error}"
        return
    if first is None:
        yield NoReads(f"{path.name} has no records: nothing is known of its sample ({CONTROL})")
    if form == "BCF":
        yield f"{path} is a BCF; bcftools view -Oz makes a gVCF of it"
    if samples != [sample]:
        yield f"{path} is of {', '.join(map(repr, samples)) or 'no sample'}, not of {sample!r}"
    if not {"NON_REF", "*"} & alleles:
        yield f"{path} is no gVCF: it does not say what is known of sites without variants"
    elif (caller := caller_of(kinds)) not in JOINED:
        who = f"by {caller}, and" if caller else "neither by GATK nor by bcftools,"
        yield f"{path} was called {who} gVCFs of GATK and bcftools can be joined; give the reads, or the BAM"


def caller_of(header: str) -> str:
    """Who called a gVCF, as its header tells: ``"gatk"``, ``"bcftools"``, another by its name, or nobody who is known.

    Others write the symbols of these two, and numbers that mean something else: likelihoods of a network, or of another
    model of errors.
    """
    if other := OTHER_CALLERS.search(header):
        return other["name"]
    if "##ALT=<ID=NON_REF" in header:
        return "gatk"
    return "bcftools" if "##ALT=<ID=*" in header and "##FORMAT=<ID=PL" in header else ""


def alignment_order(path: Path) -> str:
    """Order of a BAM or CRAM: coordinate, queryname, unsorted, or empty where those of a read stand together.

    That by coordinate is believed where the first records are in it.
    """
    line: Any = _header(path).get("HD", {})
    order = line.get("SO", "unknown")
    if order == "coordinate" and first_records(path).turned:
        return "unsorted"
    if order in ("coordinate", "queryname"):
        return str(order)
    return "" if line.get("GO") == "query" else "unsorted"


def alignment_header(path: Path) -> str:
    """The header of a BAM or CRAM, as SAM."""
    with open_alignment(path) as file:
        return str(file.header)


def _header(path: Path) -> dict[str, Any]:
    with open_alignment(path) as file:
        return dict(file.header.to_dict())


def _is_whole(path: Path) -> bool:
    """Whether a BAM or CRAM ends as such files do; what is neither is none of this."""
    with path.open("rb") as file:
        start = file.read(4)
        file.seek(0, os.SEEK_END)
        file.seek(max(0, file.tell() - 64))
        end = file.read()
    if start == b"CRAM":
        return end.endswith(CRAM_ENDS)
    return start[:2] != b"\x1f\x8b" or end.endswith(BGZF_END)


def is_cut_short(path: Path) -> bool:
    """Whether a file of bgzip lacks the block with which such files end, as one that was cut between two blocks.

    Source: SAM/BAM format specification (section 4.1, BGZF: the extra field BC).
    """
    with path.open("rb") as file:
        start = file.read(16)
        file.seek(0, os.SEEK_END)
        file.seek(max(0, file.tell() - len(BGZF_END)))
        return start[:4] == b"\x1f\x8b\x08\x04" and start[12:14] == b"BC" and file.read() != BGZF_END


def _absent(path: Path) -> str:
    """Why a file cannot be looked at; empty if it can."""
    try:
        if not path.is_file():
            return f"{path} is a folder" if path.is_dir() else f"there is no file {path}"
        with path.open("rb"):
            return ""
    except OSError as error:  # a name that is too long, or a file of somebody else
        return f"{path} cannot be read: {error.strerror or error}"
