"""The identity of a function: its own code and all of the user's code and constants that it reaches."""

from __future__ import annotations

import hashlib
import warnings
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from stargazer.code.reach import Reach

if TYPE_CHECKING:
    from types import FunctionType

__all__ = ["CodeIdentity", "UncertainIdentity", "identify"]

FORMAT = "stargazer/code/1"


class UncertainIdentity(UserWarning):
    """Something that a task reaches cannot be hashed: a change of it goes unnoticed."""


class Followed(Protocol):
    """What a digest was made of."""

    def is_current(self) -> bool:
        """Whether it is all still the same."""


@dataclass(frozen=True)
class CodeIdentity:
    """What a function does, as a digest.

    Parameters
    ----------
    digest
        SHA-256 over all pieces, in hexadecimal digits.
    manifest
        The digest of each piece: the function itself, the functions, classes and constants that it reaches.
    """

    digest: str
    manifest: dict[str, str]
    _reach: Followed = field(repr=False, compare=False)

    def is_current(self) -> bool:
        """Whether nothing that was reached has been rebound or changed since. Cheap: no source is read."""
        return self._reach.is_current()


def identify(function: FunctionType, name: str) -> CodeIdentity:
    """Digest `function` and what it reaches.

    Parameters
    ----------
    function
        The body of a task.
    name
        How warnings call it.

    Warns
    -----
    UncertainIdentity
        Something reached cannot be hashed.

    Raises
    ------
    CodeChanged
        A file was edited after it was imported.
    """
    reach = Reach(function)
    if reach.uncertain:
        listed = "; ".join(reach.uncertain)
        warnings.warn(f"changes of these go unnoticed by task {name}: {listed}", UncertainIdentity, stacklevel=3)
    manifest = {label: _digest(text) for label, text in sorted(reach.pieces.items())}
    whole = _digest("\n".join([FORMAT, *(f"{label} {digest}" for label, digest in manifest.items())]))
    return CodeIdentity(whole, manifest, reach)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
