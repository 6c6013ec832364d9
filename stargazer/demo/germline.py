"""The germline demonstration: files to a VCF, twice."""

from __future__ import annotations

import contextlib
import re
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import typer

from stargazer.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from distributed import Client

    from stargazer.assets import Asset, FilterChoice, Reference
    from stargazer.bio.variants import Comparison
    from stargazer.store import Store
    from stargazer.workflows import Lane
    from stargazer.workflows.calling import GermlineEngine
    from stargazer.workflows.sheet import SampleSheet

__all__ = ["Outcome", "Reads", "discover", "read_data", "simulate"]


@dataclass(frozen=True)
class Outcome:
    """What came of it.

    Parameters
    ----------
    vcf
        The VCF, stored.
    paths
        It and its index, on disk.
    records
        Lines of the VCF below its header.
    seconds, tasks_run
        Of the first run.
    second_seconds, tasks_run_second
        Of the second.
    accuracy
        Compared with the truth, where it is known.
    store
        URL of the store, where it is not the configured one.
    engine
        Where the tools came from.
    choice
        How GATK's variants were filtered, and what else is worth to know.
    """

    vcf: Asset
    paths: list[Path]
    records: int
    seconds: float
    tasks_run: int
    second_seconds: float
    tasks_run_second: int
    accuracy: Comparison | None
    store: str = ""
    engine: str = "embedded"
    choice: FilterChoice | None = None


def discover(
    reads: Reads, store: Store, workers: int | None, out: str | None, engine: GermlineEngine = "embedded"
) -> Outcome:
    """Call the variants of a cohort on a local Dask client, then do all of it once more.

    Parameters
    ----------
    reads
        The files.
    store
        Takes them in, and all that is made; it is the active one.
    workers
        Worker processes; one a core by default.
    out
        Directory for copies of the results.
    engine
        Where the tools come from.
    """
    from stargazer import config
    from stargazer.client import connect
    from stargazer.display import waiting
    from stargazer.store import Store

    with waiting("add the reads to the store"):
        reference, samples = _add(reads, store)
    with waiting("start the workers"):
        client = connect("local", workers=workers)
    with client:
        wired = reference, samples, client, engine, _sexes(reads)
        _, seconds, tasks_run = _run(*wired)
        (vcf, *told), second_seconds, tasks_run_second = _run(*wired)
    paths = _paths(store, vcf, out)
    lines, accuracy = _compare(reads, paths[0])
    given = "" if store == Store.open(config.store_url()) else store.url
    runs = seconds, tasks_run, second_seconds, tasks_run_second
    return Outcome(vcf, paths, lines, *runs, accuracy, given, engine, next(iter(told), None))


def _add(reads: Reads, store: Store) -> tuple[Reference, dict[str, list[Lane]]]:
    from stargazer.assets import R1, R2, Reference
    from stargazer.workflows import Lane, sheet_lanes

    add: Any = store.add
    reference = add(reads.reference, Reference(build=reads.build))
    if reads.sheet is not None:
        return reference, sheet_lanes(reads.sheet)
    samples = {
        sample: [Lane(add(r1, R1(sample_id=sample)), add(r2, R2(sample_id=sample)))]
        for sample, (r1, r2) in reads.samples.items()
    }
    return reference, samples


def _sexes(reads: Reads) -> dict[str, str]:
    """What a sheet says of them."""
    from stargazer.workflows.samples import sheet_sexes

    return sheet_sexes(reads.sheet) if reads.sheet is not None else {}


def _run(
    reference: Reference,
    samples: dict[str, list[Lane]],
    client: Client,
    engine: GermlineEngine,
    sexes: dict[str, str],
) -> tuple[Any, float, int]:
    """Wire the workflow and run it: the VCF and how it was filtered, seconds, number of tasks."""
    from stargazer.runs import run
    from stargazer.workflows import GatkOptions, call_cohort, index_reference
    from stargazer.workflows.gatk import call_with_gatk

    started = time.monotonic()
    indexed = index_reference(reference, engine=engine)
    if engine == "gatk":
        vcf, choice, _ = call_with_gatk(indexed, samples, "cohort", GatkOptions(sexes=sexes))
        flight = run([vcf, choice], client=client)
    else:
        flight = run([call_cohort(indexed, samples, "cohort", engine=engine, sexes=sexes)], client=client)
    return flight.result(), time.monotonic() - started, flight.tasks_run


def _paths(store: Store, vcf: Asset, out: str | None) -> list[Path]:
    from stargazer.store.copies import put_down

    if out is not None:
        return put_down(store, vcf, f"{out}/", force=True)
    path = store.fetch(vcf)
    return [path, *(path.with_name(each.name) for each in vcf.companions)]


def _compare(reads: Reads, vcf: Path) -> tuple[int, Comparison | None]:
    """Number of records in a VCF, and how well they agree with the truth."""
    import gzip

    from stargazer.bio.simulate.genome import read_fasta
    from stargazer.bio.variants import compare

    with gzip.open(vcf, "rt") as lines:
        records = sum(not line.startswith("#") for line in lines)
    if reads.truth is None:
        return records, None
    return records, compare(read_fasta(reads.reference), reads.truth, vcf)


