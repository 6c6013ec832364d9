"""Values of notebooks."""

from __future__ import annotations

from stargazer.assets.asset import Asset

__all__ = ["DATA_ALONE", "NotebookSnapshot", "NotebookValue"]

DATA_ALONE = frozenset(
    ("arrow", "frame", "json", "npy", "npy-scalar", "outputs", "polars", "series", "sparse", "spent")
)
"""Codecs whose bytes are data and no more. To read what others wrote may run code: a pickle says which, a name imports
its module, trees of zarr name codecs, and of those that people register nobody here knows."""


class NotebookValue(Asset):
    """A value of a notebook's cell, as a file.

    Parameters
    ----------
    codec
        What wrote it, and reads it; see `stargazer.notebook.values`.
    kind
        Its type, for people.
    code
        Digest of the code of own classes that it is made of: with other methods it is another value.
    """

    codec: str = ""
    kind: str = ""
    code: str = ""


class NotebookSnapshot(Asset):
    """A notebook as it was when it ran: source, page, report, versions, and CIDs of all that it read and made.

    Parameters
    ----------
    notebook
        Name of its file.
    title
        What its header calls it.
    signer
        The public key of who froze it; empty where nobody signed.
    """

    notebook: str = ""
    title: str = ""
    signer: str = ""
