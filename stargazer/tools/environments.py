"""Environments of tools: a container image, a folder or file that holds a whole system, or an environment of conda.

A task names one, and its tools run in there. What counts towards keys is the digest of the image, of the folder or
file, or of the lock file: where it lies, and which program runs it, shapes no result.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from stargazer import config
from stargazer.errors import DefinitionError, ToolMissing
from stargazer.tools.noted import ENVIRONMENTS, ToolIdentity, noted_identity

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Environment", "environment_name", "environments_in", "identify_environment", "keyed", "read_environment"]

CONTAINER, CONDA = ENVIRONMENTS
FOLDER = "dir:"
IMAGE = re.compile(
    r"(?:docker://)?(?P<name>[\w./-]+(?::\d+/[\w./-]+)?(?::(?P<tag>[\w.-]+))?)@sha256:(?P<digest>[0-9a-f]{64})"
)
MADE_ANEW = ("dev", "proc", "run", "sys", "tmp", "var/tmp")
"""Folders of a system that hold nothing of its own: whoever runs it makes them."""

BELIEVED_FOR = 2.0
"""Seconds for which a folder is believed to be as it was: a thousand calls may ask at once."""

_looked: dict[str, tuple[str, float]] = {}


class Environment(NamedTuple):
    """Where the tools of a task run.

    Parameters
    ----------
    kind
        ``"image"`` of a registry, ``"sif"`` file, ``"folder"`` or ``"conda"``.
    source
        Reference of the image, path of the file or folder, or of the ``env.yml``.
    """

    kind: str
    source: str

    @property
    def name(self) -> str:
        """Name under which it stands among the tools of a task."""
        prefix = {"conda": CONDA, "folder": f"{CONTAINER}{FOLDER}"}.get(self.kind, CONTAINER)
        return f"{prefix}{self.source}"


def environment_name(task: str, container: object, conda: object, folder: str) -> str:
    """Return the name of the environment that a task asks for.

    Parameters
    ----------
    task
        Its name, for messages.
    container, conda
        As the task gives them.
    folder
        Where relative paths begin: the folder of the file that defines the task.

    Raises
    ------
    DefinitionError
        Both are given, or one cannot be an environment, as an image without a digest.
    """
    if container is not None and conda is not None:
        raise DefinitionError(f"task {task}: container= and conda= are two environments; tools run in one")
    option, given = ("container", container) if conda is None else ("conda", conda)
    if not isinstance(given, (str, os.PathLike)) or not os.fspath(given):
        raise DefinitionError(f"task {task}: {option}={given!r} must be text")
    text = os.fspath(given)
    if option == "conda":
        return Environment("conda", os.path.join(folder, text)).name
    if text.startswith(FOLDER):
        return Environment("folder", os.path.join(folder, text.removeprefix(FOLDER))).name
    if text.endswith(".sif"):
        return Environment("sif", os.path.join(folder, text)).name
    if IMAGE.fullmatch(text) is None:
        raise DefinitionError(f"task {task}: {_unpinned(text)}")
    return Environment("image", text.removeprefix("docker://")).name


def _unpinned(text: str) -> str:
    name = text.removeprefix("docker://").partition("@")[0]
    return (
        f"container={text!r} has no digest, so that it may be another image tomorrow; write "
        f"{name}@sha256:…, as `skopeo inspect --format '{{{{.Digest}}}}' docker://{name}` tells or the image's page; "
        f"or name a folder ({FOLDER}/path) or a file (….sif)"
    )


def read_environment(name: str) -> Environment | None:
    """Return the environment that a name among tools stands for; None where it is a tool's."""
    if name.startswith(CONDA):
        return Environment("conda", name.removeprefix(CONDA))
    if not name.startswith(CONTAINER):
        return None
    source = name.removeprefix(CONTAINER)
    if source.startswith(FOLDER):
        return Environment("folder", source.removeprefix(FOLDER))
    return Environment("image" if IMAGE.fullmatch(source) else "sif", source)


