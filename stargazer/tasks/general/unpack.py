"""A FASTA that is compressed, as it is downloaded, made one that all tools read."""

from __future__ import annotations

import gzip
import shutil
import zlib
from dataclasses import replace

from stargazer.assets import Reference
from stargazer.calls import task
from stargazer.errors import DataError
from stargazer.tools import Workdir

__all__ = ["unpack_reference"]


@task
def unpack_reference(work: Workdir, ref: Reference) -> Reference:
    """Unpack a FASTA that gzip or bgzip compressed.

    Parameters
    ----------
    work
        The scratch directory.
    ref
        FASTA, compressed.

    Returns
    -------
    Reference
        The FASTA with the same facts, and no companions: those of the compressed one do not fit it.

    Raises
    ------
    DataError
        It is damaged, or not compressed.
    """
    fasta = work.file(ref.name.removesuffix(".gz").removesuffix(".bgz"))
    try:
        with gzip.open(ref.path, "rb") as packed, fasta.open("wb") as out:
            shutil.copyfileobj(packed, out, 1 << 20)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{ref.name} cannot be unpacked: {error}") from error
    return replace(ref, path=fasta, cid=None, name=fasta.name, companions=(), source=None)
