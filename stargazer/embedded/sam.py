"""SAM text put right: ``sam`` drops @PG lines, which hold command lines, and renames read groups.

Names of read groups are renamed where lanes from two places gave one name to different groups: samtools would take the
reads of both for those of the first.
"""

from __future__ import annotations

import shutil
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["main"]


def main(argv: Sequence[str]) -> int:
    """``sam [OLD NEW]…``: copy SAM from stdin to stdout, its @PG lines left out, read groups OLD called NEW."""
    if len(argv) % 2:
        raise ValueError("takes the names of read groups in pairs: OLD NEW")
    names = {old.encode(): new.encode() for old, new in zip(argv[::2], argv[1::2], strict=True)}
    source, target = sys.stdin.buffer, sys.stdout.buffer
    for line in source:
        if not line.startswith(b"@PG\t"):
            target.write(_renamed(line, names) if names else line)
        if not line.startswith(b"@"):
            break
    if names:
        target.writelines(_renamed(line, names) for line in source)
    else:
        shutil.copyfileobj(source, target, 1 << 20)
    target.flush()
    return 0


def _renamed(line: bytes, names: Mapping[bytes, bytes]) -> bytes:
    """A line of a header or of a record with the new name of its read group."""
    if line.startswith(b"@"):
        mark, first = b"ID:", 1 if line.startswith(b"@RG\t") else None
    else:
        mark, first = b"RG:Z:", 11
    if first is None or mark not in line:
        return line
    fields = line.rstrip(b"\n").split(b"\t")
    for place in range(first, len(fields)):
        if fields[place].startswith(mark):
            name = fields[place][len(mark) :]
            fields[place] = mark + names.get(name, name)
    return b"\t".join(fields) + b"\n"
