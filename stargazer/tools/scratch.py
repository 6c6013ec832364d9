"""Scratch directories, used again for call after call.

Making and removing a directory costs a small call more than writing its file does: some file systems write at each
removal, and ext4 without a journal then searches past the freed numbers for minutes (5 ms a call instead of 1, measured
there). So a directory in which no tool ran is emptied, and gets a new name for the next call: what a call left running
by mistake finds nothing under the old one.
"""

from __future__ import annotations

import atexit
import contextlib
import itertools
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Self

from stargazer.store.backends.local import as_store_error
from stargazer.store.folders import opened, remove_tree

if TYPE_CHECKING:
    from types import TracebackType

__all__ = ["INPUTS", "Scratch"]

INPUTS = "inputs"
"""Where inputs are staged, below a scratch directory."""

_idle: dict[str, list[str]] = {}
_serial = itertools.count()


class Scratch:
    """A directory for one call, made when it is first asked for, gone when the call has ended.

    Parameters
    ----------
    parent
        Directory in which to make it; made if need be. None for the system's temporary directory.
    """

    def __init__(self, parent: Path | None) -> None:
        self._parent = str(parent or tempfile.gettempdir())
        self._path: str | None = None

    def path(self) -> Path:
        """The directory, without symbolic links in its path."""
        if self._path is None:
            try:
                self._path = _renamed(self._parent) or _new(self._parent)
            except OSError as error:
                raise as_store_error(error, f"the scratch directory {self._parent}") from error
        return Path(self._path)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._path is None:
            return
        if kind is None and _emptied(self._path):
            _keep(self._parent, self._path)
        else:
            _remove(self._path)


def _name() -> str:
    return f"work-{os.getpid()}-{next(_serial)}-{os.urandom(4).hex()}"


def _new(parent: str) -> str:
    path = os.path.join(os.path.realpath(parent), _name())
    try:
        os.mkdir(path, 0o700)
    except FileNotFoundError:
        os.makedirs(parent, exist_ok=True)
        os.mkdir(path, 0o700)
    return path


def _renamed(parent: str) -> str | None:
    """An idle directory under a new name. After a fork two processes know of it; only one of them gets it."""
    idle = _idle.get(parent, [])
    while idle:
        old = idle.pop()
        new = os.path.join(os.path.dirname(old), _name())
        with contextlib.suppress(OSError):
            os.rename(old, new)
            return new
    return None


def _emptied(path: str) -> bool:
    """Whether there were only files in a directory, and inputs; they are gone. Tools leave their logs in another."""
    try:
        with os.scandir(path) as entries:
            for entry in list(entries):
                if not entry.is_dir(follow_symlinks=False):
                    os.unlink(entry.path)
                elif entry.name == INPUTS:
                    _empty(entry.path)
                else:
                    return False
    except OSError:
        return False
    return True


def _empty(path: str) -> None:
    with os.scandir(path) as entries:
        for entry in list(entries):
            if entry.is_dir(follow_symlinks=False):
                _empty(entry.path)
                os.rmdir(entry.path)
            else:
                os.unlink(entry.path)


def _keep(parent: str, path: str) -> None:
    if not _idle:
        atexit.register(_remove_idle)
    _idle.setdefault(parent, []).append(path)


def _remove_idle() -> None:
    for path in itertools.chain.from_iterable(_idle.values()):
        for part in (os.path.join(path, INPUTS), path):
            with contextlib.suppress(OSError):
                os.rmdir(part)


def _remove(path: str) -> None:
    """Remove a directory, read-only ones in it too; what a link in it leads to keeps its mode as well."""
    parent, name = os.path.split(path)
    with contextlib.suppress(OSError), opened(parent, "") as fd:
        remove_tree(name, fd)
