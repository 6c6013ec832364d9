"""The identity of a function whose code is told by a version: its name, and what it holds beside its code."""

from __future__ import annotations

import functools
import hashlib
import warnings
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from typing import Any

from stargazer.fingerprint.canonical import encode
from stargazer.fingerprint.classes import class_name, module_name
from stargazer.fingerprint.identity import UncertainIdentity
from stargazer.fingerprint.origin import label
from stargazer.fingerprint.watch import CodeIdentity, contents

__all__ = ["identify_version"]

FORMAT = "stargazer/version/2"


def identify_version(function: FunctionType, version: str) -> CodeIdentity:
    """Digest what a version does not stand for: where `function` is defined, its defaults, what its closure holds.

    Parameters
    ----------
    function
        The body of a task.
    version
        Stands in place of the code of `function`, and of all that this reaches.

    Warns
    -----
    UncertainIdentity
        A value of the closure cannot be hashed.
    """
    held = _Held()
    lines = [FORMAT, version, held.function(function)]
    if held.uncertain:
        listed = "; ".join(dict.fromkeys(held.uncertain))
        warnings.warn(
            f"changes of these go unnoticed by task {function.__name__}: {listed}", UncertainIdentity, stacklevel=5
        )
    digest = hashlib.sha256("\n".join(lines).encode()).hexdigest()
    return CodeIdentity(digest, {f"version {version}": digest})


class _Held:
    """Writes functions and classes by their names, and in full what they hold beside their code."""

    def __init__(self) -> None:
        self.uncertain: list[str] = []
        self._seen: set[int] = set()

    def function(self, function: FunctionType) -> str:
        name = f"function {module_name(function.__module__ or '')}.{function.__qualname__}"
        if id(function) in self._seen:
            return name
        self._seen.add(id(function))
        cells = dict(zip(function.__code__.co_freevars, function.__closure__ or (), strict=True))
        held = {name: contents(cell) for name, cell in sorted(cells.items())}
        return f"{name} {self.value(function.__defaults__)} {self.value(function.__kwdefaults__)} {self.value(held)}"

    def value(self, value: Any) -> str:
        try:
            return encode(value, self._other, class_name)
        except RecursionError:
            self.uncertain.append(f"a {type(value).__qualname__} that holds itself")
            return f"endless {type(value).__qualname__}"

    def _other(self, value: Any) -> str:
        if isinstance(value, FunctionType):
            return self.function(value)
        if isinstance(value, type):
            return f"class {class_name(value)}"
        if isinstance(value, ModuleType):
            return f"module {module_name(value.__name__)}"
        if isinstance(value, MethodType):
            return f"method {value.__func__.__qualname__} of {self.value(value.__self__)}"
        if isinstance(value, functools.partial):
            return f"partial {self.value(value.func)} {self.value(value.args)} {self.value(value.keywords)}"
        if isinstance(value, BuiltinFunctionType):
            return f"builtin {label(value)}"
        return self._object(value)

    def _object(self, value: Any) -> str:
        """Write an object by its class and its state; a task among them is a function with a name."""
        if isinstance(body := getattr(value, "body", None), FunctionType) and hasattr(value, "check_code"):
            return self.function(body)
        if id(value) in self._seen or type(value).__module__ == "builtins" or not hasattr(value, "__dict__"):
            self.uncertain.append(f"an object of {label(type(value))}")
            return f"opaque {label(type(value))}"
        self._seen.add(id(value))
        return f"object {class_name(type(value))} {self.value(vars(value))}"
