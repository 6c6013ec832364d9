"""What a gateway must answer to who reads, as a table: after the public suite of conformance, in our own words.

Source: https://specs.ipfs.tech/http-gateways/path-gateway/ and trustless-gateway/, and the cases of the suite
https://github.com/ipfs/gateway-conformance that concern reading. Nothing of it is copied.
"""

from __future__ import annotations

import hashlib
import re
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from stargazer.cid import parse
from stargazer.remotes import dag
from stargazer.store import Store

CHUNK = 256 * 1024
RAW, CAR = "application/vnd.ipld.raw", "application/vnd.ipld.car"
ABSENT = "bafkreib6vj3os7l4lqqytaw5vju46iorcknttfiwfnlbizjcqn7xd5hrvy"
EMPTY = "bafkqaaa"
LARGE = b"".join(number.to_bytes(4, "big") for number in range(3 * CHUNK // 4)) + b"end"
SMALL = b"small"
PAGE = b"<h1>site</h1>"


def made(folder: Path, store: Store) -> dict[str, str]:
    """The tree that the cases ask for, in a store; its CIDs by name."""
    for name, content in {
        "large.bin": LARGE, "small.txt": SMALL, "sub/small é.txt": SMALL + b" too", "site/index.html": PAGE,
    }.items():  # fmt: skip
        place = folder / "tree" / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)
    root = str(store.add(folder / "tree").cid)
    names = {"root": root}
    for name in ("large.bin", "small.txt", "sub", "site"):
        names[name.partition(".")[0]] = store.resolve(f"{root}/{name}")
    return names


@dataclass(frozen=True)
class Case:
    """One request, and what is right as its answer.

    Parameters
    ----------
    name
        What it is about.
    path
        Below ``/ipfs/``, with names of CIDs in braces.
    told
        Headers of the request, which may have such names too.
    status
        Statuses that are right.
    headers
        Patterns that headers of the answer match.
    body
        Its bytes.
    blocks
        How many blocks of a CAR are right: of directories and files, and of raw bytes.
    method
        Of the request.
    """

    name: str
    path: str
    told: Mapping[str, str] = field(default_factory=dict)
    status: tuple[int, ...] = (200,)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    blocks: tuple[int, int] | None = None
    method: str = "GET"


NOSNIFF = {"X-Content-Type-Options": "nosniff"}
FOREVER = {"Cache-Control": ".*immutable.*"}
RAW_TYPE, CAR_TYPE = {"Content-Type": RAW}, {"Content-Type": rf"{CAR}; ?version=1.*"}

CASES = [
    Case("file by path", "{root}/large.bin", headers={"Etag": '"{large}"', **FOREVER}, body=LARGE),
    Case("file by CID", "{large}", headers={"Etag": '"{large}"'}, body=LARGE),
    Case("file with a name in other letters", "{root}/sub/small%20%C3%A9.txt", body=b"small too"),
    Case("text says that it is", "{root}/small.txt", headers={"Content-Type": "text/plain.*"}, body=SMALL),
    Case("way to a file is told", "{root}/small.txt", headers={"X-Ipfs-Path": "/ipfs/{root}/small.txt"}),
    Case("roots on the way are told", "{root}/small.txt", headers={"X-Ipfs-Roots": "{root},.*{small}"}),
    Case("size without the bytes", "{large}", method="HEAD", headers={"Content-Length": str(len(LARGE))}, body=b""),
    Case("known already", "{large}", {"If-None-Match": '"{large}"'}, (304,), body=b""),
    Case("known among others", "{large}", {"If-None-Match": '"x", W/"{large}"'}, (304,)),
    Case("known otherwise", "{large}", {"If-None-Match": '"{small}"'}, body=LARGE),
    Case("range", "{large}", {"Range": "bytes=10-19"}, (206,), {"Content-Range": "bytes 10-19/786435"}, LARGE[10:20]),
    Case("range over two blocks", "{large}", {"Range": f"bytes={CHUNK - 2}-{CHUNK + 1}"}, (206,),
         body=LARGE[CHUNK - 2 : CHUNK + 2]),
    Case("range from the end", "{large}", {"Range": "bytes=-3"}, (206,), body=b"end"),
    Case("range to the end", "{large}", {"Range": f"bytes={3 * CHUNK}-"}, (206,), body=b"end"),
    Case("range behind the end", "{large}", {"Range": "bytes=99999999-"}, (416,)),
    Case("directory without a slash", "{root}/sub", status=(301, 302), headers={"Location": ".*/sub/"}),
    Case("directory as a list", "{root}/sub/", headers={"Content-Type": "text/html.*"}),
    Case("directory with a page of its own", "{root}/site/", body=PAGE),
    Case("no such name", "{root}/nothing", status=(404,)),
    Case("name below a file", "{small}/x", status=(404, 400, 500)),
    Case("no CID", "nothing-of-the-kind", status=(400,)),
    Case("absent, only if it is here", ABSENT, {"Cache-Control": "only-if-cached"}, (412,)),
    Case("block by query", "{small}?format=raw", headers={**RAW_TYPE, **NOSNIFF}, body=SMALL),
    Case("block by header", "{small}", {"Accept": RAW}, headers=RAW_TYPE, body=SMALL),
    Case("block, or else anything", "{small}", {"Accept": f"{RAW}, */*;q=0.1"}, headers=RAW_TYPE, body=SMALL),
    Case("block by path", "{root}/small.txt?format=raw", headers=RAW_TYPE, body=SMALL),
    Case("block is a file to save", "{small}?format=raw", headers={"Content-Disposition": "attachment.*"}),
    Case("block lasts", "{small}?format=raw", headers=FOREVER),
    Case("block is another thing than the file", "{small}?format=raw", headers={"Etag": '"{small}.raw"'}),
    Case("block known already", "{small}?format=raw", {"If-None-Match": '"{small}.raw"'}, (304,)),
    Case("block's size without it", "{small}?format=raw", method="HEAD", headers={"Content-Length": "5"}, body=b""),
    Case("block of no bytes that is its CID", f"{EMPTY}?format=raw", headers=RAW_TYPE, body=b""),
    Case("CAR by query", "{root}?format=car", headers={**CAR_TYPE, **NOSNIFF}, blocks=(4, 7)),
    Case("CAR by header", "{root}", {"Accept": CAR}, headers=CAR_TYPE, blocks=(4, 7)),
    Case("CAR with its version", "{root}", {"Accept": f"{CAR}; version=1"}, headers=CAR_TYPE, blocks=(4, 7)),
    Case("CAR of a file", "{large}?format=car", blocks=(1, 4)),
    Case("CAR of one block", "{root}?format=car&dag-scope=block", blocks=(1, 0)),
    Case("CAR of a list", "{root}?format=car&dag-scope=entity", blocks=(1, 0)),
    Case("CAR of a file as an entity", "{large}?format=car&dag-scope=entity", blocks=(1, 4)),
    Case("CAR of a path has the way", "{root}/large.bin?format=car", blocks=(2, 4)),
    Case("CAR of a path, one block", "{root}/large.bin?format=car&dag-scope=block", blocks=(2, 0)),
    Case("CAR of some bytes", "{large}?format=car&dag-scope=entity&entity-bytes=0:9", blocks=(1, 1)),
    Case("CAR of the last bytes", "{large}?format=car&dag-scope=entity&entity-bytes=-3:*", blocks=(1, 1)),
    Case("CAR of bytes over two blocks", f"{{large}}?format=car&dag-scope=entity&entity-bytes={CHUNK - 1}:{CHUNK}",
         blocks=(1, 2)),
    Case("CAR is a file to save", "{root}?format=car", headers={"Content-Disposition": "attachment.*"}),
    Case("scope that there is not", "{root}?format=car&dag-scope=everything", status=(400,)),
    Case("nothing is written", "{small}", method="POST", status=(405,)),
]  # fmt: skip


class Answer(NamedTuple):
    """What came."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class _Stay(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: object) -> None:
        return None


def ask(gateway: str, case: Case, names: Mapping[str, str]) -> Answer:
    """Ask a gateway as a case says; redirects are not followed."""
    headers = {name: value.format(**names) for name, value in case.told.items()}
    data = b"" if case.method == "POST" else None
    request = urllib.request.Request(
        f"{gateway}/ipfs/{case.path.format(**names)}", data=data, headers=headers, method=case.method
    )
    try:
        with urllib.request.build_opener(_Stay).open(request, timeout=120) as answer:
            return Answer(answer.status, answer.headers, answer.read())
    except urllib.error.HTTPError as error:
        return Answer(error.code, error.headers, error.read())


def faults(case: Case, answer: Answer, names: Mapping[str, str]) -> list[str]:
    """What is not right in an answer."""
    found = [] if answer.status in case.status else [f"status {answer.status}, not {case.status}"]
    for name, pattern in case.headers.items():
        value = answer.headers.get(name, "")
        if not re.fullmatch(pattern.format(**names), value):
            found.append(f"{name} is {value!r}, not {pattern!r}")
    if case.body is not None and answer.body != case.body:
        found.append(f"{len(answer.body)} bytes that are not the {len(case.body)} wanted")
    if case.blocks is not None and not found:
        blocks = list(dag.read_car([answer.body]))
        found += [f"{cid} is not its block" for cid, block in blocks if not _fits(cid, block)]
        counted = (sum(not dag.is_raw(cid) for cid, _ in blocks), sum(dag.is_raw(cid) for cid, _ in blocks))
        if counted != case.blocks:
            found.append(f"{counted} nodes and raw blocks, not {case.blocks}")
    return found


def _fits(cid: str, block: bytes) -> bool:
    return hashlib.sha256(block).digest() == parse(cid).digest
