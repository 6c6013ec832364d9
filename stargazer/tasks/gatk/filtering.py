"""Recalibration of variant qualities (VQSR), as several tasks run it.

References
----------
https://gatk.broadinstitute.org/hc/en-us/articles/360035531612 (Variant Quality Score Recalibration)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from stargazer.assets import KnownSites, KnownSitesIndex
from stargazer.errors import DataError
from stargazer.tasks.vcf import NO_COMMAND, vcf_lines

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    Argument = str | int | float | Path

__all__ = [
    "ANNOTATIONS",
    "GAUSSIANS",
    "HARD_FILTERS",
    "LEVELS",
    "apply_command",
    "check_mode",
    "check_resources",
    "filter_command",
    "filters_of",
    "read_lines",
    "resource_uses",
    "train_command",
    "varying",
]

MODES = ("SNP", "INDEL")
ANNOTATIONS = {"SNP": ("QD", "MQ", "MQRankSum", "ReadPosRankSum", "FS", "SOR"), "INDEL": ("QD", "FS", "SOR")}
MISSING = ("", ".", "NaN", "Infinity", "-Infinity")
GAUSSIANS = {"SNP": 6, "INDEL": 4}
LEVELS = {"SNP": 99.5, "INDEL": 99.0}
"""Per cent of the truth that the filter keeps, unless told otherwise."""


def train_command(
    vcf: Path,
    fasta: Path,
    resources: Sequence[tuple[str, Path]],
    recal: Path,
    tranches: Path,
    *,
    mode: str,
    annotations: Sequence[str],
    max_gaussians: int,
) -> list[Argument]:
    """``VariantRecalibrator``.

    Parameters
    ----------
    vcf, fasta
        What is read.
    resources
        Known sites by how they are used: ``hapmap,known=false,training=true,truth=true,prior=15.0``.
    recal, tranches
        What is written.
    mode
        ``"SNP"`` or ``"INDEL"``.
    annotations
        What the model is of.
    max_gaussians
        Its clusters, at most.
    """
    given = [word for use, path in resources for word in (f"--resource:{use}", path)]
    names = [word for annotation in annotations for word in ("-an", annotation)]
    files: list[Argument] = ["-R", fasta, "-V", vcf, "-O", recal, "--tranches-file", tranches]
    model: list[Argument] = ["-mode", mode, "--max-gaussians", max_gaussians]
    return ["gatk", "VariantRecalibrator", *files, *given, *names, *model, *NO_COMMAND]


def apply_command(
    vcf: Path, fasta: Path, recal: Path, tranches: Path, output: Path, *, mode: str, level: float
) -> list[Argument]:
    """``ApplyVQSR``."""
    files: list[Argument] = ["-R", fasta, "-V", vcf, "-O", output, "--recal-file", recal, "--tranches-file", tranches]
    cut: list[Argument] = ["--truth-sensitivity-filter-level", level, "-mode", mode]
    return ["gatk", "ApplyVQSR", *files, *cut, "--create-output-variant-index", "true", *NO_COMMAND]


def resource_uses(sites: Iterable[KnownSites]) -> list[tuple[str, Path]]:
    """How resources are used, as ``--resource`` has it, and their files; each has a name of its own.

    One resource may be in several files, such as one a chromosome: all count.
    """
    uses: list[tuple[str, Path]] = []
    names: dict[str, int] = {}
    for site in sites:
        name = site.resource_name or site.path.name.partition(".")[0]
        number = names[name] = names.get(name, 0) + 1
        flags = {"known": site.known, "training": site.training, "truth": site.truth}
        said = ",".join(f"{flag}={str(value).lower()}" for flag, value in flags.items())
        uses.append((f"{name if number == 1 else f'{name}_{number}'},{said},prior={site.prior}", site.path))
    return uses


def varying(lines: Iterable[str], annotations: Sequence[str]) -> list[str]:
    """Those annotations that differ somewhere in the lines of a VCF; of the others no model can be made."""
    seen: dict[str, set[str]] = {name: set() for name in annotations}
    for line in lines:
        if not line.startswith("#"):
            for member in line.rstrip("\n").split("\t", 8)[7].split(";"):
                name, _, value = member.partition("=")
                if name in seen and value not in MISSING:
                    seen[name].add(value)
    return [name for name in annotations if len(seen[name]) > 1]


def read_lines(path: Path) -> Iterator[str]:
    """Lines of a VCF, compressed or not."""
    return vcf_lines(path)


def check_mode(mode: str) -> None:
    """Refuse a mode that is neither SNP nor INDEL."""
    if mode not in MODES:
        raise DataError(f"mode is {mode!r}, but must be SNP or INDEL")


def check_resources(resources: Sequence[KnownSites], mode: str) -> None:
    """Refuse resources that no model can be trained with; an AssetError where one has no index."""
    if not resources:
        raise DataError(f"VQSR of {mode}s needs resources, VCFs of known variants; use hard filters if there are none")
    for use in ("training", "truth"):
        if not any(getattr(site, use) for site in resources):
            raise DataError(f"none of the resources has {use}=True, and VQSR needs sites for it")
    for site in resources:
        site.companion(KnownSitesIndex)


# Hard filters: fixed limits, where no model can be trained.
#
# References
# ----------
# https://gatk.broadinstitute.org/hc/en-us/articles/360035890471 (hard filters of germline short variants)


SNP_FILTERS = {
    "QD2": "QD < 2.0",
    "QUAL30": "QUAL < 30.0",
    "SOR3": "SOR > 3.0",
    "FS60": "FS > 60.0",
    "MQ40": "MQ < 40.0",
    "MQRankSum-12.5": "MQRankSum < -12.5",
    "ReadPosRankSum-8": "ReadPosRankSum < -8.0",
}
INDEL_FILTERS = {
    "QD2": "QD < 2.0",
    "QUAL30": "QUAL < 30.0",
    "FS200": "FS > 200.0",
    "ReadPosRankSum-20": "ReadPosRankSum < -20.0",
}
HARD_FILTERS = {"SNP": SNP_FILTERS, "INDEL": INDEL_FILTERS}
"""What GATK recommends where a model cannot be trained; a site fails by any of them."""


def filter_command(vcf: Path, fasta: Path, output: Path, filters: Mapping[str, str]) -> list[Argument]:
    """``VariantFiltration``, each filter by its name."""
    given = [word for name, test in filters.items() for word in ("--filter-expression", test, "--filter-name", name)]
    return ["gatk", "VariantFiltration", "-R", fasta, "-V", vcf, "-O", output, *given, *NO_COMMAND]


def filters_of(modes: Iterable[str]) -> dict[str, str]:
    """The filters of these kinds for one pass over a VCF: each looks at the kind of the variant first."""
    kinds = {"SNP": "vc.isSNP()", "INDEL": "!vc.isSNP()"}
    return {f"{mode}_{name}": f"{kinds[mode]} && {test}" for mode in modes for name, test in HARD_FILTERS[mode].items()}
