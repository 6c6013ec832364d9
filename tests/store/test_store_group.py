"""One store for several users: its root says who may do what, whatever anybody's umask."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from stargazer.assets import Asset
from stargazer.store import Store

PROGRAM = """
import os, sys, tempfile
import dask
import stargazer as sg

user, group, shared, umask, n = (int(word, 8) if word.startswith("0") else word for word in sys.argv[1:])

@sg.task(version="1")
def num(work: sg.Workdir, *, i: int) -> sg.Asset:
    out = work.file(f"{i}.txt")
    out.write_text(str(i))
    return sg.Asset(path=out)

@sg.task(version="1")
def folder(work: sg.Workdir, xs: list[sg.Asset]) -> sg.Asset:
    out = work.directory("folder") / "sum"
    out.write_text(str(sum(int(x.path.read_text()) for x in xs)))
    return sg.Asset(path=out.parent)

def work(place):
    with sg.Store(place) as store:
        run = sg.run(folder([num(i=i) for i in range(int(n))]), progress=False)
        (made,) = run.result().fetch().iterdir()
        store.gc(grace=3600, recent=0)
        assert store.fsck().ok
        return run.tasks_run, made.read_text()

# All is imported while the interpreter can be read, which another user may not.
with tempfile.TemporaryDirectory() as warm, dask.config.set({"stargazer.cache": warm + "/cache"}):
    work(warm + "/store")
os.umask(umask)
os.setgroups([int(group)])
os.setgid(int(user))
os.setuid(int(user))
print(*work(shared))
"""


def modes(root: Path) -> tuple[set[int], set[int]]:
    """Of folders and of files, below the root."""
    found = [path.lstat().st_mode for path in root.rglob("*") if not path.name.startswith("work-")]
    folders = {stat.S_IMODE(mode) for mode in found if stat.S_ISDIR(mode)}
    return folders, {stat.S_IMODE(mode) for mode in found if stat.S_ISREG(mode)}


@pytest.mark.parametrize("umask", [0o022, 0o077, 0o002])
@pytest.mark.parametrize(
    ("root", "folder", "file"),
    [(0o2775, 0o2775, 0o444), (0o770, 0o2770, 0o440), (0o755, 0o755, 0o444), (0o700, 0o700, 0o400)],
)
def test_what_is_written_has_the_permissions_of_the_root(
    tmp_path: Path, umask: int, root: int, folder: int, file: int
) -> None:
    place = tmp_path / "shared"
    place.mkdir()
    place.chmod(root)
    before = os.umask(umask)
    try:
        store = Store(place)
        (tmp_path / "d").mkdir()
        (tmp_path / "d" / "x").write_text("x")
        store.add(tmp_path / "d")
        work = store.context.scratch / "mine"
        work.mkdir()
        (work / "out").write_text("out")
        store.save(Asset(path=work / "out"))
        (work / "none").write_text("none")
        (work / "none").chmod(0)
        store.save(Asset(path=work / "none"))
        store.records.put(b"{}")
        store.records.link_keys(["a" * 64], store.records.put(b'{"a": 1}'))
        store.pin("p", store.add(tmp_path / "d" / "x"))
        shutil.rmtree(work)
    finally:
        os.umask(before)
    assert modes(place) == ({folder}, {file})


@pytest.fixture
def shared() -> Iterator[Path]:
    """A folder that two users of a group may reach."""
    if os.geteuid() != 0:
        pytest.skip("only root can be several users")
    place = Path(tempfile.mkdtemp(prefix="shared-"))
    place.chmod(0o755)
    yield place
    shutil.rmtree(place)


GROUP, USERS = 7701, (7702, 7703)


def run_as(user: int, shared: Path, umask: str, n: int) -> str:
    home = shared / f"home-{user}"
    if not home.exists():
        home.mkdir(mode=0o700)
        os.chown(home, user, user)
    words = [str(user), str(GROUP), shared / "store", umask, str(n)]
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *words],
        cwd="/",
        env={"HOME": str(home), "DASK_STARGAZER__CACHE": str(home / "cache"), "PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize(
    ("mode", "umasks"), [(0o2775, ("022", "077")), (0o2770, ("077", "022")), (0o770, ("077", "077"))]
)
def test_two_users_share_a_store(shared: Path, umasks: tuple[str, str], mode: int) -> None:
    root = shared / "store"
    root.mkdir()
    os.chown(root, 0, GROUP)
    root.chmod(mode)
    (one, two), (first, second) = USERS, umasks
    assert run_as(one, shared, first, 3) == "4 3"
    assert run_as(two, shared, second, 3) == "0 3"
    assert run_as(two, shared, second, 4) == "2 6"
    assert run_as(one, shared, first, 4) == "0 6"
    assert run_as(one, shared, first, 5) == "2 10"
    assert {path.lstat().st_gid for path in root.rglob("*") if not path.name.startswith("work-")} == {GROUP}


def test_a_hit_of_another_user_is_noted(shared: Path) -> None:
    root = shared / "store"
    root.mkdir()
    os.chown(root, 0, GROUP)
    root.chmod(0o2775)
    run_as(USERS[0], shared, "022", 1)
    for path in (root / "records").rglob("*"):
        if path.is_file():
            os.utime(path, (0, 0))
    assert run_as(USERS[1], shared, "077", 1) == "0 0"
    owners = {
        path.stat().st_uid for path in (root / "records").rglob("*") if path.stat().st_mtime > 1e9 and path.is_file()
    }
    assert owners == {USERS[1]}
    assert run_as(USERS[0], shared, "022", 1) == "0 0"
