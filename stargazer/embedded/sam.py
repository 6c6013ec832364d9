"""SAM without what depends on the run: ``sam`` drops @PG lines, which hold command lines, from SAM text."""

from __future__ import annotations

import shutil
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]


def main(argv: Sequence[str]) -> int:
    """``sam``: copy SAM from stdin to stdout, its @PG lines left out."""
    if argv:
        raise ValueError("takes no arguments: it filters stdin to stdout")
    source, target = sys.stdin.buffer, sys.stdout.buffer
    for line in source:
        if not line.startswith(b"@PG\t"):
            target.write(line)
        if not line.startswith(b"@"):
            break
    shutil.copyfileobj(source, target, 1 << 20)
    target.flush()
    return 0
