"""Verifying files and directories against a CID, and saying which part differs.

A CID alone names nothing but its root. Which bytes or names differ can be told where the nodes below it are known:
`load` gives them, from a store for instance. They also decide the case of a file that was cut into other chunks.
"""

from __future__ import annotations

import os

from stargazer.cid.compare import Check, Comparison
from stargazer.cid.profiles import PROFILES
from stargazer.cid.trees import is_tree
from stargazer.errors import CIDMismatch

TYPE_CHECKING = False
if TYPE_CHECKING:
    from stargazer.cid.directories import Load
    from stargazer.cid.files import Progress, StrPath
    from stargazer.cid.profiles import Profile
    from stargazer.cid.trees import Symlinks

__all__ = ["check", "verify"]


def verify(
    path: StrPath,
    cid: str,
    *,
    profile: Profile | None = None,
    threads: int = 1,
    symlinks: Symlinks = "refuse",
    load: Load | None = None,
    progress: Progress | None = None,
) -> None:
    """Make sure that a file or directory is the one that a CID names.

    Parameters
    ----------
    path, cid, profile, threads, symlinks, load, progress
        As for `check`.

    Raises
    ------
    CIDMismatch
        If it is another; `parts` names what differs.
    CIDError, OSError
        As `check` does.

    Notes
    -----
    Source: https://specs.ipfs.tech/unixfs/
    """
    result = check(path, cid, profile=profile, threads=threads, symlinks=symlinks, load=load, progress=progress)
    if not result.ok:
        raise CIDMismatch(result.reason, result.parts)


def check(
    path: StrPath,
    cid: str,
    *,
    profile: Profile | None = None,
    threads: int = 1,
    symlinks: Symlinks = "refuse",
    load: Load | None = None,
    progress: Progress | None = None,
) -> Check:
    """Compare a file or directory with a CID and say which part differs.

    Parameters
    ----------
    path
        The file or directory.
    cid
        What it should be; version 0 is read too.
    profile
        The profile that the CID was made with; by default any that Stargazer knows.
    threads, symlinks, progress
        As for `cid_of_tree`; `progress` counts bytes read again, too.
    load
        Gives a dag-pb node below the CID by its own CID, and raises `LookupError` or `FileNotFoundError` if it does
        not have it. What it gives is checked.

    Returns
    -------
    Check
        Whether they agree, and what differs.

    Raises
    ------
    CIDError
        If the CID cannot be read, the path cannot be named, or a loaded node is corrupt.
    OSError
        If the path cannot be read.

    Notes
    -----
    Source: https://specs.ipfs.tech/unixfs/
    """
    profiles = (profile,) if profile else PROFILES
    comparison = Comparison(profiles, threads, symlinks, load, progress)
    return (
        comparison.tree(os.fsdecode(path), cid) if is_tree(path, symlinks) else comparison.file(os.fsdecode(path), cid)
    )
