"""How a cohort is called again: the command line that says what was asked for."""

from __future__ import annotations

import shlex
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from stargazer import config
from stargazer.assets import Asset
from stargazer.store.context import local_path
from stargazer.workflows.gatk import GatkOptions

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from stargazer.assets import Intervals, KnownSites, Reference
    from stargazer.workflows.aligning import ReadOptions
    from stargazer.workflows.cohorts import CohortOptions

__all__ = ["germline_command", "store_named"]

TOLD_ELSEWHERE = ("known_sites", "target", "sexes", "filter")
"""Options of GATK for which there is a word of the command, or a column of the sheet."""


def germline_command(
    sheet: str | Path,
    ref: str | Path | Reference,
    *,
    target: str | Path | Intervals | None,
    engine: str,
    known_sites: Sequence[str | Path | KnownSites] | None,
    gatk: GatkOptions | None,
    reads: ReadOptions,
    options: CohortOptions,
    cohort_id: str,
    store: str = "",
) -> str:
    """The command that calls a cohort as it was called; parameters as of `germline`, and where results are stored.

    Returns
    -------
    str
        Words for a shell, paths as they were given; a second line where options can be given in Python alone.
    """
    words = ["stargazer", "germline", _said(sheet), "--ref", _said(ref), "--out", "FOLDER"]
    words += ["--engine", engine] if engine != "embedded" else []
    words += ["--cohort", cohort_id] if cohort_id != "cohort" else []
    words += ["--target", _said(target)] if target is not None else []
    for name, given in (("--known-sites", known_sites or ()), ("--annotate", options.annotations)):
        words += [word for one in given for word in (name, _said(one))]
    words += [word for name in options.info for word in ("--info", name)]
    words += ["--genes", _said(options.genes)] if options.genes is not None else []
    words += ["--filter", gatk.filter] if gatk is not None and gatk.filter != "auto" else []
    words += ["--trim"] if reads.trim else []
    words += ["--aligner", reads.aligner] if reads.aligner != "bwa" else []
    words += ["--stop-after", options.stop_after] if options.stop_after else []
    words += ["--strict"] if options.strict else []
    words += ["--bam"] if not options.cram else []
    words += ["--links"] if options.links else []
    words += ["--store", store] if store else []
    python = [*_python(gatk, reads, options)]
    return shlex.join(words) + (f"\n# and in Python alone: {', '.join(python)}" if python else "")


def store_named(url: str) -> str:
    """How commands name a store; empty where it is the one that they take by themselves."""
    usual, path = config.store_url(), local_path(url)  # by their places: the usual one may be out of reach, or damaged
    same = local_path(usual) == path if path is not None else usual.rstrip("/") == url
    return "" if same else path or url


def _said(given: Any) -> str:
    """A path as it was given, or the name of what is stored."""
    if not isinstance(given, Asset):
        return str(given)
    return str(given.declared.get("build") or given.name) if given.asset_key == "reference" else given.name


def _python(gatk: GatkOptions | None, reads: ReadOptions, options: CohortOptions) -> Iterator[str]:
    """Options that are not the usual ones, and for which the command has no word."""
    usual = GatkOptions()
    for field in fields(GatkOptions):
        value = getattr(gatk or usual, field.name)
        if field.name not in TOLD_ELSEWHERE and value != getattr(usual, field.name):
            yield f"GatkOptions({field.name}={value!r})"
    if reads.optical_distance is not None:
        yield f"ReadOptions(optical_distance={reads.optical_distance})"
    if options.limits != type(options.limits)():
        yield repr(options.limits)
