"""The germline demonstration: files to a VCF, twice."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from distributed import Client

    from stargazer.assets import Asset, FilterChoice, Reference
    from stargazer.cli.cohorts import Reads
    from stargazer.concordance import Comparison
    from stargazer.store import Store
    from stargazer.workflows import GatkOptions, Lane
    from stargazer.workflows.germline import GermlineEngine

__all__ = ["Outcome", "discover"]


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
        wired = reference, samples, client, engine, _options(reads, engine)
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


def _options(reads: Reads, engine: GermlineEngine) -> GatkOptions | None:
    """What a sheet says to GATK."""
    from stargazer.workflows import GatkOptions

    if engine != "gatk" or reads.sheet is None:
        return None
    return GatkOptions(sexes={name: sample.sex for name, sample in reads.sheet.samples.items() if sample.sex})


def _run(
    reference: Reference,
    samples: dict[str, list[Lane]],
    client: Client,
    engine: GermlineEngine,
    options: GatkOptions | None,
) -> tuple[Any, float, int]:
    """Wire the workflow and run it: the VCF and how it was filtered, seconds, number of tasks."""
    from stargazer.runs import run
    from stargazer.workflows import GatkOptions, call_cohort, index_reference
    from stargazer.workflows.gatk import call_with_gatk

    started = time.monotonic()
    indexed = index_reference(reference, engine=engine)
    if engine == "gatk":
        vcf, choice, _ = call_with_gatk(indexed, samples, "cohort", options or GatkOptions())
        flight = run([vcf, choice], client=client)
    else:
        flight = run([call_cohort(indexed, samples, "cohort", engine=engine)], client=client)
    return flight.result(), time.monotonic() - started, flight.tasks_run


def _paths(store: Store, vcf: Asset, out: str | None) -> list[Path]:
    from stargazer.cli.copies import put_down

    if out is not None:
        return put_down(store, vcf, f"{out}/", force=True)
    path = store.fetch(vcf)
    return [path, *(path.with_name(each.name) for each in vcf.companions)]


def _compare(reads: Reads, vcf: Path) -> tuple[int, Comparison | None]:
    """Number of records in a VCF, and how well they agree with the truth."""
    import gzip

    from stargazer.concordance import compare
    from stargazer.simulate.genome import read_fasta

    with gzip.open(vcf, "rt") as lines:
        records = sum(not line.startswith("#") for line in lines)
    if reads.truth is None:
        return records, None
    return records, compare(read_fasta(reads.reference), reads.truth, vcf)
