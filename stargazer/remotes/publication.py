"""A result for everybody: one directory with a page that a reader understands, sent to a remote under its CID.

In it lie the result's files, pictures of the calls that led to it, the bundle by which others have it, an RO-Crate, and
the history that makes the same call known to whoever believes it.
"""

from __future__ import annotations

import re
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from stargazer import config
from stargazer.assets import R1, R2, Alignment, Asset
from stargazer.display.published import Page, page_html
from stargazer.errors import NotPublic, RemoteCannot, ToolMissing
from stargazer.ledger import Ledger, walk_assets
from stargazer.ledger.lineage import Lineage, trace
from stargazer.remotes.bundles import BUNDLE, Bundle, make_bundle
from stargazer.remotes.histories import made_by
from stargazer.remotes.push import push
from stargazer.store.staging import file_name, members

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from stargazer.remotes.base import Progress, Remote
    from stargazer.store import Store

__all__ = ["Published", "publish", "reads_among"]

PICTURES = (".png", ".svg", ".jpg", ".jpeg")
MOST_PICTURES = 24
LARGEST_PICTURE = 8 << 20

_READS = re.compile(r"\.(fastq|fq|bam|ubam|cram|sam|sra)(\.(gz|bgz|bz2|xz|zst))?$", re.IGNORECASE)
_HUMAN = ("", "human", "homo sapiens", "h. sapiens", "9606")


class Published(NamedTuple):
    """What was published, and where it is.

    Parameters
    ----------
    cid
        Of the directory.
    remote
        Name of the remote that has it.
    links
        Where it can be looked at, the best first.
    pinned
        Whether the remote keeps it.
    """

    cid: str
    remote: str
    links: tuple[str, ...]
    pinned: bool


def publish(
    store: Store,
    asset: Asset,
    remote: Remote,
    *,
    public: bool = False,
    title: str = "",
    licence: str = "",
    progress: Progress | None = None,
) -> Published:
    """Send a result to a remote as one directory that explains itself, and have it kept there.

    Parameters
    ----------
    store
        Where the result is.
    asset
        The result. What the same call made beside it goes along, for only so is the call known to others.
    remote
        Where to.
    public
        Whether reads may go where everybody can see them.
    title, licence
        Heading of the page; URL or SPDX identifier of the licence of the data.
    progress
        Called with the number of bytes that were just sent.

    Raises
    ------
    NotPublic
        Reads would go to a public place, and nothing says that they are no human's.
    RemoteCannot
        The remote takes nothing, or no directories.
    NotFound
        The store lacks some of it, or of what the same call made.
    """
    if "push" not in remote.offers:
        raise RemoteCannot(f"{remote.name} is a {remote.kind}, to which nothing can be published; name another remote")
    remote.check_directories()
    _, beside = made_by(store, asset)
    if remote.public and not public and (found := reads_among(store, [asset, *beside])):
        raise NotPublic(
            f"{remote.name} is a public place, and {', '.join(found[:3])} holds reads that may be a person's: nobody "
            "can take them back once they are there. If they may be public, say so: --public (public=True)"
        )
    bundle = make_bundle(file_name(asset), [asset], store, title, lineage=True)
    chosen = sorted(bundle.assets, key=lambda each: each.cid != asset.cid)
    cid = _directory(store, bundle, chosen, replace(trace(store, asset), to_all=True), licence)
    directory = store.put(Asset(cid=cid, name=f"{file_name(asset)}-published"))
    store.pin(f"published-{cid[-16:]}", directory)
    _send(store, directory, chosen, remote, progress)
    return Published(cid, remote.name, tuple(_links(remote, store, cid)), remote.keeps(cid))


def reads_among(store: Store, assets: Sequence[Asset]) -> list[str]:
    """Names of what holds reads, of which nothing says that they are of another species than ours.

    Parameters
    ----------
    store
        Where they are.
    assets
        What is to be published; names in directories count too.
    """
    found = []
    for asset in (member for each in assets for member in members(each)):
        if str(getattr(asset, "organism", "")).strip().lower() not in _HUMAN:
            continue
        if isinstance(asset, (R1, R2, Alignment)) or any(map(_READS.search, _names(store, asset))):
            found.append(file_name(asset))
    return found


