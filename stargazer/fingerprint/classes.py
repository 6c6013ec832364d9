"""The identity of a class: where it stands, and what its methods do."""

from __future__ import annotations

import functools
import sys
import time
import warnings
from pathlib import Path
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from stargazer.errors import CodeChanged
from stargazer.fingerprint.identity import UncertainIdentity, identify_class
from stargazer.fingerprint.origin import ENGINE, is_own

if TYPE_CHECKING:
    from stargazer.fingerprint.watch import CodeIdentity

__all__ = ["class_code", "class_name", "module_name"]

_KNOWN: WeakKeyDictionary[type, CodeIdentity] = WeakKeyDictionary()
_EDITED: WeakKeyDictionary[type, tuple[float, str]] = WeakKeyDictionary()
"""Classes whose code was edited since it was imported: until when that is not asked again, and what was told."""

STANDS = 1.0
"""Seconds for which that stands: to find it out takes a walk through all that the class reaches, for every call."""


def module_name(module: str) -> str:
    """Return the name under which a module is imported, also where it runs as a script or with ``python -m``."""
    main = sys.modules.get("__main__")
    if module != "__main__" or main is None:
        return module
    spec = getattr(main, "__spec__", None)
    file = getattr(main, "__file__", None)
    if spec is not None:
        return str(spec.name).removesuffix(".__main__")
    return _imported_as(file) if file else module


def class_name(cls: type) -> str:
    """Return module and qualified name of a class: two classes of one name in two modules are two."""
    return f"{module_name(cls.__module__)}.{cls.__qualname__}"


def class_code(cls: type, owner: str, *, given: bool = True) -> str:
    """Return what tells whether the methods of a class are still the same.

    Parameters
    ----------
    cls
        The class of a value.
    owner
        Module of the task that is given the value.
    given
        Whether there is a value of the class; of one that may only come, nothing is said.

    Warns
    -----
    UncertainIdentity
        Something that the class reaches cannot be hashed.

    Raises
    ------
    CodeChanged
        Its file, or one that it reaches, was edited after it was imported.

    Returns
    -------
    str
        Digest of its code, if it is the user's own; the version of its library; nothing for Python's own classes.
    """
    if is_own(cls.__module__, owner):
        known = _KNOWN.get(cls)
        if known is None or not known.is_current():
            known = _KNOWN[cls] = _identified(cls, given=given)
        if known.uncertain and given:
            told = f"changes of these go unnoticed by {cls.__qualname__}: {'; '.join(known.uncertain)}"
            warnings.warn(told, UncertainIdentity, stacklevel=6)
        return known.digest
    top = cls.__module__.partition(".")[0]
    return "" if top == ENGINE or top in sys.stdlib_module_names else _version(top)


def _identified(cls: type, *, given: bool) -> CodeIdentity:
    until, told = _EDITED.get(cls, (0.0, ""))
    if not given and time.monotonic() < until:
        raise CodeChanged(told)
    try:
        return identify_class(cls)
    except CodeChanged as error:
        _EDITED[cls] = time.monotonic() + STANDS, str(error)
        raise


@functools.lru_cache(maxsize=64)
def _imported_as(file: str) -> str:
    names = [Path(file).stem]
    folder = Path(file).absolute().parent
    while (folder / "__init__.py").exists():
        names.insert(0, folder.name)
        folder = folder.parent
    return ".".join(names)


@functools.cache
def _version(top: str) -> str:
    import importlib.metadata

    try:
        return importlib.metadata.version(top)
    except importlib.metadata.PackageNotFoundError:
        names = importlib.metadata.packages_distributions().get(top, ())
        return " ".join(f"{name} {importlib.metadata.version(name)}" for name in sorted(set(names)))
