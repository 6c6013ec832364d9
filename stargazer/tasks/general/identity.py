"""Who the samples of a cohort are: sex, kinship, and what share of their reads is of others.

References
----------
Manichaikul A et al. Robust relationship inference in genome-wide association studies. Bioinformatics 26, 2867-2873
(2010).
"""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

from stargazer.assets import Contamination, ContigCounts, Identity, Intervals, Variants
from stargazer.bio.variants.kinship import Kinship, kinships, read_people, relation
from stargazer.calls import task
from stargazer.tasks.limits import (
    ENOUGH_SITES,
    PLAIN_LIMITS,
    Person,
    QCLimits,
    by_sample,
    is_said,
    is_told,
    pair_marks,
    person_marks,
    sex_of,
)
from stargazer.tasks.regions import X, Y, bed_text, parse_bed
from stargazer.tools import Workdir

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

__all__ = ["identify_samples"]

SHOWN = 5
"""Samples that are named in a sentence."""

OTHER = ("chrM", "MT", "M", "chrEBV")
LONG = 0.005
"""Share of the longest contig from which on a contig counts among the autosomes: scaffolds and decoys do not."""


@task(memory="1 GiB")
def identify_samples(
    work: Workdir,
    vcf: Variants | None,
    counts: list[ContigCounts],
    contaminations: list[Contamination],
    target: Intervals | None = None,
    *,
    cohort_id: str,
    sexes: dict[str, str] | None = None,
    patients: dict[str, str] | None = None,
    parents: dict[str, list[str]] | None = None,
    limits: QCLimits = PLAIN_LIMITS,
) -> Identity:
    """Tell sex, kinship and contamination of the samples of a cohort, and mark those that are not whom they are said.

    Parameters
    ----------
    work
        The scratch directory.
    vcf
        Joint calls of the cohort; without it, only sexes are told.
    counts
        Reads by contig of each sample.
    contaminations
        Shares of reads that are of others, of samples of which they were estimated.
    target
        BED file of what was captured, by which depths of chromosomes are compared.
    cohort_id
        Name of the cohort.
    sexes, patients, parents
        What is said of the samples: ``"XX"`` or ``"XY"``, whom they are from, the samples of father and mother.
    limits
        Beyond which a sample is marked.

    Returns
    -------
    Identity
        JSON of samples, pairs and marks, and of what the sheet says that could not be compared.

    Warns
    -----
    DataWarning
        What is said of a sample could not be compared: a sample that nobody looked at has no marks either.
    """
    people = read_people(vcf.path) if vcf is not None else {}
    names = dict.fromkeys((*(one.sample_id for one in counts), *people))
    said = {
        name: Person((sexes or {}).get(name, ""), (patients or {}).get(name, ""), tuple((parents or {}).get(name, ())))
        for name in names
    }
    captured = _captured(target)
    samples: dict[str, dict[str, Any]] = {}
    for name in names:
        found = next((one.path for one in counts if one.sample_id == name), None)
        x, y = _shares(found, captured) if found is not None else (math.nan, math.nan)
        alien = next((one for one in contaminations if one.sample_id == name), None)
        share = alien.share if alien is not None and not math.isnan(alien.share) else None
        told = {"sex": sex_of(x, y, limits), "x": x, "y": y, "contamination": share}
        samples[name] = told | {"sites": alien.sites if alien is not None else 0, "said": said[name].sex}
    pairs = kinships(people)
    marks = [
        (name, mark) for name, one in samples.items() for mark in person_marks(one, said.get(name, Person()), limits)
    ]
    marks += [each for pair in pairs for each in pair_marks(pair, said, limits)]
    marked = by_sample(marks)
    untold = list(_untold(samples, pairs, said))
    for one in untold:
        work.warn(one)
    told = {"samples": samples, "pairs": [{**one._asdict(), "relation": _relation(one)} for one in pairs]}
    table = work.file(f"{cohort_id}.identity.json")
    table.write_text(json.dumps(_plain({**told, "marks": marked, "untold": untold}), indent=1) + "\n", "utf-8")
    return Identity(path=table, sample_id=cohort_id, source_samples=tuple(samples), marked=tuple(marked))


def _untold(
    samples: Mapping[str, Mapping[str, Any]], pairs: Iterable[Kinship], said: Mapping[str, Person]
) -> Iterator[str]:
    """What is said of samples and could not be compared."""
    if names := [name for name, one in samples.items() if said[name].sex and not one["sex"]]:
        why = "there are no reads of them, or reference or target lack X, Y or the other chromosomes"
        yield f"the sex that the sheet says was not compared with the reads of {_listed(names)}: {why}"
    for pair in pairs:
        if is_said(pair, said) and not is_told(pair):
            yield (
                f"whether {pair.one} and {pair.another} are related as the sheet says was not compared: too few of "
                f"their common sites are heterozygous ({pair.sites:,}; wanted are {ENOUGH_SITES}, some of each)"
            )


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN:,} more" if len(names) > SHOWN else "")


def _relation(pair: Kinship) -> str:
    """How two samples are related; empty where too few sites tell."""
    return relation(pair.kinship) if is_told(pair) else ""


def _captured(target: Intervals | None) -> dict[str, int]:
    """Bases of the target by contig; what two of its regions have in common counts once, as its reads do."""
    found: dict[str, int] = {}
    ends: dict[str, int] = {}
    for contig, start, end in sorted(parse_bed(bed_text(target.path))) if target is not None else ():
        first = max(start, ends.get(contig, 0))
        found[contig] = found.get(contig, 0) + max(end - first, 0)
        ends[contig] = max(end, ends.get(contig, 0))
    return found


def _shares(counts: Path, captured: Mapping[str, int]) -> tuple[float, float]:
    """Depth of X and of Y as shares of that of the autosomes; NaN where one of them is unknown."""
    lines = (line.split("\t") for line in counts.read_text("utf-8").splitlines())
    rows = {name: (int(length), int(mapped)) for name, length, mapped, *_ in lines if name != "*"}
    longest = max((length for length, _ in rows.values()), default=0)
    depths: dict[str, float] = {}
    autosomes = [0, 0]
    for name, (length, mapped) in rows.items():
        bases = captured.get(name, 0) if captured else length
        if name in (*X, *Y):
            depths[name[-1]] = mapped / bases if bases else math.nan
        elif name not in OTHER and length >= LONG * longest:
            autosomes[0] += mapped
            autosomes[1] += bases
    if not all(autosomes):
        return math.nan, math.nan
    usual = autosomes[0] / autosomes[1]
    return depths.get("X", math.nan) / usual, depths.get("Y", math.nan) / usual


def _plain(value: Any) -> Any:
    """JSON has no number that is none."""
    if isinstance(value, float):
        return round(value, 6) if math.isfinite(value) else None
    if isinstance(value, dict):
        return {name: _plain(one) for name, one in value.items()}
    return [_plain(one) for one in value] if isinstance(value, (list, tuple)) else value
