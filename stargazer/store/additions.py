"""Additions that are no plain copies: files that are converted first, and values in memory."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from stargazer.assets.conversion import Conversion, conversion_of
from stargazer.errors import CIDError
from stargazer.store import layout
from stargazer.store.assets import NO_PATH, drafted
from stargazer.store.layout import read_object

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stargazer.assets import Asset
    from stargazer.cid.unixfs import Progress
    from stargazer.store.assets import Assets
    from stargazer.store.context import StoreContext
    from stargazer.store.records import Records

__all__ = ["Addition", "Additions"]


FORMAT = "stargazer/addition/1"


class Addition(NamedTuple):
    """The record of an addition: the CID of what was added, and what it was converted by.

    Parameters
    ----------
    source
        CID of the file or directory as it came.
    conversion
        Code and library versions that made the stored form of it.
    """

    source: str
    conversion: Conversion

    @classmethod
    def of(cls, draft: Asset) -> Addition:
        """What adding a draft would do; its file is hashed."""
        from stargazer.cid import cid_of_path

        return cls(cid_of_path(draft.path, symlinks="follow"), conversion_of(type(draft)))

    def key(self, draft: Asset) -> str | None:
        """Key under which the result is remembered; None of a draft with companions that are not stored yet."""
        if any(companion.cid is None for companion in draft.companions):
            return None
        name = draft.name or Path(os.path.abspath(draft.path)).name
        asked = replace(draft, path=NO_PATH, cid=self.source, name=name, source=None)
        made_by = [self.conversion.type, self.conversion.code, dict(self.conversion.libraries)]
        text = json.dumps([FORMAT, asked.id, made_by], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    def to_bytes(self) -> bytes:
        """Canonical JSON."""
        members = {"format": FORMAT, "source": self.source, "conversion": self.conversion._asdict()}
        return json.dumps(members, sort_keys=True, separators=(",", ":")).encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> Addition | None:
        """Read it; None of a plain mark, or of one that is torn or of a newer format."""
        try:
            members = read_object(data)
            if members["format"] != FORMAT:
                return None
            return cls(str(members["source"]), Conversion(**members["conversion"]))
        except (ValueError, TypeError, KeyError):
            return None


class Additions:
    """Takes into a store what is stored in another form than it comes in.

    Parameters
    ----------
    context
        Of the store.
    assets
        Keeps the files, and what is known of them.
    records
        Keep the keys of conversions that were done.
    """

    def __init__(self, context: StoreContext, assets: Assets, records: Records) -> None:
        self.context, self.assets, self.records = context, assets, records

    def add(self, path: str | os.PathLike[str] | object, template: Asset, **options: Any) -> Asset:
        """Store a file or directory in the form of its type, or a value in memory: `Store.add`."""
        if not isinstance(path, (str, os.PathLike)):
            return self._add_value(path, template, **options)
        progress = options.pop("progress", None)
        draft = drafted(path, template, **options)
        if draft.converts and os.path.exists(draft.path):
            return self._add_converted(draft, progress)
        return self.assets.add(draft, progress=progress)

    def _add_value(self, value: object, template: Asset, **options: Any) -> Asset:
        """Add what is in memory, by way of the file that its type writes of it."""
        import tempfile

        _ = self.context.header
        self.context.scratch.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="add-", dir=self.context.scratch) as directory:
            return self.add(template.written(value, Path(directory)), template, **options)

    def _add_converted(self, draft: Asset, progress: Progress | None) -> Asset:
        """Add a file in the form that its type is stored in; unless the same was done by the same code before."""
        place = os.path.realpath(draft.path)
        try:
            before, addition = _last_change(place), Addition.of(draft)
        except CIDError:
            with self._as_stored(draft):  # its reader says what is wrong, in the words of the format
                raise
        key = addition.key(draft)
        stored = self._added_before(key) if key else None
        if stored is None:
            with self._as_stored(draft) as ready:
                stored = self.assets.put(self.assets.take(ready, move=True, progress=progress))
            if key and _last_change(place) == before:
                self.records.set_keys({key: stored.id.encode()})
        self.assets.mark_added(stored, addition.to_bytes())
        return stored

    def _added_before(self, key: str) -> Asset | None:
        """What an addition gave, while its record and its bytes are here."""
        identifier = self.records.get_keys([key]).get(key, b"").decode("ascii", "replace")
        found = self.assets.read([identifier]).get(identifier) if identifier else None
        return self.assets.handle(found) if found is not None and self.assets.exists(found) else None

    def addition_of(self, asset: Asset) -> Addition | None:
        """Say what an asset was converted from, and by which code and library versions, when it was added.

        Parameters
        ----------
        asset
            A stored asset.

        Returns
        -------
        Addition or None
            None of what a task made, what was stored as it came, or an older version added.
        """
        return Addition.from_bytes(self.context.backend.read(layout.added(asset.id)) or b"")

    @contextmanager
    def _as_stored(self, draft: Asset) -> Iterator[Asset]:
        """A draft in the form that its type is stored in, in a directory that goes afterwards."""
        import tempfile

        _ = self.context.header
        self.context.scratch.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="add-", dir=self.context.scratch) as directory:
            yield draft.converted(Path(directory))


def _last_change(path: str) -> float:
    """When anything in a file or directory last changed, in seconds since 1970."""
    times = [os.lstat(path).st_ctime]
    for base, folders, names in os.walk(path):
        for name in (*folders, *names):
            with contextlib.suppress(FileNotFoundError):
                times.append(os.lstat(f"{base}/{name}").st_ctime)
    return max(times)
