"""What a tool is, as this user noted it: asking takes a while."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from typing import TYPE_CHECKING, NamedTuple

from stargazer.bounded import read_own
from stargazer.config import cache_dir
from stargazer.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

__all__ = ["ENVIRONMENTS", "ToolIdentity", "noted_identity"]

ENVIRONMENTS = ("container:", "conda:")
"""How names of environments begin, which stand among tools."""

LONGEST_NOTE = 65_536
"""Bytes of a note on a tool."""


class ToolIdentity(NamedTuple):
    """A tool as it goes into keys.

    Parameters
    ----------
    name
        Name of the command or package.
    version
        What it says of itself.
    digest
        SHA-256 of the binary, or of the compiled modules of the package.
    """

    name: str
    version: str
    digest: str

    @property
    def is_environment(self) -> bool:
        """Whether it is no tool but what tools run in: a container, or an environment of conda."""
        return self.name.startswith(ENVIRONMENTS)


def noted_identity(name: str, seen: str, ask: Callable[[], ToolIdentity]) -> ToolIdentity:
    """Return what this user noted of a tool, or ask and note it.

    Parameters
    ----------
    name
        Of the tool.
    seen
        What changes whenever the tool does.
    ask
        Takes a while.
    """
    known = cache_dir() / "tools" / hashlib.sha256(f"{name} {seen}".encode()).hexdigest()
    try:
        return _noted(known)
    except (OSError, ValueError, TypeError, RecursionError):
        identity = ask()
        _remember(known, identity)
        return identity


def _noted(known: Path) -> ToolIdentity:
    """Identity of a tool as this user's own note has it; what somebody else noted is not believed."""
    identity = ToolIdentity(**json.loads(read_own(known, LONGEST_NOTE)))
    if not all(isinstance(each, str) for each in identity):
        raise TypeError(f"{known} is no note of a tool")
    return identity


def _remember(known: Path, identity: ToolIdentity) -> None:
    from stargazer.store.folders import private_folder

    temporary = known.with_name(f"{known.name}.{os.urandom(4).hex()}")
    with contextlib.suppress(OSError, StoreError):  # the cache may be read-only, or somebody else's
        private_folder(str(known.parent))
        temporary.write_text(json.dumps(identity._asdict()), "utf-8")
        temporary.replace(known)
