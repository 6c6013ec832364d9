"""Places outside the store."""

from __future__ import annotations

from stargazer.errors.base import ConfigError, StargazerError

__all__ = ["RemoteCannot", "RemoteError", "RemoteLacks", "RemoteRefused", "TokenMissing"]


class RemoteError(StargazerError):
    """A place outside the store could not do what was asked of it; the message names it."""


class RemoteRefused(RemoteError):
    """What a remote sent was refused: other bytes, too many, too few or too slowly."""


class RemoteCannot(RemoteError):
    """A remote does not offer what was asked of it."""


class RemoteLacks(RemoteError, LookupError):
    """A remote, or each of several, does not have what was asked for."""


class TokenMissing(RemoteError, ConfigError):
    """The environment variable that holds the token of a remote is not set."""