def _names(store: Store, asset: Asset) -> Iterator[str]:
    yield asset.name
    if store.is_directory(str(asset.cid)):
        yield from (path for path, _ in store.walk(str(asset.cid)))


# The directory.


def _directory(store: Store, bundle: Bundle, chosen: list[Asset], lineage: Lineage, licence: str) -> str:
    """Lay the directory out and take it into the store; its CID."""
    with tempfile.TemporaryDirectory(prefix="stargazer-publish-") as scratch:
        folder = Path(scratch) / "published"
        folder.mkdir()
        places = {str(each.cid): f"result/{number}" if number else "result" for number, each in enumerate(chosen)}
        for each in chosen:
            store.stage(each, folder / places[str(each.cid)])
        if bundle.lineage:
            store.stage(Asset(cid=bundle.lineage, name="lineage"), folder)
        (folder / BUNDLE).write_text(bundle.to_yaml(), "utf-8")
        page = Page(
            title=bundle.description or bundle.name,
            files=[
                (member, f"{places[str(each.cid)]}/{file_name(member)}", bundle.sizes[str(member.cid)])
                for each in chosen
                for member in members(each)
            ],
            lineage=lineage,
            pictures=_pictures(store, chosen, lineage, folder),
            crate=_crate(lineage, folder, licence) if bundle.lineage else "",
            bundle=BUNDLE,
            history="lineage" if bundle.lineage else "",
            licence=licence,
        )
        (folder / "index.html").write_text(page_html(page), "utf-8")
        return store.dirs.put(folder, follow=True).cid


def _crate(lineage: Lineage, folder: Path, licence: str) -> str:
    """Path of the crate in the directory; empty where the library for it is not installed."""
    one = replace(lineage, roots=lineage.roots[:1])
    try:
        one.to_rocrate(folder / "ro-crate", files="none", license=licence)
    except ToolMissing:
        return ""
    return "ro-crate/ro-crate-metadata.json"


def _pictures(store: Store, chosen: list[Asset], lineage: Lineage, folder: Path) -> list[tuple[str, str]]:
    """Paths and names of pictures among the results and on the way to them, laid into the directory."""
    ledger = Ledger(store.records)
    made = [each for record in lineage.records for each in walk_assets(ledger.results(record))]
    found: dict[str, str] = {}
    for asset in (member for each in (*chosen, *made) for member in members(each)):
        cid = str(asset.cid)
        inside = [(path, file) for path, file in store.walk(cid) if file] if store.is_directory(cid) else []
        for name, file in inside or [(asset.name, cid)]:
            if name.lower().endswith(PICTURES) and 0 < (store.size(file) or 0) <= LARGEST_PICTURE:
                found.setdefault(file, name.rpartition("/")[2])
    pictures = []
    for number, (cid, name) in enumerate(list(found.items())[:MOST_PICTURES], 1):
        place = folder / "plots" / f"{number:02}{Path(name).suffix.lower()}"
        place.parent.mkdir(exist_ok=True)
        place.write_bytes(store.read(cid))
        pictures.append((f"plots/{place.name}", name))
    return pictures


# The remote.


def _send(store: Store, directory: Asset, chosen: list[Asset], remote: Remote, progress: Progress | None) -> None:
    """Send the directory, and what does not lie in it under its own CID, as files that others cut into blocks."""
    cid = str(directory.cid)
    if not remote.push_directory(cid, store, directory.name, progress):
        push(store, directory, remote, progress)
    inside = store.dirs.closure([cid])
    for each in chosen:
        if "records" in remote.offers or any(str(member.cid) not in inside for member in members(each)):
            push(store, each, remote, progress)


def _links(remote: Remote, store: Store, cid: str) -> Iterator[str]:
    yield from remote.pages(cid)
    if remote.public:
        pages = [url for url in config.default_gateways() if "trustless" not in url]  # those give blocks, no pages
        yield from (f"{url.rstrip('/')}/ipfs/{cid}/" for url in pages)
        yield f"ipfs://{cid}"
    yield f"cid://{cid}/index.html"