# Reads of a cohort: a folder of a user's files, or simulated ones.


FASTA = re.compile(r"\.(fa|fasta|fna)(\.gz)?$")
FASTQ = re.compile(r"(?P<sample>.+)[._]R(?P<mate>[12])\.(fastq|fq)\.gz$")
READS = re.compile(r"\.(fastq|fq)(\.gz)?$")

SHEETS = (".csv", ".tsv", ".txt")

USUAL = (240_000, 30.0)
"""Bases of the simulated genome, and mean coverage."""

SMALL = (24_000, 15.0)
"""The same of the small one."""


class Reads(NamedTuple):
    """Files of a cohort.

    Parameters
    ----------
    reference
        FASTA.
    build
        What the reference is called.
    samples
        R1 and R2 of each sample; none where a sheet has them.
    what
        Where they come from, for people.
    truth
        VCF of the true genotypes, where they are known.
    """

    reference: Path
    build: str
    samples: dict[str, tuple[Path, Path]]
    what: str
    truth: Path | None = None
    sheet: SampleSheet | None = None

    @property
    def names(self) -> list[str]:
        """The samples."""
        return list(self.samples if self.sheet is None else self.sheet.samples)


def read_data(data: str, reference: str | None = None) -> Reads:
    """Find the FASTA and the reads of all samples.

    Parameters
    ----------
    data
        A folder with one FASTA, and ``SAMPLE_R1.fq.gz`` with ``SAMPLE_R2.fq.gz`` for each sample (``.fastq.gz`` too),
        or a sample sheet, with one FASTA beside it.
    reference
        Another FASTA.

    Raises
    ------
    DataError
        There is no FASTA, or several; no reads; a mate is missing; or the sheet has mistakes.
    """
    place = Path(data)
    if not place.exists():
        raise typer.BadParameter(f"{data} is not there", param_hint="--data")
    directory = place if place.is_dir() else place.parent
    if place.is_file() and place.suffix.lower() not in SHEETS:
        raise typer.BadParameter(f"{data} is no folder, and no sample sheet (.csv, .tsv)", param_hint="--data")
    if reference is not None and not Path(reference).is_file():
        raise typer.BadParameter(f"there is no file {reference}", param_hint="--reference")
    names = sorted(path.name for path in directory.iterdir() if path.is_file())
    fasta = Path(reference) if reference is not None else _reference(directory, names)
    build = FASTA.sub("", fasta.name)
    if place.is_file():
        from stargazer.workflows import read_sheet

        return Reads(fasta, build, {}, str(place), sheet=read_sheet(place))
    samples = {sample: (directory / r1, directory / r2) for sample, (r1, r2) in _pairs(directory, names).items()}
    return Reads(fasta, build, samples, str(directory))


def _reference(directory: Path, names: Iterable[str]) -> Path:
    found = [name for name in names if FASTA.search(name)]
    if not found:
        raise DataError(f"there is no FASTA in {directory}; put the reference there, as NAME.fa")
    if len(found) > 1:
        raise DataError(f"there are {len(found)} FASTA files in {directory} ({', '.join(found)}); leave one")
    return directory / found[0]


def _pairs(directory: Path, names: Iterable[str]) -> dict[str, tuple[str, str]]:
    mates: dict[str, dict[str, str]] = {}
    for name in names:
        if found := FASTQ.match(name):
            sample, mate = found["sample"], found["mate"]
            if mate in mates.setdefault(sample, {}):
                raise DataError(f"{directory} has {mates[sample][mate]} and {name}; leave one of them")
            mates[sample][mate] = name
        elif READS.search(name):
            raise DataError(f"{directory / name} is not named as reads are: SAMPLE_R1.fq.gz and SAMPLE_R2.fq.gz")
    if not mates:
        raise DataError(f"there are no reads in {directory}: they are named SAMPLE_R1.fq.gz and SAMPLE_R2.fq.gz")
    for sample, files in mates.items():
        if len(files) == 1:
            ((mate, name),) = files.items()
            raise DataError(f"{directory / name} has no mate: R{3 - int(mate)} of sample {sample!r} is missing")
    return {sample: (files["1"], files["2"]) for sample, files in mates.items()}


@contextlib.contextmanager
def simulate(*, small: bool = False) -> Iterator[Reads]:
    """Simulate a genome, three samples and their truth; the files go when the context ends."""
    from stargazer.bio.simulate import simulate_cohort
    from stargazer.display import waiting

    with tempfile.TemporaryDirectory(prefix="stargazer-demo-") as scratch:
        with waiting("simulate a genome and the reads of three samples"):
            length, depth = SMALL if small else USUAL
            cohort = simulate_cohort(Path(scratch), length=length, depth=depth)
        samples = {sample: lanes[0] for sample, lanes in cohort.reads.items()}
        what = f"simulated: {length:,} bases, {len(samples)} samples at {depth:.0f}×"
        yield Reads(cohort.reference, "simulated", samples, what, cohort.truth)
