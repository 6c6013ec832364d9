"""Which code wired a call, and for whom: its function names runs, and its commit stands in their records."""

from __future__ import annotations

import os
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from stargazer.errors import StoreError
from stargazer.store import Store

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

    from stargazer.execute import TaskSpec

__all__ = ["Wired", "asked_by", "stamped", "wired_by"]

_principal: ContextVar[str] = ContextVar("stargazer_principal", default="")

TYPED = ("<string>", "<stdin>")
"""Names that Python gives to code which is in no file, and in no notebook either."""

PACKAGE = f"{Path(__file__).parent.parent}{os.sep}"


class Wired(NamedTuple):
    """The place in the code where a task was called.

    Parameters
    ----------
    name
        Qualified name of its function; ``<module>`` of a script or a cell.
    path
        File of the user's code: of a workflow that comes along, of what called it.
    principal
        Who asked a service for it.
    """

    name: str = ""
    path: str = ""
    principal: str = ""

    @property
    def workflow(self) -> str:
        """What a run of it is called."""
        name = self.name.partition(".")[0]
        if not name.startswith("<"):
            return name
        if os.path.isfile(self.path):
            return Path(self.path).stem
        return "python" if self.path in TYPED else "notebook"


def wired_by(frame: FrameType | None) -> Wired:
    """Return the code that a frame belongs to."""
    principal = _principal.get()
    if frame is None:
        return Wired(principal=principal)
    code = frame.f_code
    name, path = code.co_qualname, code.co_filename
    while path.startswith(PACKAGE) and frame.f_back is not None:
        frame = frame.f_back
        path = frame.f_code.co_filename
        name = frame.f_code.co_qualname if name.startswith("<") else name
    return Wired(name, path, principal)


@contextmanager
def asked_by(principal: str) -> Iterator[None]:
    """Let the records of calls that are wired in here say who asked a service for them."""
    token = _principal.set(principal)
    try:
        yield
    finally:
        _principal.reset(token)


def stamped(spec: TaskSpec) -> TaskSpec:
    """Return an order with the commit of the code that wired it; asked only of calls that run.

    Where that code differs from its commit, the store keeps the difference, and the order names it.

    Parameters
    ----------
    spec
        Of a call of this process, or of one that came here.
    """
    if spec.wired is None:
        return spec
    from stargazer.tools.git import revision_of

    revision = revision_of(spec.wired.path)
    diff = None
    if revision.diff:
        with suppress(StoreError, OSError):  # a store that cannot be written to runs nothing either, and says so
            diff = Store.open(spec.store).blobs.put_bytes(revision.diff)
    found = {"commit": revision.commit, "dirty": revision.dirty, "diff": diff}
    return spec.with_changes(**found, principal=spec.wired.principal, wired=None)
