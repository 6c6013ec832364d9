"""The commit of a working copy, as git tells it."""

from __future__ import annotations

import functools
import os
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


class Revision(NamedTuple):
    """Of which commit some code is.

    Parameters
    ----------
    commit
        Its hash; empty outside of git, and where git is not here or takes too long.
    dirty
        Whether the files differ from it: one was changed, or a new file of code is not under control yet.
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
    directory = os.path.dirname(path) if os.path.isfile(path) else os.getcwd()
    return _asked(os.path.realpath(directory), int(time.monotonic() / FRESH))


@functools.lru_cache(maxsize=32)
def _asked(directory: str, _: int) -> Revision:
    try:
        root, commit = _git(directory, "rev-parse", "--show-toplevel", "HEAD").decode().split("\n")[:2]
        changed = bool(_git(root, "status", "--porcelain", "--untracked-files=no"))
        fresh = [os.fsdecode(name) for name in _untracked(root)]
        return Revision(commit, bool(changed or fresh), _diff(root, fresh) if changed or fresh else None)
    except (OSError, ValueError, subprocess.SubprocessError):
        return Revision()


def _untracked(root: str) -> list[bytes]:
    listed = _git(root, "ls-files", "-z", "--others", "--exclude-standard", "--", *CODE)
    return sorted(filter(None, listed.split(b"\0")))


def _diff(root: str, fresh: list[str]) -> bytes | None:
    """What was changed since the commit, and the new files of code in the same form."""
    text = _git(root, "diff", "--binary", "--no-ext-diff", "--no-textconv", "--no-color", "HEAD")
    for name in fresh:
        if len(text) > LARGEST_DIFF:
            return None
        options = ("diff", "--binary", "--no-ext-diff", "--no-textconv", "--no-color", "--no-index")
        text += _git(root, *options, "--", os.devnull, name, right=(0, 1))
    return text if len(text) <= LARGEST_DIFF else None


def _git(directory: str, *arguments: str, right: tuple[int, ...] = (0,)) -> bytes:
    # Nothing is written: a run that looks must not stand in the way of who works there.
    env = config.environment() | {"GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0"}
    for name in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"):
        env.pop(name, None)
    asked = ["git", "-C", directory, *arguments]
    done = subprocess.run(asked, env=env, stdin=subprocess.DEVNULL, capture_output=True, timeout=PATIENCE, check=False)
    if done.returncode not in right:
        raise ValueError(f"git {arguments[0]} failed")
    return done.stdout
