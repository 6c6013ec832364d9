"""Ledger records and the keys that point to them. What they mean is the ledger's affair."""

from __future__ import annotations

import binascii
import hashlib
from typing import TYPE_CHECKING

from stargazer.store import layout
from stargazer.store.base import OpenStore

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["Records", "seal", "unseal"]


def seal(data: bytes) -> bytes:
    """`data` behind a checksum, so that a torn file is noticed."""
    return b"%08x " % binascii.crc32(data) + data


def unseal(sealed: bytes) -> bytes | None:
    """What was sealed, or None if it is torn."""
    data = sealed[9:]
    return data if sealed[:9] == b"%08x " % binascii.crc32(data) else None


class Records(OpenStore):
    """The part of a store that the ledger writes."""

    def put_record(self, data: bytes) -> str:
        """Keep an immutable record; its id is the SHA-256 of its bytes, in hexadecimal."""
        identifier = hashlib.sha256(data).hexdigest()
        _ = self.header
        self.backend.replace(layout.record(identifier), data)
        self._journal("records", identifier)
        return identifier

    def get_record(self, identifier: str) -> bytes | None:
        """A record's bytes, or None if it is missing or torn."""
        return self.get_records([identifier]).get(identifier)

    def get_records(self, identifiers: Iterable[str]) -> dict[str, bytes]:
        """Bytes of those records that are there and whole, many at once."""
        places = {layout.record(identifier): identifier for identifier in identifiers}
        found = self.backend.read_many(places)
        return {places[p]: data for p, data in found.items() if hashlib.sha256(data).hexdigest() == places[p]}

    def set_keys(self, values: Mapping[str, bytes]) -> None:
        """Point keys at small values, each replaced atomically."""
        _ = self.header
        self.backend.replace_many({layout.key(key): seal(value) for key, value in values.items()})

    def get_keys(self, keys: Iterable[str]) -> dict[str, bytes]:
        """Values of those keys that are there and whole, many at once."""
        places = {layout.key(key): key for key in keys}
        found = self.backend.read_many(places)
        values = ((places[place], unseal(sealed)) for place, sealed in found.items())
        return {key: value for key, value in values if value is not None}

    def _journal(self, kind: str, *names: str) -> None:
        """Note a change by time where directories have no mtime that tells."""
        if not self.backend.local:
            from stargazer.store.journal import write

            write(self.backend, [f"{kind}.{name}" for name in names])
