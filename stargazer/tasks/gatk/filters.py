"""Filters of a whole callset: by fixed limits or by a model, as the callset allows.

A model wants many variants. Trained on few it runs all the same and filters true ones away (of a small cohort it took
the F1 of indels from 1.000 to 0.993), so it is used only above a bar.

References
----------
https://gatk.broadinstitute.org/hc/en-us/articles/360035531612 (VQSR, and for which callsets it is);
https://gatk.broadinstitute.org/hc/en-us/articles/360035890471 (hard filters)
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from stargazer.assets import FilterChoice, KnownSites, Reference, Variants
from stargazer.calls import task
from stargazer.errors import AssetError, DataError, ToolFailed
from stargazer.tasks.gatk.filtering import (
    ANNOTATIONS,
    GAUSSIANS,
    LEVELS,
    apply_command,
    check_resources,
    filter_command,
    filters_of,
    read_lines,
    resource_uses,
    train_command,
    varying,
)
from stargazer.tasks.gatk.java import Extra, cause_of, run_gatk
from stargazer.tasks.vcf import draft_variants, need_indices, samples_of
from stargazer.tools import Workdir

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

__all__ = ["Filtered", "filter_variants"]

SAMPLES, GENOME = 30, 1_000_000
"""Samples, or SNVs of a whole genome, from which a model is worth training."""

WARNING = "WARNING"
SITES = {"SNP": 10_000, "INDEL": 2_000}
"""Training sites in the callset that a model wants."""


class Filtered(NamedTuple):
    """What `filter_variants` returns: the variants with FILTER set, and which way was chosen and why."""

    variants: Variants
    choice: FilterChoice


class Counts(NamedTuple):
    """What there is to train with: samples, variants, and training sites among them, by mode."""

    samples: int
    snvs: int
    sites: dict[str, int]

    @property
    def enough(self) -> bool:
        """Whether a model can be trusted."""
        known = any(self.sites[mode] >= least for mode, least in SITES.items())
        return known and (self.samples >= SAMPLES or self.snvs >= GENOME)


def choose(method: str, counts: Counts) -> tuple[str, str]:
    """The way to filter, and why.

    Parameters
    ----------
    method
        ``"auto"``, ``"hard"``, ``"vqsr"`` or ``"none"``.
    counts
        What there is to train with.

    Returns
    -------
    tuple of str
        ``"hard"``, ``"vqsr"`` or ``"none"``, and the reason; it begins with ``WARNING`` where a model is asked for that
        cannot be trusted.
    """
    samples = "1 sample" if counts.samples == 1 else f"{counts.samples:,} samples"
    there = f"{samples}, {counts.sites['SNP']:,} SNV and {counts.sites['INDEL']:,} indel training sites"
    bar = (
        f"a model wants {SAMPLES} samples or a whole genome, and {SITES['SNP']:,} SNV or {SITES['INDEL']:,} indel sites"
    )
    if method == "auto":
        return ("vqsr" if counts.enough else "hard"), f"{there}; {bar}"
    if method == "vqsr" and not counts.enough:
        return method, f"{WARNING}: asked for, but with {there} the model cannot be trusted: {bar}"
    return method, f"asked for; {there}"


def count_sites(calls: Iterable[str], resources: Iterable[Iterable[str]], samples: int) -> Counts:
    """Count variants, and those that the training resources have, in the lines of VCFs."""
    found = {key for line in calls for key in _alleles(line)}
    known = {key for lines in resources for line in lines for key in _alleles(line) if key in found}
    snvs = sum(map(_is_snv, found))
    known_snvs = sum(map(_is_snv, known))
    return Counts(samples, snvs, {"SNP": known_snvs, "INDEL": len(known) - known_snvs})


def _alleles(line: str) -> list[tuple[str, str, str, str]]:
    if line.startswith("#"):
        return []
    contig, position, _, ref, alternates = line.split("\t", 5)[:5]
    return [(contig, position, ref, one) for one in alternates.split(",") if one.isalpha()]


def _is_snv(allele: tuple[str, str, str, str]) -> bool:
    return len(allele[2]) == len(allele[3]) == 1


@task(tools=["gatk"], memory=["3 GiB", "8 GiB", "24 GiB"])
def filter_variants(
    work: Workdir,
    vcf: Variants,
    ref: Reference,
    resources: list[KnownSites],
    *,
    method: Literal["auto", "hard", "vqsr", "none"] = "auto",
    max_gaussians: int | None = None,
    annotations: dict[str, list[str]] | None = None,
    notes: list[str] | None = None,
    extra: Extra | None = None,
) -> Filtered:
    """Filter a callset: no variant is removed, FILTER says what is wrong with it.

    Parameters
    ----------
    work
        The scratch directory.
    vcf
        Genotyped VCF of a cohort, with its index.
    ref
        FASTA with its index and dictionary.
    resources
        Known variants for VQSR, each with its index; there may be none.
    method
        ``"hard"``, ``"vqsr"``, ``"none"``, or ``"auto"``: hard filters, unless there is enough to train a model with.
        Kinds of variants (SNP, INDEL) of which no model can be had get hard filters beside a model of the others.
    max_gaussians
        Clusters of the model, at most.
    annotations
        What the model is of, by mode (``"SNP"``, ``"INDEL"``).
    notes
        What else the choice shall say, such as how the alignments were made.
    extra
        Further arguments, by the name of the tool.

    Returns
    -------
    Filtered
        VCF with its index, and the choice with its reason.

    Raises
    ------
    DataError
        VQSR is asked for, and the resources have no training or truth sites, or none that is in the callset.
    """
    need_indices(vcf)
    training = [read_lines(site.path) for site in resources if site.training]
    counts = count_sites(read_lines(vcf.path), training, len(samples_of(vcf)))
    chosen, why = choose(method, counts)
    told = list(notes or ())
    given: dict[str, Any] = {"annotations": annotations, "gaussians": max_gaussians, "extra": extra}
    modeller = _Modeller(work, ref, resources, counts, auto=method == "auto", **given)
    made = modeller.recalibrated(vcf, told) if chosen == "vqsr" else vcf
    limited = [mode for mode in SITES if mode not in modeller.modelled]
    if chosen == "vqsr" and not modeller.modelled:
        if method != "auto":
            raise DataError(f"{vcf.name}: VQSR has nothing to train with; {why}; use hard filters")
        chosen, why = "hard", f"no model could be had; {why}"
    if chosen != "none":
        made = _limited(work, made, ref, limited, extra)
    if why.startswith(WARNING):
        work.warn(f"{vcf.name or vcf.path.name}: {why}")
    facts: dict[str, Any] = {
        "method": chosen,
        "reason": why,
        "samples": counts.samples,
        "notes": told,
        **_named(counts),
    }
    report = work.file(f"{vcf.sample_id}.filter.json")
    report.write_text(json.dumps(facts, indent=2) + "\n", "utf-8")
    return Filtered(made, FilterChoice(path=report, sample_id=vcf.sample_id, **facts))


def _named(counts: Counts) -> dict[str, int]:
    return {"snv_sites": counts.sites["SNP"], "indel_sites": counts.sites["INDEL"]}


def _limited(work: Workdir, vcf: Variants, ref: Reference, modes: Sequence[str], extra: Extra | None) -> Variants:
    """Variants of these kinds filtered by fixed limits, the others as they are."""
    if not modes:
        return vcf
    output = work.file(f"{vcf.sample_id}.filtered.vcf.gz")
    run_gatk(work, filter_command(vcf.path, ref.path, output, filters_of(modes)), vcf.path, extra=extra)
    return _draft(vcf, output, vcf.vqsr_mode)


class _Modeller:
    """Filters by models, one for each kind of variants of which there can be one.

    Parameters
    ----------
    work, ref, resources
        As of `filter_variants`.
    counts
        What there is to train with.
    auto
        Whether a kind of which no model can be had is left to hard filters, or the error is raised.
    annotations, gaussians, extra
        As of `filter_variants`.
    """

    def __init__(
        self,
        work: Workdir,
        ref: Reference,
        resources: Sequence[KnownSites],
        counts: Counts,
        *,
        auto: bool,
        annotations: Mapping[str, list[str]] | None,
        gaussians: int | None,
        extra: Extra | None,
    ) -> None:
        self._work, self._ref, self._resources, self._counts, self._auto = work, ref, resources, counts, auto
        self._annotations, self._gaussians, self._extra = annotations or {}, gaussians, extra
        self.modelled: list[str] = []

    def recalibrated(self, vcf: Variants, notes: list[str]) -> Variants:
        """The variants, those kinds filtered of which there is a model; notes say of which there is none, and why."""
        least = SITES if self._auto else dict.fromkeys(SITES, 1)
        for mode in ("INDEL", "SNP"):
            if self._counts.sites[mode] < least[mode]:
                notes.append(f"{mode}: hard filters, for too few training sites")
                continue
            try:
                vcf = self._by_model(vcf, mode, notes)
                self.modelled.append(mode)
            except (DataError, AssetError, ToolFailed) as error:
                if not self._auto:
                    raise
                told = cause_of(error.tail) if isinstance(error, ToolFailed) else str(error)
                notes.append(f"{mode}: hard filters, for no model could be had: {told or 'VariantRecalibrator failed'}")
        return vcf

    def _by_model(self, vcf: Variants, mode: str, notes: list[str]) -> Variants:
        work, fasta = self._work, self._ref.path
        resources = [site for site in self._resources if site.vqsr_mode in ("", mode)]
        check_resources(resources, mode)
        wanted = self._annotations.get(mode, ANNOTATIONS[mode])
        used = varying(read_lines(vcf.path), wanted)
        if not used:
            raise DataError(f"{vcf.name}: none of the annotations {', '.join(wanted)} varies; use hard filters")
        recal, tranches = work.file(f"{mode}.recal.vcf.gz"), work.file(f"{mode}.tranches")
        model: dict[str, Any] = {"annotations": used, "max_gaussians": self._gaussians or GAUSSIANS[mode]}
        train = train_command(vcf.path, fasta, resource_uses(resources), recal, tranches, mode=mode, **model)
        run_gatk(work, train, vcf.path, extra=self._extra)
        output = work.file(f"{vcf.sample_id}.vqsr.{mode.lower()}.vcf.gz")
        apply = apply_command(vcf.path, fasta, recal, tranches, output, mode=mode, level=LEVELS[mode])
        run_gatk(work, apply, vcf.path, extra=self._extra)
        notes += [f"{mode}: {name} is the same everywhere and left out" for name in wanted if name not in used]
        return _draft(vcf, output, "BOTH" if vcf.vqsr_mode not in ("", mode) else mode)


def _draft(vcf: Variants, output: Path, mode: str = "") -> Variants:
    return draft_variants(
        output, name=vcf.sample_id, samples=samples_of(vcf), caller=vcf.caller, build=vcf.build, mode=mode
    )
