"""Who may ask: a function that wires calls decides by what it was given, and by nothing else."""

from __future__ import annotations

from contextvars import ContextVar

from stargazer.errors import WiringError

__all__ = ["WIRING", "refuse_while_wiring"]

WIRING: ContextVar[str] = ContextVar("wiring", default="")
"""Name of the function that wires calls on this thread now; empty where none does."""


def refuse_while_wiring(what: str) -> None:
    """Refuse what would make the calls that a function wires depend on more than it was given.

    Parameters
    ----------
    what
        What was asked for, in words.

    Raises
    ------
    WiringError
        Such a function runs here.
    """
    if name := WIRING.get():
        raise WiringError(
            f"{name} {what}: a function that wires decides by what it is given, and opens, asks and computes nothing "
            "itself; let a task do that, and pass its result"
        )
