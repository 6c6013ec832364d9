"""Known sites in several files, such as one a chromosome, in one."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from stargazer.assets import KnownSites, KnownSitesIndex
from stargazer.calls import task
from stargazer.errors import DataError
from stargazer.tasks.engines import Engine, command, tools
from stargazer.tools import Workdir

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["join_known_sites"]


@task(memory="1 GiB", tools=tools("bcftools"))
def join_known_sites(work: Workdir, known_sites: list[KnownSites], *, engine: Engine = "embedded") -> KnownSites:
    """Put the files of one resource into one VCF, in the order of their contigs.

    Parameters
    ----------
    work
        The scratch directory.
    known_sites
        VCFs of one resource, each sorted by position.
    engine
        Where bcftools comes from.

    Returns
    -------
    KnownSites
        VCF with the facts of the first; its index is a companion.

    Raises
    ------
    DataError
        There are none.
    """
    if not known_sites:
        raise DataError("there are no known sites to be put together")
    bcftools = command("bcftools", engine)
    parts: list[Path] = []
    for number, site in enumerate(known_sites, 1):
        part = work.file(f"{number}.vcf.gz")
        work.run([*bcftools, "view", "--no-version", "-Oz", "-o", part, site.path])
        work.run([*bcftools, "index", "-t", part])
        parts.append(part)
    joined = work.file(f"{known_sites[0].resource_name or 'known'}.vcf.gz")
    work.run([*bcftools, "concat", "--no-version", "-a", "-Oz", "-o", joined, *parts])
    index = work.file(f"{joined.name}.tbi")
    work.run([*bcftools, "index", "-t", "-o", index, joined])
    made = replace(known_sites[0], path=joined, cid=None, name=joined.name, source=None)
    return replace(made, companions=(KnownSitesIndex(path=index),))