def environments_in(tools: tuple[ToolIdentity, ...]) -> Iterator[tuple[Environment, ToolIdentity]]:
    """Yield the environments among tools: one, or none."""
    for tool in tools:
        if (environment := read_environment(tool.name)) is not None:
            yield environment, tool


def keyed(tool: ToolIdentity) -> ToolIdentity:
    """Return a tool as it goes into keys: of an environment its digest alone, wherever it lies."""
    return ToolIdentity(tool.name.partition(":")[0], "", tool.digest) if tool.is_environment else tool


def identify_environment(environment: Environment) -> ToolIdentity:
    """Return what an environment is; nothing of it is started.

    Raises
    ------
    ToolMissing
        There is no such folder or file.
    DefinitionError
        There is no lock file, or it does not fit.
    """
    if environment.kind == "image":
        found = IMAGE.fullmatch(environment.source)
        assert found is not None
        return ToolIdentity(environment.name, found["tag"] or found["digest"][:12], found["digest"])
    if environment.kind == "conda":
        from stargazer.tools.condalock import read_lock

        digest = read_lock(Path(environment.source)).digest
    else:
        digest = _content(environment)
    return ToolIdentity(environment.name, digest[:12], digest)


def _content(environment: Environment) -> str:
    known = _looked.get(environment.name)
    if known is not None and time.monotonic() - known[1] < BELIEVED_FOR:
        return known[0]
    path = environment.source
    if environment.kind == "folder":
        seen = _signatures(path)
        digest = noted_identity(environment.name, seen, lambda: ToolIdentity("", "", _digest_of_folder(path))).digest
    else:
        try:
            found = os.stat(path)
        except OSError as error:
            raise ToolMissing(f"{path} cannot be read: {error.strerror}") from None
        seen = f"{found.st_ino} {found.st_size} {found.st_mtime_ns} {found.st_ctime_ns}"
        digest = noted_identity(environment.name, seen, lambda: ToolIdentity("", "", _digest_of_file(path))).digest
    _looked[environment.name] = digest, time.monotonic()
    return digest


def _entries(root: str) -> Iterator[tuple[str, os.DirEntry[str]]]:
    """All of a system's own files with their paths, in order."""
    todo = [""]
    while todo:
        place = todo.pop()
        folder = os.path.join(root, place.rstrip("/")) if place else root
        try:
            with os.scandir(folder) as listed:
                entries = sorted(listed, key=lambda entry: entry.name)
        except OSError as error:
            raise ToolMissing(f"{folder} cannot be read: {error.strerror}") from None
        for entry in entries:
            path = f"{place}{entry.name}"
            yield path, entry
            if entry.is_dir(follow_symlinks=False) and path not in MADE_ANEW:
                todo.append(f"{path}/")


def _signatures(root: str) -> str:
    """What changes whenever a file of a folder does."""
    text = hashlib.sha256()
    for path, entry in _entries(root):
        found = entry.stat(follow_symlinks=False)
        seen = (found.st_ino, found.st_mode, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
        text.update(f"{path}\0{seen}\n".encode("utf-8", "surrogateescape"))
    return text.hexdigest()


def _digest_of_folder(root: str) -> str:
    """Digest of paths, modes, targets of links, and contents; not of times and owners."""
    text = hashlib.sha256()
    for path, entry in _entries(root):
        mode = entry.stat(follow_symlinks=False).st_mode
        held = ""
        if stat.S_ISLNK(mode):
            held = os.readlink(entry.path)
        elif stat.S_ISREG(mode):
            held = _digest_of_file(entry.path)
        text.update(f"{path}\0{mode:o}\0{held}\n".encode("utf-8", "surrogateescape"))
    return text.hexdigest()


def _digest_of_file(path: str) -> str:
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ToolMissing(f"{path} cannot be read, but counts: {error.strerror}") from None


def built_places(digest: str) -> Path:
    """Path below which what was built of an environment lies, on this machine."""
    return config.cache_dir() / "environments" / digest
