"""Texts of notebooks' files: read alike whichever editor wrote them, and written with the line ends that they had."""

from __future__ import annotations

import codecs
from typing import TYPE_CHECKING

from stargazer.errors import NotebookError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["bytes_for", "read_plain"]


def read_plain(path: Path) -> str:
    """Return the text of a file, whatever ends its lines, without the mark of UTF-8 that editors of Windows put first.

    Raises
    ------
    OSError, UnicodeDecodeError
        It cannot be read, or is not UTF-8.
    """
    return path.read_text("utf-8-sig")


def bytes_for(path: Path, text: str) -> bytes:
    """Return what is written for a text that takes a file's place: with the file's line ends and its mark of UTF-8.

    Raises
    ------
    NotebookError
        The text has half a character: JSON can name one, as where an emoji was cut in two.
    """
    try:
        with path.open("rb") as file:
            head = file.read(1 << 16)
    except OSError:
        head = b""
    mark = codecs.BOM_UTF8 if head.startswith(codecs.BOM_UTF8) else b""
    try:
        data = text.encode("utf-8")
    except UnicodeEncodeError as error:
        line = text.count("\n", 0, error.start) + 1
        told = f"{path}: line {line} would hold half a character, which no file can: write it anew"
        raise NotebookError(told) from None
    return mark + (data.replace(b"\n", b"\r\n") if head.partition(b"\n")[0].endswith(b"\r") else data)
