"""What several tasks do with BAM files."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from stargazer.assets import Alignment, AlignmentIndex
from stargazer.errors import DataError
from stargazer.tasks.engines import Engine, command

if TYPE_CHECKING:
    from stargazer.workdir import Workdir

__all__ = ["read_header", "sort_options", "with_index"]

SORT_MEMORY = "512M"
"""Memory of each thread of a sort; what does not fit goes to temporary files, the order is the same."""


def sort_options(work: Workdir) -> list[str | int]:
    """What every ``samtools sort`` is given."""
    return ["--no-PG", "-@", work.cpus - 1, "-m", SORT_MEMORY]


def with_index(work: Workdir, alignment: Alignment, engine: Engine) -> Alignment:
    """A draft sorted by coordinate with its index as companion."""
    bai = work.file(f"{alignment.path.name}.bai")
    work.run([*command("samtools", engine), "index", "-b", alignment.path, bai])
    return replace(alignment, companions=(AlignmentIndex(path=bai, sample_id=alignment.sample_id),))


def read_header(work: Workdir, alignment: Alignment, engine: Engine) -> str:
    """The header of an alignment.

    Raises
    ------
    DataError
        It has no read group.
    """
    header = work.output([*command("samtools", engine), "view", "--no-PG", "-H", alignment.path])
    if "\n@RG\t" not in f"\n{header}":
        raise DataError(
            f"{alignment.path.name} has no read groups, so its sample and library are unknown; align it anew"
        )
    return header
