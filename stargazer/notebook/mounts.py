"""Places that cells read under a name: ``# @mount data s3://bucket/x``."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stargazer.errors import NotebookError

if TYPE_CHECKING:
    from stargazer.notebook.annotations import Mount
    from stargazer.store import Store

__all__ = ["local_path", "mounted"]


def mounted(mount: Mount, store: Store) -> Any:
    """The asset that a place is, by its content.

    Parameters
    ----------
    mount
        A path, or any URL that fsspec knows.
    store
        Takes it in.
    """
    import fsspec  # type: ignore[import-untyped]

    system, path = fsspec.core.url_to_fs(mount.uri)
    if "file" in (system.protocol if isinstance(system.protocol, tuple) else (system.protocol,)):
        return store.add(path)
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / path.rstrip("/").rpartition("/")[2]
        system.get(path, str(target), recursive=True)
        return store.add(target)


def local_path(mount: Mount) -> Path:
    """Where a cell that runs here finds what it mounts.

    Raises
    ------
    NotebookError
        It lies elsewhere, and cannot be written to as a file.
    """
    path = mount.uri.removeprefix("file://")
    if "://" in path:
        raise NotebookError(f"@mount {mount.name} {mount.uri}: only files of this machine can be mounted rw")
    return Path(path)
