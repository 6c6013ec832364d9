"""Texts of notebooks' files: read alike whichever editor wrote them, and written with the line ends that they had."""

from __future__ import annotations

import codecs
import os
import shutil
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

from stargazer.errors import NotebookError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

__all__ = ["bytes_for", "read_plain", "write_whole"]


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


def write_whole(path: Path, content: bytes, check: Callable[[], object] | None = None) -> None:
    """Write a file whole or not at all, whoever else writes it; it keeps its mode, and nothing is left beside it.

    Parameters
    ----------
    path
        Of the file; its folder is made where it is missing.
    content
        All of it.
    check
        Called when all is written beside it, just before it takes its place; raises where it must not.

    Raises
    ------
    OSError
        It cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".stargazer-{os.getpid()}-{threading.get_ident()}{path.suffix}")
    try:
        draft.write_bytes(content)
        with suppress(FileNotFoundError):
            shutil.copymode(path, draft)
        if check:
            check()
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
