"""The beginning of a file, as far as it is text."""

from __future__ import annotations

import codecs
import gzip
import zlib
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from stargazer.assets import Asset

__all__ = ["Preview", "preview"]

READ = 1 << 16
LINES = 40


class Preview(NamedTuple):
    """What can be seen of a file.

    Parameters
    ----------
    kind
        ``"text"``, ``"directory"`` or ``"binary"``.
    text
        Lines for people.
    """

    kind: str
    text: str


def preview(asset: Asset) -> Preview:
    """Return the first lines of a file, of a compressed one too."""
    path = asset.fetch()
    if path.is_dir():
        names = sorted(each.name for each in path.iterdir())
        return Preview("directory", "\n".join(names[:LINES] + (["…"] if len(names) > LINES else [])))
    with open(path, "rb") as file:
        data = file.read(READ)
    if data.startswith(b"\x1f\x8b"):
        try:
            with gzip.open(path) as file:
                data = file.read(READ)
        except (OSError, EOFError, zlib.error):
            return Preview("binary", "compressed, and cut short")
    try:
        text = codecs.getincrementaldecoder("utf-8")().decode(data)
    except UnicodeDecodeError:
        return Preview("binary", "no text")
    return Preview("text", "\n".join(line[:400] for line in text.splitlines()[:LINES]))
