"""Into how many blocks of rows a pass over cells is cut, so that workers share it."""

from __future__ import annotations

from typing import Any

from stargazer.tasks.scrna.row_blocks import PART_ROWS

__all__ = ["row_blocks"]

MOST = 64


def row_blocks(n_cells: int) -> list[dict[str, Any]]:
    """Which blocks there are, as `measure_cells` and `sum_genes` are told; none where one pass does.

    It depends on the cells alone and not on who works on them: so blocks are known again, on one machine as on many.

    Parameters
    ----------
    n_cells
        As far as they are known; it decides no byte of any result.
    """
    blocks = min(n_cells // PART_ROWS, MOST)
    return [{"block": block, "blocks": blocks} for block in range(blocks)] if blocks > 1 else []
