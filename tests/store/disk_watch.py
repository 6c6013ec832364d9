"""A watcher on the whole disk: each change that this process makes outside of the folders where it may."""

from __future__ import annotations

import contextlib
import os
import re
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
CHANGES = {
    "os.remove": ((0, 1),),
    "os.rmdir": ((0, 1),),
    "os.mkdir": ((0, 2),),
    "os.chmod": ((0, 2),),
    "os.chown": ((0, 3),),
    "os.utime": ((0, 3),),
    "os.truncate": ((0, None),),
    "os.rename": ((0, 2), (1, 3)),
    "os.link": ((1, 3),),
    "os.symlink": ((1, 2),),
    "os.setxattr": ((0, None),),
}
"""Events of the interpreter; of each path that they change its argument, and that of the folder it starts from."""

HARMLESS = re.compile(r"/dev/(?!shm/)|/proc/self/|.*/__pycache__/")
"""No places on a disk, and what Python compiles as it is imported. Where tests run in memory, below ``/dev/shm``, that
is the disk."""

BEAT = "stargazer-scratch"
"""The thread that gives signs of life in scratch directories, also in those that other tests of this process left."""

_allowed: list[str] = []
_seen: list[str] = []
_hooked: list[bool] = []


@contextlib.contextmanager
def watched(*allowed: Path) -> Iterator[list[str]]:
    """Note what is changed elsewhere than in some folders; of what is opened relative to a descriptor nothing is said.

    Parameters
    ----------
    *allowed
        Folders. What a link in them leads to is not in them.
    """
    if not _hooked:
        _hooked.append(True)
        sys.addaudithook(_hook)
    _seen.clear()
    _allowed[:] = [os.path.realpath(path) for path in allowed]
    try:
        yield _seen
    finally:
        _allowed.clear()


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    if not _allowed or threading.current_thread().name == BEAT:
        return
    if event == "open":
        path, mode, flags = arguments
        writes = bool(flags & WRITING) if isinstance(flags, int) else "r" not in str(mode)
        if writes and isinstance(path, (str, bytes)) and os.path.isabs(path):
            _note(event, os.fsdecode(path), follow=not (isinstance(flags, int) and flags & os.O_NOFOLLOW))
    elif event in CHANGES:
        for place, folder in CHANGES[event]:
            base = arguments[folder] if folder is not None and folder < len(arguments) else -1
            _note(event, _path(arguments[place], base), follow=event in ("os.chmod", "os.truncate", "os.setxattr"))


def _path(value: Any, base: Any) -> str:
    """Where something lies that is named by a path, by a descriptor, or relative to one."""
    if isinstance(value, int):
        return os.readlink(f"/proc/self/fd/{value}")
    path = os.fsdecode(value)
    if os.path.isabs(path):
        return path
    start = os.readlink(f"/proc/self/fd/{base}") if isinstance(base, int) and base >= 0 else os.getcwd()
    return os.path.join(start, path)


def _note(event: str, path: str, *, follow: bool) -> None:
    if HARMLESS.match(path) or (event == "os.mkdir" and os.path.isdir(path)):  # asked for, and there already
        return
    above = os.path.realpath(os.path.dirname(path))
    real = os.path.realpath(path) if follow else os.path.join(above, os.path.basename(path))
    if not any(real == folder or real.startswith(f"{folder}/") for folder in _allowed):
        _seen.append(f"{event} {real}")
