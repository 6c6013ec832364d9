"""What is remembered of an addition that converted a file, so that it need not be done again."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, cast

from stargazer.assets.conversion import Conversion, conversion_of

if TYPE_CHECKING:
    from stargazer.assets import Asset

__all__ = ["Addition"]

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
        asked = replace(draft, path=cast("Path", None), cid=self.source, name=name, source=None)
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
            members = json.loads(data)
            if members["format"] != FORMAT:
                return None
            return cls(str(members["source"]), Conversion(**members["conversion"]))
        except (ValueError, TypeError, KeyError):
            return None
