"""Files of a person under control of git: which changed, saved one by one, sent to where they come from."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from typing import NamedTuple

from stargazer import config
from stargazer.errors import StargazerError, ToolFailed
from stargazer.visible import visible

__all__ = ["Sent", "branch_of", "changed_files", "save_file", "send", "working_copy_of"]

PATIENCE = 20.0
OF_REMOTES = 120.0
CREDENTIALS = re.compile(r"(?<=://)[^/@\s]+@")


class Sent(NamedTuple):
    """What became of a push.

    Parameters
    ----------
    taken
        Whether the remote has everything now.
    told
        What git and the remote said.
    """

    taken: bool
    told: str


def working_copy_of(folder: Path) -> Path | None:
    """Return the working copy that a folder lies in; None where there is none, or no git."""
    try:
        told = _git(folder, "rev-parse", "--show-toplevel")
    except (OSError, StargazerError, subprocess.TimeoutExpired):
        return None
    return Path(os.fsdecode(told.stdout).rstrip("\n"))


def changed_files(folder: Path) -> set[Path]:
    """Return the files of a folder that differ from the last commit, or that none has."""
    root = working_copy_of(folder)
    if root is None:
        return set()
    told = _git(folder, "status", "--porcelain=v1", "-z", "--no-renames", "--untracked-files=all", "--", ".").stdout
    return {root / os.fsdecode(each[3:]) for each in told.split(b"\0") if each}


def branch_of(folder: Path) -> str:
    """Return the name of the branch; empty where there is none."""
    return os.fsdecode(_git(folder, "branch", "--show-current").stdout).strip()


def save_file(path: Path, message: str) -> str:
    """Commit one file, and nothing else that was changed or staged; return the commit.

    Raises
    ------
    ToolFailed
        Git refused; the error has what it said.
    """
    _git(path.parent, "add", "--", f"./{path.name}")
    _git(path.parent, "commit", "--quiet", "--only", "--message", message, "--", f"./{path.name}")
    return os.fsdecode(_git(path.parent, "rev-parse", "--short", "HEAD").stdout).strip()


def send(folder: Path) -> Sent:
    """Push the branch to where it comes from, and tell what the remote said; a refusal is no error here."""
    try:
        done = _git(folder, "push", "--porcelain", patience=OF_REMOTES, check=False)
    except subprocess.TimeoutExpired:
        return Sent(False, f"the remote did not answer within {OF_REMOTES:g} s")
    text = (done.stderr + done.stdout).decode("utf-8", "replace").strip()
    told = CREDENTIALS.sub("…@", visible(text, lines=True))
    return Sent(done.returncode == 0, told or f"git ended with exit code {done.returncode}")


def _git(
    folder: Path, *arguments: str, patience: float = PATIENCE, check: bool = True
) -> subprocess.CompletedProcess[bytes]:
    """Run git as its user would, save that it cannot ask anybody for a password."""
    env = config.command_environment() | {"GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}
    for name in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"):
        env.pop(name, None)
    argv = ["git", "-C", os.fspath(folder), *arguments]
    done = subprocess.run(argv, env=env, stdin=subprocess.DEVNULL, capture_output=True, timeout=patience, check=False)
    if check and done.returncode:
        raise ToolFailed(
            f"git {arguments[0]}", done.returncode, (done.stderr or done.stdout).decode("utf-8", "replace")
        )
    return done
