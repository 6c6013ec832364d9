"""Reads of a cohort: a folder of a user's files, or simulated ones."""

from __future__ import annotations

import contextlib
import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import typer

from stargazer.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from stargazer.workflows.sheet import SampleSheet

__all__ = ["Reads", "read_data", "simulate"]

FASTA = re.compile(r"\.(fa|fasta|fna)(\.gz)?$")
FASTQ = re.compile(r"(?P<sample>.+)_R(?P<mate>[12])\.(fastq|fq)\.gz$")
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
    fasta = _unpacked(Path(reference)) if reference is not None else _reference(directory, names)
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
    return _unpacked(directory / found[0])


def _unpacked(fasta: Path) -> Path:
    if fasta.suffix == ".gz":
        raise DataError(f"{fasta} is compressed; unpack it first: gunzip -k {fasta}")
    return fasta


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
    from stargazer.display import waiting
    from stargazer.simulate import simulate_cohort

    with tempfile.TemporaryDirectory(prefix="stargazer-demo-") as scratch:
        with waiting("simulate a genome and the reads of three samples"):
            length, depth = SMALL if small else USUAL
            cohort = simulate_cohort(Path(scratch), length=length, depth=depth)
        samples = {sample: lanes[0] for sample, lanes in cohort.reads.items()}
        what = f"simulated: {length:,} bases, {len(samples)} samples at {depth:.0f}×"
        yield Reads(cohort.reference, "simulated", samples, what, cohort.truth)
