"""Values of notebooks."""

from __future__ import annotations

from stargazer.assets.asset import Asset

__all__ = ["NotebookSnapshot", "NotebookValue"]


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
