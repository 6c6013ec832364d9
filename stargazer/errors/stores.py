"""Names of bytes, assets and the store."""

from __future__ import annotations

from stargazer.errors.base import StargazerError

__all__ = [
    "AssetError",
    "BlobLost",
    "CIDError",
    "CIDMismatch",
    "InputChanged",
    "InvalidField",
    "NotFound",
    "StoreError",
    "StoreFull",
    "StoreReadOnly",
    "StoreUnseen",
    "UnknownField",
]


class CIDError(StargazerError, ValueError):
    """A string is no CID that Stargazer reads, or a path cannot be named by one."""


class CIDMismatch(CIDError):
    """Bytes are not those that their CID names.

    Parameters
    ----------
    message
        What differs and what to do.
    parts
        The differing parts: byte ranges of a file, names in a directory.
    """

    def __init__(self, message: str, parts: list[str] | tuple[str, ...] = ()) -> None:
        super().__init__(message, tuple(parts))
        self.parts = tuple(parts)

    def __str__(self) -> str:
        return str(self.args[0])


class AssetError(StargazerError):
    """An asset's facts, fields or companions are wrong."""


class UnknownField(AssetError, TypeError):
    """A field that the asset type does not declare."""


class InvalidField(AssetError, TypeError):
    """A field whose value has the wrong type."""


class StoreError(StargazerError):
    """The store cannot do what was asked."""


class NotFound(StoreError, LookupError):
    """Nothing in the store answers to that name."""


class BlobLost(StoreError):
    """Bytes that a record promises are gone or corrupt.

    Parameters
    ----------
    cid
        Name of the lost bytes.
    reason
        What was found in their place.
    """

    def __init__(self, cid: str, reason: str = "missing") -> None:
        super().__init__(cid, reason)
        self.cid, self.reason = cid, reason

    def __str__(self) -> str:
        return f"{self.cid} is {self.reason} in the store; compute again what made it, or add the file again"


class InputChanged(StoreError):
    """A tool wrote to one of its inputs."""


class StoreFull(StoreError, OSError):
    """No space is left where the store writes."""

    def __str__(self) -> str:
        return self.strerror or super().__str__()


class StoreReadOnly(StoreError, PermissionError):
    """Nothing can be written to the store from here."""

    def __str__(self) -> str:
        return self.strerror or super().__str__()


class StoreUnseen(StoreError):
    """A worker does not see the store, and nobody who does answers it."""
