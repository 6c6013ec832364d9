"""The identity of a function: its own code and all of the user's code and constants that it reaches."""

from __future__ import annotations

import functools
import hashlib
import importlib
import sys
import warnings
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from stargazer.fingerprint.reach import Reach

if TYPE_CHECKING:
    from types import FunctionType

__all__ = ["CodeIdentity", "UncertainIdentity", "digest_of", "identify", "identify_class"]

FORMAT = "stargazer/code/1"


class UncertainIdentity(UserWarning):
    """Something that a task reaches cannot be hashed: a change of it goes unnoticed."""


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
    _reach: Reach | None = field(default=None, repr=False, compare=False)

    def is_current(self) -> bool:
        """Whether nothing that was reached has been rebound or changed since. Cheap: no source is read."""
        return self._reach is None or self._reach.watch.is_current()

    @property
    def imports(self) -> dict[str, tuple[str, ...]]:
        """Own names that another process would import, by module, where the function itself is sent."""
        found: dict[str, list[str]] = {}
        for module, name in sorted(self._reach.by_name if self._reach else ()):
            found.setdefault(module, []).append(name)
        return {module: tuple(names) for module, names in found.items()}


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
    reach = Reach(function, _owner(function))
    if reach.uncertain:
        listed = "; ".join(dict.fromkeys(reach.uncertain))
        warnings.warn(f"changes of these go unnoticed by task {name}: {listed}", UncertainIdentity, stacklevel=5)
    manifest, whole = _digests(reach)
    return CodeIdentity(whole, manifest, reach)


def identify_class(cls: type) -> tuple[CodeIdentity, str]:
    """Digest the class of a value that a task is given, with all that its methods reach; and say what cannot be hashed.

    Raises
    ------
    CodeChanged
        A file was edited after it was imported.
    """
    reach = Reach({cls.__qualname__: cls}, cls.__module__)
    manifest, whole = _digests(reach)
    return CodeIdentity(whole, manifest, reach), "; ".join(dict.fromkeys(reach.uncertain))


def digest_of(module: str, names: tuple[str, ...]) -> str | None:
    """Digest of what names of a module mean here, with all that it reaches; None where there is no such module.

    Parameters
    ----------
    module, names
        From `CodeIdentity.imports`; the empty name is the module itself.
    """
    try:
        found: object = importlib.import_module(module)
    except ImportError:
        return None
    values = {name: functools.reduce(_attribute, name.split(".") if name else [], found) for name in names}
    return _digests(Reach(values, module))[1]


def _attribute(value: object, name: str) -> object:
    return getattr(value, name, None)


def _owner(function: FunctionType) -> str:
    """Name of the module that a function belongs to, also where it runs as ``python -m package.module``."""
    main = sys.modules.get("__main__")
    spec = getattr(main, "__spec__", None)
    if spec is not None and vars(main) is function.__globals__:
        return str(spec.name)
    return function.__module__ or "__main__"


def _digests(reach: Reach) -> tuple[dict[str, str], str]:
    manifest = {label: _digest(text) for label, text in sorted(reach.pieces.items())}
    return manifest, _digest("\n".join([FORMAT, *(f"{label} {digest}" for label, digest in manifest.items())]))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
