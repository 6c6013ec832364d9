"""Folders that agents may read files from and write notebooks to."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from stargazer import config
from stargazer.errors import ArgumentError, NotFound

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["Folders", "folders_of_roots"]


class Folders:
    """The folders of the settings.

    Parameters
    ----------
    otherwise
        The one where they name none; that in which the server was started by default.
    """

    def __init__(self, otherwise: Path | None = None) -> None:
        chosen = config.mcp_setting("folders")
        places = [otherwise or Path.cwd()] if chosen is None else [Path(each).expanduser() for each in chosen]
        self.allowed = tuple(Path(os.path.realpath(place)) for place in places)

    def within(self, roots: Sequence[Path] | None) -> list[Path]:
        """Folders that both the settings and the client's roots allow; None where a client has no roots."""
        if roots is None:
            return list(self.allowed)
        real = [Path(os.path.realpath(root)) for root in roots]
        inner = [root for root in real if any(root.is_relative_to(each) for each in self.allowed)]
        outer = [each for each in self.allowed if any(each.is_relative_to(root) for root in real)]
        return list(dict.fromkeys([*inner, *outer]))

    def file(self, path: str, roots: Sequence[Path] | None = None) -> Path:
        """Return the real path of a file or directory that may be read.

        Raises
        ------
        ArgumentError
            It lies in no such folder, symlinks followed; or is a device, a pipe or a socket.
        NotFound
            There is none.
        """
        found = self.place(path, roots)
        try:
            mode = found.lstat().st_mode
        except (OSError, ValueError):
            raise NotFound(f"there is no file {path[:500]}") from None
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
            raise ArgumentError(f"{path[:500]} is neither a file nor a directory")
        if stat.S_ISDIR(mode):
            self._check_inside(found, roots)
        return found

    def place(self, path: str, roots: Sequence[Path] | None = None) -> Path:
        """Return the real path of what may be there or not, in a folder that is allowed.

        Raises
        ------
        ArgumentError
            It lies in no such folder, symlinks followed.
        """
        allowed = self.within(roots)
        if "\0" in path or not path.strip() or len(path) > 4096:
            raise ArgumentError(f"path: {path[:80]!r} is no path")
        base = allowed[0] if allowed else self.allowed[0] if self.allowed else Path("/nonexistent")
        found = Path(os.path.realpath(base / os.path.expanduser(path)))
        if not any(found.is_relative_to(folder) for folder in allowed):
            told = ", ".join(map(str, allowed)) or "nothing"
            raise ArgumentError(f"{path[:500]} lies outside of what may be read: {told}; the setting "
                                "stargazer.mcp.folders has the folders, a client's roots narrow them")  # fmt: skip
        return found

    def _check_inside(self, folder: Path, roots: Sequence[Path] | None) -> None:
        """Refuse a directory in which a symlink leads out of what is allowed, or that holds a device."""
        allowed = self.within(roots)
        for parent, folders, files in os.walk(folder):
            for name in [*folders, *files]:
                each = Path(parent, name)
                if each.is_symlink():
                    if not any(Path(os.path.realpath(each)).is_relative_to(one) for one in allowed):
                        raise ArgumentError(f"{each} is a symlink that leads outside of what may be read")
                elif not (each.is_file() or each.is_dir()):
                    raise ArgumentError(f"{each} is neither a file nor a directory")


def folders_of_roots(uris: Iterable[str]) -> list[Path]:
    """Return the folders that a client's roots name; other than files are passed over."""
    parts = [urlsplit(uri) for uri in uris]
    return [Path(unquote(each.path)) for each in parts if each.scheme == "file" and each.netloc in ("", "localhost")]
