"""The commit of a working copy, as git tells it."""

from __future__ import annotations

import functools
import os
import re
import subprocess
import time
from typing import NamedTuple

from stargazer import config

__all__ = ["Revision", "revision_of"]

PATIENCE = 5.0
"""Seconds that git may take to answer: a run does not wait for a slow disk."""

FRESH = 10.0
"""Seconds for which an answer holds: many small runs of one script ask once."""

LARGEST_DIFF = 1 << 24
CODE = ("*.py", "*.pyx", "*.ipynb", "*.R", "*.r", "*.sh", "*.c", "*.cc", "*.cpp", "*.h", "*.rs", "*.pl", "*.smk")
"""Files that count though git does not know them yet; notes and results beside the code do not."""


FILTER = r"^filter\..*\.(clean|smudge|process)$"
OF_THE_COPY = ("local", "worktree")
LFS = re.compile(r"git-lfs (clean|smudge|filter-process)( --skip)?( -- %f)?")
"""What ``git lfs install --local`` writes: it starts a program of the user's PATH."""


class Revision(NamedTuple):
    """Of which commit some code is.

    Parameters
    ----------
    commit
        Its hash; empty outside of git, and where git is not here or takes too long.
    dirty
        Whether the files differ from it: one was changed, or a new file of code is not under control yet. Within a
        submodule only its commit counts.
    diff
        The difference, as ``git diff`` writes it; None where there is none, or it is larger than 16 MiB.
    """

    commit: str = ""
    dirty: bool = False
    diff: bytes | None = None


def revision_of(path: str) -> Revision:
    """Return the commit of the working copy that a file lies in.

    Parameters
    ----------
    path
        A file; of what has none, as a notebook's cell, the current directory counts.
    """
    return _found(path, os.getcwd(), int(time.monotonic() / FRESH))


@functools.lru_cache(maxsize=256)
def _found(path: str, here: str, now: int) -> Revision:
    return _asked(os.path.realpath(os.path.dirname(path) if os.path.isfile(path) else here), now)


@functools.lru_cache(maxsize=32)
def _asked(directory: str, _: int) -> Revision:
    try:
        root, commit = _git(directory, "rev-parse", "--show-toplevel", "HEAD").decode().split("\n")[:2]
        changed = bool(_git(root, "status", "--porcelain", "--untracked-files=no", "--ignore-submodules=dirty"))
        fresh = [os.fsdecode(name) for name in _untracked(root)]
        return Revision(commit, bool(changed or fresh), _diff(root, fresh) if changed or fresh else None)
    except (OSError, ValueError, subprocess.SubprocessError):
        return Revision()


def _untracked(root: str) -> list[bytes]:
    listed = _git(root, "ls-files", "-z", "--others", "--exclude-standard", "--", *CODE)
    return sorted(filter(None, listed.split(b"\0")))


def _diff(root: str, fresh: list[str]) -> bytes | None:
    """What was changed since the commit, and the new files of code in the same form."""
    options = ("--binary", "--no-ext-diff", "--no-textconv", "--no-color", "--ignore-submodules=dirty")
    text = _git(root, "diff", *options, "HEAD")
    for name in fresh:
        if len(text) > LARGEST_DIFF:
            return None
        text += _git(root, "diff", *options, "--no-index", "--", os.devnull, name, right=(0, 1))
    return text if len(text) <= LARGEST_DIFF else None


def _git(directory: str, *arguments: str, right: tuple[int, ...] = (0,)) -> bytes:
    """Ask git; no program is started that the working copy names, for somebody else may have packed it."""
    return _asked_git(directory, *_without_programs(directory), *arguments, right=right)


@functools.lru_cache(maxsize=32)
def _programs(directory: str, _: int) -> tuple[str, ...]:
    """Filters for files that the settings of a working copy name, and not those of its user."""
    asked = ("config", "--show-scope", "-z", "--get-regexp", FILTER)
    told = _asked_git(directory, *asked, right=(0, 1)).decode("utf-8", "surrogateescape").split("\0")
    values = (each.partition("\n") for scope, each in zip(told[::2], told[1::2], strict=False) if scope in OF_THE_COPY)
    return tuple(dict.fromkeys(name for name, _, value in values if not LFS.fullmatch(value)))


def _without_programs(directory: str) -> tuple[str, ...]:
    names = _programs(directory, int(time.monotonic() / FRESH))
    drivers = dict.fromkeys(name.rpartition(".")[0] for name in names)
    switched = (
        "core.fsmonitor=false",
        *(f"{name}=" for name in names),
        *(f"{each}.required=false" for each in drivers),
    )
    return tuple(word for each in switched for word in ("-c", each))


def _asked_git(directory: str, *arguments: str, right: tuple[int, ...] = (0,)) -> bytes:
    # Nothing is written: a run that looks must not stand in the way of who works there.
    env = config.environment() | {"GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0"}
    for name in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"):
        env.pop(name, None)
    asked = ["git", "-C", directory, *arguments]
    done = subprocess.run(asked, env=env, stdin=subprocess.DEVNULL, capture_output=True, timeout=PATIENCE, check=False)
    if done.returncode not in right:
        raise ValueError(f"git {arguments} failed")
    return done.stdout
