"""Tables as Arrow keeps them."""

from __future__ import annotations

from stargazer.assets.asset import Asset

__all__ = ["Table"]


class Table(Asset):
    """Rows and columns: an Arrow IPC file, or a folder of such files, one after the other.

    Parameters
    ----------
    rows
        How many there are.
    columns
        Names of the columns, in their order.
    """

    rows: int = 0
    columns: tuple[str, ...] = ()
