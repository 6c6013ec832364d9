"""``stargazer cid``: names of files and directories, and whether they still fit."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stargazer.cli.options import JSON, STORE, print_json, say, show_progress
from stargazer.errors import StargazerError

if TYPE_CHECKING:
    from collections.abc import Callable

    from stargazer.cid import Check
    from stargazer.cid.trees import Symlinks
    from stargazer.store import Store

__all__ = ["cid", "nodes_of"]

SHOWN_PARTS = 50


def cid(
    paths: Annotated[list[str], typer.Argument(metavar="PATH…", help="Files and directories; - for stdin.")],
    check: Annotated[
        str | None, typer.Option("--check", metavar="CID", help="Verify that PATH is what CID names; say what differs.")
    ] = None,
    profile: Annotated[
        str | None, typer.Option(metavar="NAME", help="kubo-v1-256k-174 (the default) or unixfs-v1-2025.")
    ] = None,
    follow_symlinks: Annotated[
        bool, typer.Option("--follow-symlinks", help="Name what symlinks point to; they are refused otherwise.")
    ] = False,
    threads: Annotated[
        int | None, typer.Option(min=1, help="Threads that read and hash; one a core by default.")
    ] = None,
    store: STORE = None,
    json: JSON = False,
) -> None:
    """Print the CIDs of files and directories.

    They are those that IPFS gives, computed offline. With --check, verify one, and say which part differs.
    """
    how = _How(profile, "follow" if follow_symlinks else "refuse", threads or _cores())
    if check is None:
        _print_cids(paths, how, json)
    elif len(paths) != 1 or paths == ["-"]:
        raise typer.BadParameter("--check takes one CID and one file or directory")
    else:
        _print_check(paths[0], check, how, store, json)


class _How:
    """How paths are named."""

    def __init__(self, profile: str | None, symlinks: Symlinks, threads: int) -> None:
        from stargazer import cid

        if profile is not None and profile not in {each.name for each in cid.PROFILES}:
            known = ", ".join(each.name for each in cid.PROFILES)
            raise typer.BadParameter(f"there is no profile {profile!r}; there are {known}")
        self.asked = cid.profile(profile) if profile else None
        self.profile = self.asked or cid.KUBO
        self.symlinks: Symlinks = symlinks
        self.threads = threads

    def name(self, path: str) -> str:
        from stargazer.cid import cid_of_path, cid_of_stream
        from stargazer.display import byte_progress, path_progress

        if path == "-":
            with byte_progress("cid -", shown=show_progress()) as progress:
                return cid_of_stream(sys.stdin.buffer, self.profile, progress)
        with path_progress("cid", path, shown=show_progress()) as progress:
            return cid_of_path(path, self.profile, self.threads, self.symlinks, progress)

    def check(self, path: str, cid: str, store: str | None) -> Check:
        from stargazer.cid import check
        from stargazer.display import path_progress

        with path_progress("cid", path, shown=show_progress()) as progress:
            options: dict[str, Any] = {"profile": self.asked, "threads": self.threads, "symlinks": self.symlinks}
            return check(path, cid, load=nodes_of(store), progress=progress, **options)


def _print_cids(paths: list[str], how: _How, json: bool) -> None:
    """Name each path; those that cannot be named do not stop the others."""
    from stargazer.errors import CIDError

    named = []
    failed = False
    for path in paths:
        try:
            named.append({"cid": how.name(path), "path": path})
        except (CIDError, OSError) as error:
            failed = True
            say(f"stargazer: {path}: {getattr(error, 'strerror', None) or error}", err=True)
        else:
            if not json:
                say(_line(**named[-1]))
    if json:
        print_json({"named": named})
    if failed:
        raise typer.Exit(1)


def _line(cid: str, path: str) -> bytes:
    """Write a line of checksums as sha256sum does: a backslash in front where the path had to be escaped."""
    escaped = path.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r")
    return os.fsencode(f"{'' if escaped == path else chr(92)}{cid}  {escaped}")


def _print_check(path: str, expected: str, how: _How, store: str | None, json: bool) -> None:
    from stargazer.cid import parse
    from stargazer.errors import CIDError

    try:
        parse(expected)
    except CIDError as error:
        raise typer.BadParameter(str(error), param_hint="--check") from None
    result = how.check(path, expected, store)
    if json:
        parts = list(result.parts)
        print_json({"path": path, "ok": result.ok, "expected": result.expected, "found": result.found, "parts": parts})
    elif result.ok:
        say(f"{path}: OK")
    if not result.ok:
        say(f"stargazer: {_difference(path, result)}", err=True)
        raise typer.Exit(1)


def _difference(path: str, result: Check) -> str:
    if len(result.parts) == 1:
        return result.reason
    shown = [f"  {part}" for part in result.parts[:SHOWN_PARTS]]
    more = len(result.parts) - SHOWN_PARTS
    head = f"{path!r} is {result.found}, not {result.expected}:"
    return "\n".join([head, *shown, *([f"  and {more} more; --json has them all"] if more > 0 else [])])


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


# Inner nodes of what a store has, so that a check can say which part of a file or directory differs.


def nodes_of(url: str | None) -> Callable[[str], bytes]:
    """Return what gives nodes of files and directories by CID, as far as a store has them; it is opened when asked.

    Parameters
    ----------
    url
        The store; None for the configured one, which may be out of reach.
    """
    nodes: dict[str, bytes] = {}

    def load(cid: str) -> bytes:
        if cid not in nodes:
            nodes.update(_nodes(url, cid))
        return nodes[cid]

    return load


def _nodes(url: str | None, cid: str) -> dict[str, bytes]:
    from stargazer.cli.options import open_store

    try:
        return _nodes_in(open_store(url), cid)
    except (StargazerError, OSError):
        if url is not None:
            raise
        return {}


def _nodes_in(store: Store, cid: str) -> dict[str, bytes]:
    """The nodes of a directory, or those of a file, which a store does not keep but can make again."""
    from stargazer.cid import file_node

    block = store.dirs.node(cid)
    if block is not None:
        return {cid: block}
    found: dict[str, bytes] = {}
    if store.size(cid) is not None:
        file_node(store.blobs.path(cid), store.context.profile, keep=found.__setitem__)
    return found
