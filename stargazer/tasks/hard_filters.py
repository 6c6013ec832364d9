"""Hard filters: fixed limits, where no model can be trained.

References
----------
https://gatk.broadinstitute.org/hc/en-us/articles/360035890471 (hard filters of germline short variants)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from stargazer.tasks.vcf import NO_COMMAND

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    Argument = str | int | Path

__all__ = ["HARD_FILTERS", "filter_command", "filters_of"]

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
