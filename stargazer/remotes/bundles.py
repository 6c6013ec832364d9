"""Bundles: files that belong together, by CID, name and typed facts, as one small YAML."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stargazer.assets import Asset
from stargazer.bounded import LARGEST, parse_yaml, read_text
from stargazer.cid import address, parse
from stargazer.errors import AssetError, CIDError, DataError, NotFound, RemoteError, RemoteLacks
from stargazer.remotes.base import TIMEOUT
from stargazer.remotes.blocks import RemoteWarning
from stargazer.remotes.fetch import fetch_into
from stargazer.store.staging import file_name, members
from stargazer.visible import visible

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from stargazer.remotes.base import Progress, Remote
    from stargazer.store import Store

__all__ = ["BUNDLE", "Bundle", "bundle_at", "bundles", "find_bundle", "make_bundle", "read_bundle"]

BUNDLE = "bundle.yaml"
"""Name of the bundle in a directory that was published."""

_SHIPPED = Path(__file__).with_name("bundled")
_MEMBERS = {"name": str, "description": str, "lineage": str, "assets": list}
_ASSET = {"asset", "name", "cid", "size", "facts", "companions"}


@dataclass(frozen=True)
class Bundle:
    """Files that belong together.

    Parameters
    ----------
    name
        Of the bundle.
    description
        A sentence about it.
    assets
        What is in it, with CIDs, companions too.
    sizes
        Bytes of each file or directory by its CID, where they are told.
    lineage
        CID of the records of the calls that made them, as `stargazer.remotes.histories` writes them; empty without.
    """

    name: str
    description: str
    assets: tuple[Asset, ...]
    sizes: Mapping[str, int]
    lineage: str = ""

    @property
    def size(self) -> int | None:
        """Bytes of all of it; None if some are not told."""
        sizes = [self.sizes.get(cid) for cid in self.cids]
        return None if None in sizes else sum(size for size in sizes if size)

    @property
    def cids(self) -> list[str]:
        """CIDs of all files, each once."""
        return list(dict.fromkeys(str(each.cid) for asset in self.assets for each in members(asset)))

    def fetch(
        self, store: Store, remotes: Sequence[Remote], progress: Progress | None = None, *, trusted: bool = False
    ) -> list[Asset]:
        """Have everything in a store; the store knows the assets only when it has all of them.

        The records of the calls that made them come along, as far as they are believed: then the same calls are known.

        Parameters
        ----------
        store
            Where to; what it has already is not fetched.
        remotes
            Where to look.
        progress
            Called with the number of bytes that just came.
        trusted
            Whether its records are believed whoever signed them.

        Returns
        -------
        list of Asset
            Handles, which answer to `assemble`.

        Raises
        ------
        RemoteError
            No remote gives one of the files.
        DataError
            A file is not as long as the bundle says.
        """
        for asset in self.assets:
            for member in members(asset):
                self._fetch_one(store, member, remotes, progress)
        stored = [store.put(asset) for asset in self.assets]
        if self.lineage:
            self._fetch_lineage(store, remotes, trusted, progress)
        return stored

    def _fetch_lineage(self, store: Store, remotes: Sequence[Remote], trusted: bool, progress: Progress | None) -> None:
        from stargazer.remotes.histories import take_history

        source = f"bundle {self.name}"
        try:
            take_history(store, self.lineage, self.assets, remotes, source=source, trusted=trusted, progress=progress)
        except RemoteError as error:
            message = f"{source}: its records cannot be had ({error}); its files are here all the same"
            warnings.warn(visible(message, lines=True), RemoteWarning, stacklevel=3)

    def _fetch_one(self, store: Store, asset: Asset, remotes: Sequence[Remote], progress: Progress | None) -> None:
        cid = str(asset.cid)
        try:
            fetch_into(store, cid, remotes, progress)
        except RemoteError as error:
            message = f"bundle {self.name}: {file_name(asset)} cannot be had: {error}"
            raise (RemoteLacks if isinstance(error, RemoteLacks) else RemoteError)(message) from error
        told, found = self.sizes.get(cid), _bytes_of(store, cid)
        if told is not None and told != found:
            raise DataError(f"bundle {self.name}: {file_name(asset)} has {found} bytes, not {told}: mend the bundle")

    def to_yaml(self) -> str:
        """The bundle as text, as `read_bundle` reads it."""
        import yaml

        assets = [_written(asset, self.sizes) for asset in self.assets]
        about = {"name": self.name, "description": self.description}
        content = about | ({"lineage": self.lineage} if self.lineage else {}) | {"assets": assets}
        return str(yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=200))


def bundles() -> list[Bundle]:
    """The bundles that come with Stargazer."""
    return [read_bundle(path) for path in sorted(_SHIPPED.glob("*.yaml"))]


def find_bundle(name: str) -> Bundle:
    """A bundle by its name, or by the path of its YAML file.

    Raises
    ------
    NotFound
        There is none.
    """
    path = Path(name)
    if path.suffix in (".yaml", ".yml"):
        return read_bundle(path)
    known = {path.stem: path for path in sorted(_SHIPPED.glob("*.yaml"))}
    if name not in known:
        raise NotFound(f"there is no bundle {name!r}; there are {', '.join(known)}, or give the path of a .yaml file")
    return read_bundle(known[name])


def make_bundle(
    name: str, assets: Iterable[Asset], store: Store, description: str = "", *, lineage: bool = False
) -> Bundle:
    """A bundle of stored assets: of what a query found, or a run's results.

    Parameters
    ----------
    name
        What it shall be called.
    assets
        Stored assets.
    store
        Where they are; it tells their sizes.
    description
        A sentence about it.
    lineage
        Put the records of the calls that made them into the store as a folder, and name it in the bundle. What the same
        calls made beside them belongs to the bundle then, for only so are the calls known to others.

    Raises
    ------
    NotFound
        One is not in the store, or there are none.
    """
    chosen = tuple(dict.fromkeys(assets))
    history = ""
    if lineage:
        from stargazer.remotes.histories import keep_history

        chosen, history = keep_history(store, chosen)
    if not chosen:
        raise NotFound(f"nothing is to go into the bundle {name}")
    if absent := [asset for asset in chosen if not store.exists(asset)]:
        raise NotFound(f"{store.url} does not have {absent[0]!r}, which was to go into the bundle {name}")
    cids = dict.fromkeys(str(member.cid) for asset in chosen for member in members(asset))
    return Bundle(name, description, chosen, {cid: _bytes_of(store, cid) for cid in cids}, history)


def bundle_at(name: str, store: Store, remotes: Sequence[Remote]) -> Bundle:
    """A bundle by its name, by the path or URL of its YAML, or by the CID of that or of a directory that holds it.

    Parameters
    ----------
    name
        As people paste it: ``ipfs://…``, the URL of a gateway, a path below a CID.
    store
        Where what comes is kept.
    remotes
        Where to look for what the store lacks.

    Raises
    ------
    NotFound
        There is none.
    DataError
        What is there is no bundle.
    """
    if Path(name).suffix in (".yaml", ".yml") and "://" not in name and Path(name).exists():
        return read_bundle(Path(name))
    try:
        place = address(name)
    except CIDError:
        if name.startswith(("http://", "https://")):
            return _parsed(_downloaded(name).decode("utf-8", "replace"), name, Path(name).stem)
        return find_bundle(name)
    cid = fetch_into(store, _place_of(place, store, remotes), remotes)
    if (size := store.size(cid)) is None or size > LARGEST:
        raise DataError(f"{name} is no bundle: it has {size or 'no'} bytes")
    return _parsed(store.read(cid).decode("utf-8", "replace"), name, cid[-8:])


def _place_of(place: str, store: Store, remotes: Sequence[Remote]) -> str:
    """Where a bundle lies: in a directory that was published, beside its page, or just here."""
    from stargazer.remotes.read import first_view

    place = place.removesuffix("/index.html")
    if Path(place).suffix in (".yaml", ".yml"):
        return place
    if store.has(place.partition("/")[0]):
        return f"{place}/{BUNDLE}" if store.is_directory(store.resolve(place)) else place
    view, cid = first_view(place, remotes)
    return f"{place}/{BUNDLE}" if view.is_directory(cid) else place


def _downloaded(url: str) -> bytes:
    from stargazer.remotes.entries import check_address
    from stargazer.remotes.http import Web

    check_address(url, "the bundle")
    base, _, file = url.rpartition("/")
    return Web(base, base, TIMEOUT, dict).get(f"/{file}", LARGEST)


def read_bundle(path: Path) -> Bundle:
    """Read a bundle, and check all of it.

    Raises
    ------
    DataError
        It is malformed: names the place in it.
    OSError
        It cannot be read.
    """
    try:
        text = read_text(path)
    except DataError as error:
        raise DataError(f"{path} is no bundle: {error}") from error
    return _parsed(text, str(path), path.stem)


def _parsed(text: str, path: str, stem: str) -> Bundle:
    """A bundle from its text; `path` is where it came from, `stem` its name where it has none itself."""
    try:
        content = parse_yaml(text, f"the bundle {path}")
    except DataError as error:
        raise DataError(f"{path} is no bundle: {error}") from error
    if not isinstance(content, dict) or not isinstance(content.get("assets"), list):
        raise DataError(f"{path} is no bundle: it must have 'name' and a list of 'assets'")
    if unknown := content.keys() - _MEMBERS.keys():
        raise DataError(f"{path}: a bundle has no {', '.join(map(str, unknown))}; it has {', '.join(_MEMBERS)}")
    sizes: dict[str, int] = {}
    assets = [_read(each, sizes, f"{path}: assets[{place}]") for place, each in enumerate(content["assets"])]
    name, description = str(content.get("name") or stem), str(content.get("description") or "")
    return Bundle(name, description, tuple(assets), sizes, _lineage(content, path))


def _lineage(content: Mapping[str, Any], path: str) -> str:
    told = content.get("lineage") or ""
    try:
        return parse(told).text if told else ""
    except (CIDError, TypeError, AttributeError) as error:
        raise DataError(f"{path}: lineage is {told!r}, but must be the CID of a lineage: {error}") from error


def _read(entry: Any, sizes: dict[str, int], where: str) -> Asset:
    if not isinstance(entry, dict) or not isinstance(entry.get("cid"), str):
        raise DataError(f"{where} must be a mapping with a 'cid'")
    if unknown := entry.keys() - _ASSET:
        raise DataError(f"{where} has no place for {', '.join(map(str, unknown))}; it has {', '.join(sorted(_ASSET))}")
    below = entry.get("companions") or []
    companions = [_read(each, sizes, f"{where}.companions[{place}]") for place, each in enumerate(below)]
    try:
        cid = parse(entry["cid"]).text
        draft = Asset.from_dict(
            {
                "asset": entry.get("asset", "asset"),
                "facts": entry.get("facts") or {},
                "cid": cid,
                "name": entry.get("name", ""),
                "companions": [each.to_dict() for each in companions],
            }
        )
        file_name(draft)
    except (AssetError, CIDError) as error:
        raise DataError(f"{where}: {error}") from error
    if "size" in entry:
        sizes[cid] = _read_size(entry["size"], where)
    return draft


def _read_size(size: Any, where: str) -> int:
    if not isinstance(size, int) or isinstance(size, bool) or size < 0:
        raise DataError(f"{where}.size is {size!r}, but must be a number of bytes")
    return size


def _written(asset: Asset, sizes: Mapping[str, int]) -> dict[str, Any]:
    content = asset.to_dict()
    facts = {name: value for name, value in content["facts"].items() if value not in ("", None, [], {})}
    entry: dict[str, Any] = {"asset": content["asset"], "name": asset.name, "cid": asset.cid}
    if (size := sizes.get(str(asset.cid))) is not None:
        entry["size"] = size
    entry |= {"facts": facts} if facts else {}
    beside = [_written(companion, sizes) for companion in asset.companions]
    return entry | ({"companions": beside} if beside else {})


def _bytes_of(store: Store, cid: str) -> int:
    """Bytes of a file, or of all files in a directory."""
    if not store.is_directory(cid):
        return store.size(cid) or 0
    return sum(store.size(child) or 0 for _, child in store.walk(cid) if child is not None)
