"""The identity of a function: its own code and all of the user's code and constants that it reaches."""

from __future__ import annotations

import functools
import hashlib
import importlib
import os
import sys
import warnings
from typing import TYPE_CHECKING, Any

from stargazer.errors import UncertainCode
from stargazer.fingerprint.reach import Reach
from stargazer.fingerprint.source import check_module
from stargazer.fingerprint.watch import WIDE, CodeIdentity
from stargazer.fingerprint.wide import Modules, keep

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import FunctionType

    from stargazer.fingerprint.values import Doubt

__all__ = ["UncertainIdentity", "digest_of", "identify", "identify_class"]

FORMAT = "stargazer/code/2"


class UncertainIdentity(UserWarning):
    """Something that a task reaches is in no text: a change of it may go unnoticed."""


def identify(function: FunctionType, name: str, *, strict: bool = False) -> CodeIdentity:
    """Digest `function` and what it reaches.

    Parameters
    ----------
    function
        The body of a task.
    name
        How warnings call it.
    strict
        Raise instead of warning.

    Warns
    -----
    UncertainIdentity
        Something reached is in no text: it came from outside, or has no source.

    Raises
    ------
    CodeChanged
        A file was edited after it was imported.
    UncertainCode
        What is a warning otherwise.
    """
    owner = _owner(function)
    identity = _identity(function, owner, {owner: _file_of(function)})
    if identity.uncertain:
        text = (
            f"changes of these go unnoticed by task {name}, or run it needlessly: {'; '.join(identity.uncertain)}; "
            "pass it as a parameter, or a file as an asset"
        )
        if strict:
            raise UncertainCode(text)
        warnings.warn(text, UncertainIdentity, stacklevel=5)
    return identity


def identify_class(cls: type) -> CodeIdentity:
    """Digest the class of a value that a task is given, with all that its methods reach. Nothing is warned of.

    Raises
    ------
    CodeChanged
        A file was edited after it was imported.
    """
    return _identity({cls.__qualname__: cls}, cls.__module__, {})


def _identity(values: FunctionType | dict[str, Any], owner: str, files: dict[str, str]) -> CodeIdentity:
    reach = Reach.of(values, owner)
    outside = widen(reach, owner, files)
    uncertain = tuple(dict.fromkeys([*reach.uncertain, *outside]))
    manifest, whole = _digests(reach)
    return CodeIdentity(whole, manifest, tuple(sorted(reach.libraries)), uncertain, reach)


def widen(reach: Reach, owner: str, files: dict[str, str]) -> list[str]:
    """Add the texts of the modules that doubtful things can reach; return what these take from outside at import."""
    if not reach.doubts:
        keep()
        return []
    modules = Modules(owner, {name: file for name, file in files.items() if file})
    task = [owner, *{module for module, _ in reach.by_name}]
    whole: dict[str, str] = {}
    done: set[Doubt] = set()
    while todo := [doubt for doubt in reach.doubts if doubt not in done]:
        for doubt in todo:
            start = owner if doubt.module == "__main__" else doubt.module
            whole |= _whole(reach, doubt, modules, _reached(modules, doubt, start, task))
        done.update(todo)
        _set_outside(reach, modules, whole, files)
    modules.watch(whole, reach.watch)
    for module, digest in whole.items():
        reach.whole(_last(module, files), digest)
    keep()
    return modules.outside(whole)


def _whole(reach: Reach, doubt: Doubt, modules: Modules, found: list[str]) -> dict[str, str]:
    """Texts of the modules that a doubtful thing can reach, with the reason for them."""
    for module in found:
        if module in sys.modules:
            check_module(sys.modules[module])
    texts = modules.text(found)
    if found:
        remedy = f" ({doubt.remedy})" if doubt.remedy else ""
        reach.pieces[f"{WIDE}{doubt.what}{remedy}"] = "\n".join(sorted(texts.values()))
    elif doubt.reach != "state":
        reach.uncertain.append(doubt.what)
    return texts


def _set_outside(reach: Reach, modules: Modules, whole: Iterable[str], files: dict[str, str]) -> None:
    """Follow what somebody put into modules that count as a whole: it stands in another text."""
    for module, name, value in sorted(modules.set_outside(whole), key=lambda each: each[:2]):
        place = "the module of the task" if files.get(module) else module  # the whole name: two may end alike
        reach.pieces[f"{name} set in {place}"] = reach.value(value)
    reach.write_all()


def _reached(modules: Modules, doubt: Doubt, start: str, task: list[str]) -> list[str]:
    if doubt.reach == "all":
        return modules.closure(task)
    if doubt.reach == "names":
        return modules.named(task)
    if doubt.reach == "package":  # what others import of it can be had by it, too
        below = [name for name in modules.closure(task) if name.startswith(f"{start}.")]
        return modules.closure([start, *below])
    if doubt.reach in ("value", "state"):
        touching = modules.touching(start, doubt.name, task)
        return [] if doubt.reach == "state" and len(touching) == 1 else modules.closure(touching)
    return modules.closure([start])


def _last(module: str, files: dict[str, str]) -> str:
    """Name of a module that is the same where it runs as a script."""
    file = files.get(module)
    return os.path.basename(file).removesuffix(".py") if file else module.rpartition(".")[2]


def _file_of(function: FunctionType) -> str:
    file = function.__globals__.get("__file__")
    return str(file) if file and os.path.isfile(str(file)) else ""


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
    reach = Reach.of(values, module)
    widen(reach, module, {})
    return _digests(reach)[1]


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
