"""What somebody may put into a store that he may write to: kinds of files, places for them, and contents."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import random
import shutil
import socket
import stat
from collections.abc import Callable
from pathlib import Path

from stargazer.store import layout
from stargazer.store.records import seal

Plant = Callable[[Path, Path, random.Random], None]

RECORD = {
    "task": "odd_tasks.letters",
    "status": "ok",
    "started": "2026-01-01T00:00:00+00:00",
    "format": 1,
    "plan_key": "a" * 64,
    "content_key": "b" * 64,
    "code": "c",
    "manifest": {},
    "parameters": {},
    "inputs": {},
    "tools": [],
    "libraries": {},
    "producers": {},
    "input_cids": [],
    "output_cids": [],
    "outputs": {"value": 1},
}
ASSET = {"asset": "asset", "cid": "bafkreiaaaa", "companions": [], "facts": {}, "name": "n"}
ODD_VALUES = [
    None, True, 5, -1, 1e308, float("inf"), "", "text", "../../x", "/etc/passwd", "\ud800", "\x1b[2J\u202e", [], {},
    [None], {"a": None}, {"": {"": []}}, {"dict": 5}, {"tuple": "x"}, {"dataclass": 1, "fields": 2}, {"asset": {}},
    {"value": {}}, {"list": [{"asset": ASSET | {"cid": "../.."}}]}, "9" * 5000, "[" * 300,
]  # fmt: skip


def contents(chance: random.Random) -> bytes:
    """Bytes of one odd file."""
    return chance.choice(
        [
            lambda: b"",
            lambda: b"\0" * 4096,
            lambda: chance.randbytes(chance.choice([1, 100, 70_000])),
            lambda: b"[" * 200_000 + b"]" * 200_000,
            lambda: b'{"task":' + b"[" * 150_000,
            lambda: b"9" * 10_000,
            lambda: json.dumps(RECORD | {chance.choice(list(RECORD)): chance.choice(ODD_VALUES)}).encode(),
            lambda: json.dumps(ASSET | {chance.choice(list(ASSET)): chance.choice(ODD_VALUES)}).encode(),
            lambda: seal(json.dumps(chance.choice(ODD_VALUES)).encode()),
            lambda: seal(json.dumps([ASSET | {chance.choice(list(ASSET)): chance.choice(ODD_VALUES)}]).encode()),
            lambda: seal(json.dumps({"roots": chance.choice(ODD_VALUES), "expires": 1e18}).encode()),
            lambda: seal(json.dumps({"roots": [], "expires": chance.choice(ODD_VALUES)}).encode()),
            lambda: seal(chance.choice([b"a" * 64, b"../../etc/passwd", b"\xff" * 64, b""])),
            lambda: json.dumps({"by": chance.choice(ODD_VALUES)}).encode(),
            lambda: json.dumps({"format": 1, "profile": "kubo-v1-256k-174", "id": chance.choice(ODD_VALUES)}).encode(),
            lambda: json.dumps({"id": "x", "state": "running", "tasks": chance.choice(ODD_VALUES)}).encode(),
        ]
    )()


def plain(path: Path, _: Path, chance: random.Random) -> None:
    path.write_bytes(contents(chance))
    path.chmod(chance.choice([0o644, 0o444, 0o4755, 0o000, 0o777]))


def pipe(path: Path, *_: object) -> None:
    os.mkfifo(path)


def bound(path: Path, *_: object) -> None:
    with socket.socket(socket.AF_UNIX) as made, contextlib.chdir(path.parent):
        made.bind(path.name[:90])


def device(path: Path, _: Path, chance: random.Random) -> None:
    try:
        os.mknod(path, 0o666 | stat.S_IFCHR, os.makedev(1, chance.choice([3, 5, 8])))
    except OSError:
        path.symlink_to(chance.choice(["/dev/zero", "/dev/random", "/dev/null", "/dev/tty"]))


def link_out(path: Path, outside: Path, chance: random.Random) -> None:
    path.symlink_to(chance.choice([outside, outside / "aa", outside / "thesis.txt", outside / "absent"]))


def link_within(path: Path, _: Path, chance: random.Random) -> None:
    path.symlink_to(chance.choice([path, Path(".."), Path("../.."), Path("/"), Path("/proc/self/fd/0")]))


def hard_link(path: Path, outside: Path, _: random.Random) -> None:
    os.link(outside / "thesis.txt", path)


def folder(path: Path, outside: Path, chance: random.Random) -> None:
    path.mkdir()
    for name in ("aa", "a" * 64, "in"):
        chance.choice([plain, pipe, link_out, lambda path, *_: path.mkdir()])(path / name, outside, chance)


def deep_folder(path: Path, outside: Path, _: random.Random) -> None:
    path.mkdir()
    fd = os.open(path, os.O_RDONLY)
    for _ in range(300):
        os.mkdir("d", dir_fd=fd)
        os.symlink(outside, "l", dir_fd=fd)
        inner = os.open("d", os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = inner
    os.close(fd)


def huge(path: Path, *_: object) -> None:
    path.touch()
    os.truncate(path, 1 << 40)


PLANTS: list[Plant] = [
    plain,
    plain,
    plain,
    pipe,
    bound,
    device,
    link_out,
    link_within,
    hard_link,
    folder,
    deep_folder,
    huge,
]
NAMES = ["odd", "a b", "-rf", "\n", "\udcff\udcfe", "..x", "x" * 200, "é", ".hidden", "a" * 64, "held-x"]


def places(root: Path, chance: random.Random) -> Path:
    """A place in a store where something odd may lie."""
    kind = chance.choice(layout.TOP)
    is_own = kind != "blobs" and not (root / kind).is_symlink()  # where a link leads, others' files lie
    below = sorted(path for path in (root / kind).glob("**/*") if path.is_file()) if is_own else []
    choice = chance.random()
    if choice < 0.08:
        return root / kind
    if choice < 0.12:
        return root / chance.choice(["store.json", "stray", "..x"])
    if choice < 0.45 and below:
        return chance.choice(below)
    if choice < 0.55:
        return root / kind / chance.choice(["aa", "ff", chance.choice(below).parent.name if below else "zz"])
    name = chance.choice(NAMES)
    if kind in layout.FLAT or kind in ("tmp", "quarantine", "journal"):
        return root / kind / name
    return root / kind / (name[-3:-1] or "aa") / name


def plant(root: Path, outside: Path, chance: random.Random) -> str:
    """Put one odd thing into a store; what and where."""
    path, how = places(root, chance), chance.choice(PLANTS)
    if how is huge and "blobs" in path.parts:
        how = plain  # a blob may be huge: its bytes have to be read to be told from good ones
    if not Path(os.path.realpath(path.parent)).is_relative_to(os.path.realpath(root)):  # a planted link leads away
        return "nothing"
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    with contextlib.suppress(OSError):  # something odd lies above it already
        path.unlink(missing_ok=True)
        path.parent.mkdir(parents=True, exist_ok=True)
    if not path.parent.is_dir() or os.path.lexists(path):
        return "nothing"
    how(path, outside, chance)
    if how is plain and path.parent.parent.name in ("records", "assets") and chance.random() < 0.8:
        data = path.read_bytes() if os.geteuid() == 0 or os.access(path, os.R_OK) else b""
        name = hashlib.sha256(data).hexdigest()
        own = path.parent.parent / name[-3:-1] / name
        own.parent.mkdir(exist_ok=True)
        path = path.rename(own)
    return f"{how.__name__} at {path.relative_to(root)!r}"
