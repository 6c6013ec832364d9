"""Make environments of tools: pull an image by its digest, install the packages of a lock file."""

from __future__ import annotations

import contextlib
import json
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from stargazer.errors import ToolFailed, ToolMissing
from stargazer.tools import Workdir
from stargazer.tools.condalock import read_lock
from stargazer.tools.install import WAYS_OUT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stargazer.tools.condalock import Lock
    from stargazer.tools.enclosure import Enclosure

__all__ = ["BUILT", "built", "has_image"]

BUILT = "stargazer-environment.json"
"""File of an environment of conda that says that it is whole."""

REACHED = (*WAYS_OUT, "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE")
"""Variables by which those programs find what they keep, and the way out."""


def built(made: Enclosure) -> None:
    """Make what is not here yet.

    Raises
    ------
    ToolFailed
        The program that makes it failed.
    ToolMissing
        What it made is something else.
    """
    made.place.parent.mkdir(parents=True, exist_ok=True)
    if made.environment.kind == "conda":
        _install(made, read_lock(Path(made.environment.source)))
    elif made.runtime == "podman":
        with _scratch(made.place.parent) as work:
            work.run([made.program, "pull", "--quiet", made.environment.source])
    else:
        with _scratch(made.place.parent) as work:
            whole = work.file("image.sif")
            work.run([made.program, "pull", whole, f"docker://{_by_digest(made.environment.source)}"])
            whole.rename(made.place)


def has_image(program: str, image: str) -> bool:
    """Whether Podman has an image."""
    with tempfile.TemporaryDirectory(prefix="stargazer-") as scratch:
        try:
            Workdir(scratch, secrets=REACHED).run([program, "image", "exists", image])
        except ToolFailed:
            return False
    return True


def _by_digest(source: str) -> str:
    """Apptainer takes a tag or a digest, and not both."""
    name, _, digest = source.partition("@")
    head, slash, last = name.rpartition("/")
    return f"{head}{slash}{last.partition(':')[0]}@{digest}"


def _install(made: Enclosure, lock: Lock) -> None:
    """Environments of conda hold their own path: this one is made where it stays, and is whole or gone."""
    shutil.rmtree(made.place, ignore_errors=True)
    try:
        with _scratch(made.place.parent) as work:
            listed = work.file("explicit.txt")
            listed.write_text(lock.explicit(), "utf-8")
            work.run([made.program, "create", "--yes", "--prefix", str(made.place), "--file", listed])
        _compare(made.place, lock)
    except BaseException:
        shutil.rmtree(made.place, ignore_errors=True)
        raise
    (made.place / BUILT).write_text(json.dumps(made.told()), "utf-8")


def _compare(place: Path, lock: Lock) -> None:
    found = {path.stem for path in (place / "conda-meta").glob("*.json")}
    wanted = {f"{each.name}-{each.version}-{each.build}" for each in lock.packages}
    if found != wanted:
        lacks, more = sorted(wanted - found), sorted(found - wanted)
        told = "; ".join(f"{what} {', '.join(names[:5])}" for what, names in (("lacks", lacks), ("has", more)) if names)
        raise ToolMissing(f"what was made of {lock.path} is not what it lists: it {told}")


@contextlib.contextmanager
def _scratch(parent: Path) -> Iterator[Workdir]:
    """Make a temporary directory on the file system of the result, which is renamed into place."""
    with tempfile.TemporaryDirectory(prefix=".new-", dir=parent) as scratch:
        yield Workdir(scratch, secrets=REACHED)
