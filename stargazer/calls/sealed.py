"""Values of the user's own types on their way to a worker: schedulers need not have the modules of those types."""

from __future__ import annotations

from typing import Any

__all__ = ["Sealed", "opened", "seal"]

OPEN = frozenset((str, int, float, bool, type(None)))


class Sealed:
    """A value that is unpickled only where it is used.

    Parameters
    ----------
    value
        The value here; None where only its bytes have arrived.
    packed
        The pickled value.
    """

    def __init__(self, value: Any, packed: bytes | None = None) -> None:
        self.value, self.packed = value, packed

    def __reduce__(self) -> Any:
        if self.packed is None:
            import cloudpickle

            self.packed = cloudpickle.dumps(self.value)
        return Sealed, (None, self.packed)

    def open(self) -> Any:
        """Return the value."""
        if self.value is None and self.packed is not None:
            import pickle

            self.value = pickle.loads(self.packed)
        return self.value


def seal(value: Any) -> Any:
    """Return `value` itself if every scheduler can read it, else sealed."""
    return value if _is_open(value) else Sealed(value)


def opened(value: Any) -> Any:
    """Return what was sealed; in lists and dicts, too."""
    if type(value) is Sealed:
        return value.open()
    if type(value) is list:
        return [opened(item) for item in value]
    if type(value) is dict:
        return {name: opened(item) for name, item in value.items()}
    return value


def _is_open(value: Any) -> bool:
    kind = type(value)
    if kind in OPEN:
        return True
    if kind in (list, tuple):
        return all(map(_is_open, value))
    if kind is dict:
        return all(map(_is_open, value.values()))
    return kind.__module__.startswith("stargazer.") and all(map(_is_open, getattr(value, "companions", ())))
