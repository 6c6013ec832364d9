"""A reference with what tools want beside it."""

from __future__ import annotations

from dataclasses import replace

from stargazer.assets import Asset, Reference
from stargazer.calls import task
from stargazer.tools import Workdir

__all__ = ["attach_indices"]


@task
def attach_indices(work: Workdir, ref: Reference, indices: list[Asset]) -> Reference:
    """Give a reference its indices as companions; no bytes are read or written.

    Parameters
    ----------
    work
        The scratch directory.
    ref
        FASTA.
    indices
        What belongs beside it.

    Returns
    -------
    Reference
        The same file with these companions and those that it had.
    """
    return replace(ref, companions=(*ref.companions, *indices))
