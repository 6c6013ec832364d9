"""What another user of the machine does: a process of his own, with his rights and nothing else."""

from __future__ import annotations

import contextlib
import functools
import os
import pickle
import pwd
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dask
import pytest

from stargazer.store import Store

ALICE, BOB = "daemon", "nobody"

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become two other users")


@functools.cache
def _import_all() -> None:
    """Have every module that a store imports when it needs it: the user may not be able to read where they lie."""
    with tempfile.TemporaryDirectory() as folder, dask.config.set({"stargazer.cache": f"{folder}/cache"}):
        (Path(folder) / "x").write_bytes(bytes(400_000))
        with Store(f"{folder}/store") as store:
            asset = store.add(f"{folder}/x")
            store.pin("p", *store.assemble())
            store.fetch(store.update(asset, name="y"))
            store.gc()
            store.fsck()
            Store(store.url).read(str(asset.cid))


def as_user(name: str, work: Callable[[], Any], home: Path) -> Any:
    """Do something as a user, in a process of his, with caches and keys of his own; raise what it raised.

    Parameters
    ----------
    name
        Of the user.
    work
        What to do; it gives something that can be pickled.
    home
        Folder of all homes, which everybody can reach.
    """
    _import_all()
    entry = pwd.getpwnam(name)
    own = home / name
    if not own.exists():
        own.mkdir()
        os.chown(own, entry.pw_uid, entry.pw_gid)
        own.chmod(0o755)
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(read)
        os._exit(_child(entry, own, work, write))
    os.close(write)
    with open(read, "rb") as pipe:
        data = pipe.read()
    os.waitpid(pid, 0)
    good, value = pickle.loads(data)
    if not good:
        raise value
    return value


@contextlib.contextmanager
def meanwhile(name: str, work: Callable[[], Any], home: Path) -> Iterator[None]:
    """Let a user do something beside what is done in here; it must have ended well."""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            as_user(name, work, home)
            status = 0
        finally:
            os._exit(status)
    yield
    assert os.waitpid(pid, 0)[1] == 0


def _child(entry: pwd.struct_passwd, home: Path, work: Callable[[], Any], pipe: int) -> int:
    os.setgroups([])
    os.setgid(entry.pw_gid)
    os.setuid(entry.pw_uid)
    os.umask(0o022)
    os.environ.update(HOME=str(home), USER=entry.pw_name, LOGNAME=entry.pw_name)
    with dask.config.set({"stargazer.cache": str(home / "cache"), "stargazer.key": str(home / "key.pem")}):
        try:
            answer = True, work()
        except BaseException as error:  # noqa: BLE001 - it is raised where this was asked for
            answer = False, error
    with open(pipe, "wb") as out:
        pickle.dump(answer, out)
    return 0
