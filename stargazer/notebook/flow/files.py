"""Files of a flow: written whole or not at all, what is lost kept beside, and all that is noted out of git's sight."""

from __future__ import annotations

import contextlib
import os
import shutil
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from stargazer.errors import NotebookError
from stargazer.notebook.plaintext import bytes_for, read_plain

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stargazer.notebook.flow.place import Flow

__all__ = ["ignored_folder", "keep_old", "read_file", "write_all"]


def read_file(path: Path) -> str | None:
    """Text of a file; None where there is none.

    Raises
    ------
    NotebookError
        It cannot be read.
    """
    try:
        return read_plain(path)
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise NotebookError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from None


def ignored_folder(folder: Path) -> Path:
    """Make a folder in which git sees nothing."""
    folder.mkdir(parents=True, exist_ok=True)
    mark = folder / ".gitignore"
    if not mark.exists():
        mark.write_text("*\n")
    return folder


def write_all(flow: Flow, texts: Mapping[Path, str], seen: Mapping[Path, str | None]) -> None:
    """Write files: all are complete beside their places before the first is put there.

    Parameters
    ----------
    flow
        Whose they are.
    texts
        What goes where, in the order in which it is put there.
    seen
        What stood in files when this was decided.

    Raises
    ------
    NotebookError
        One of them changed meanwhile, or there is no room; nothing was written.
    """
    drafts = ignored_folder(flow.own) / "drafts"
    drafts.mkdir(exist_ok=True)
    made: list[tuple[Path, Path]] = []
    try:
        for number, (path, text) in enumerate(texts.items()):
            draft = drafts / f"{os.getpid()}-{threading.get_ident()}-{number}"
            draft.write_bytes(bytes_for(path, text))
            made.append((draft, Path(os.path.realpath(path))))
        for path, before in seen.items():
            if read_file(path) != before:
                raise NotebookError(f"{path} was changed meanwhile, by another program; nothing was written: once more")
        for draft, path in made:
            path.parent.mkdir(parents=True, exist_ok=True)
            with contextlib.suppress(FileNotFoundError):
                shutil.copymode(path, draft)
            os.replace(draft, path)
    except OSError as error:
        raise NotebookError(f"{error.filename}: {error.strerror}") from error
    finally:
        for draft, _ in made:
            draft.unlink(missing_ok=True)


def keep_old(flow: Flow, path: Path) -> Path:
    """Keep a file that is about to be written over: ``NAME.bak``, in the folder that git does not see."""
    name = os.path.relpath(path, flow.folder)
    kept = ignored_folder(flow.own) / "kept" / f"{name}.bak"
    number = 1
    while kept.exists() and kept.read_bytes() != path.read_bytes():
        kept = kept.with_name(f"{path.name}.{number}.bak")
        number += 1
    kept.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy2(path, kept)
    return kept
