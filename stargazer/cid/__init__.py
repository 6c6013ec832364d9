"""CIDs of bytes, files and directories, computed offline, as IPFS computes them.

    >>> from stargazer.cid import cid_of_bytes, cid_of_path, verify
    >>> cid_of_bytes(b"hello world")
    'bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e'

A CID names content: the same bytes have the same CID on a laptop, in S3 and on an IPFS node. The default
profile is what ``ipfs add --cid-version=1`` and Pinata use.
"""

from __future__ import annotations

import importlib

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from stargazer.cid.checks import Check, check, verify
    from stargazer.cid.cid import DAG_PB, RAW, Parsed, address, format_cid, parse
    from stargazer.cid.dagpb import file_links
    from stargazer.cid.directory import DirNode, Entry, directory_node, is_directory, read_directory
    from stargazer.cid.trees import Tree, cid_of_path, cid_of_tree
    from stargazer.cid.unixfs import (
        KUBO,
        PROFILES,
        UNIXFS_2025,
        CIDProfile,
        FileNode,
        Hasher,
        cid_of_bytes,
        cid_of_file,
        cid_of_stream,
        file_node,
        profile,
    )

__all__ = [
    "DAG_PB",
    "KUBO",
    "PROFILES",
    "RAW",
    "UNIXFS_2025",
    "CIDProfile",
    "Check",
    "DirNode",
    "Entry",
    "FileNode",
    "Hasher",
    "Parsed",
    "Tree",
    "address",
    "check",
    "cid_of_bytes",
    "cid_of_file",
    "cid_of_path",
    "cid_of_stream",
    "cid_of_tree",
    "directory_node",
    "file_links",
    "file_node",
    "format_cid",
    "is_directory",
    "parse",
    "profile",
    "read_directory",
    "verify",
]

_HOMES = {
    "checks": ("Check", "check", "verify"),
    "cid": ("DAG_PB", "RAW", "Parsed", "address", "format_cid", "parse"),
    "dagpb": ("file_links",),
    "directory": ("DirNode", "Entry", "directory_node", "is_directory", "read_directory"),
    "trees": ("Tree", "cid_of_path", "cid_of_tree"),
    "unixfs": (
        "KUBO", "PROFILES", "UNIXFS_2025", "CIDProfile", "FileNode", "Hasher",
        "cid_of_bytes", "cid_of_file", "cid_of_stream", "file_node", "profile",
    ),
}  # fmt: skip
"""Read when they are asked for: a process in which all is known hashes no directory and checks no file."""
_HOME = {name: module for module, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'stargazer.cid' has no attribute {name!r}")
    value = globals()[name] = getattr(importlib.import_module(f"stargazer.cid.{_HOME[name]}"), name)
    return value
