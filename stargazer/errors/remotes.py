"""Places outside the store."""

from __future__ import annotations

from stargazer.errors.base import StargazerError

__all__ = ["RemoteCannot", "RemoteError", "RemoteLacks", "RemoteRefused"]


class RemoteError(StargazerError):
    """A place outside the store could not do what was asked of it; the message names it."""


class RemoteRefused(RemoteError):
    """What a remote sent was refused: other bytes, too many, too few or too slowly."""


class RemoteCannot(RemoteError):
    """A remote does not offer what was asked of it."""


class RemoteLacks(RemoteError, LookupError):
    """A remote, or each of several, does not have what was asked for."""
