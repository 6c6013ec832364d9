"""Places that cells read under a name: ``# @mount data s3://bucket/x``."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stargazer.errors import NotebookError, StargazerError

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

    Raises
    ------
    NotebookError
        It is not there, or cannot be read.
    """
    try:
        return _added(mount, store)
    except (StargazerError, OSError, ValueError, ImportError) as error:
        told = str(error) or type(error).__name__
        raise NotebookError(f"@mount {mount.name} {mount.uri}: it cannot be read: {told}") from error


def _added(mount: Mount, store: Store) -> Any:
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
