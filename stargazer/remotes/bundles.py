"""Bundles: files that belong together, by CID, name and typed facts, as one small YAML."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stargazer.assets import Asset
from stargazer.bounded import parse_yaml, read_text
from stargazer.cid import parse
from stargazer.errors import AssetError, CIDError, DataError, NotFound, RemoteError, RemoteLacks
from stargazer.remotes.fetch import fetch_into
from stargazer.store.staging import file_name, members

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from stargazer.remotes.base import Progress, Remote
    from stargazer.store import Store

__all__ = ["Bundle", "bundles", "find_bundle", "make_bundle", "read_bundle"]

_SHIPPED = Path(__file__).with_name("bundled")
_MEMBERS = {"name": str, "description": str, "assets": list}
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
    """

    name: str
    description: str
    assets: tuple[Asset, ...]
    sizes: Mapping[str, int]

    @property
    def size(self) -> int | None:
        """Bytes of all of it; None if some are not told."""
        sizes = [self.sizes.get(cid) for cid in self.cids]
        return None if None in sizes else sum(size for size in sizes if size)

    @property
    def cids(self) -> list[str]:
        """CIDs of all files, each once."""
        return list(dict.fromkeys(str(each.cid) for asset in self.assets for each in members(asset)))

    def fetch(self, store: Store, remotes: Sequence[Remote], progress: Progress | None = None) -> list[Asset]:
        """Have everything in a store; the store knows the assets only when it has all of them.

        Parameters
        ----------
        store
            Where to; what it has already is not fetched.
        remotes
            Where to look.
        progress
            Called with the number of bytes that just came.

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
        return [store.put(asset) for asset in self.assets]

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
        content = {"name": self.name, "description": self.description, "assets": assets}
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


def make_bundle(name: str, assets: Iterable[Asset], store: Store, description: str = "") -> Bundle:
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

    Raises
    ------
    NotFound
        One is not in the store, or there are none.
    """
    chosen = tuple(dict.fromkeys(assets))
    if not chosen:
        raise NotFound(f"nothing is to go into the bundle {name}")
    if absent := [asset for asset in chosen if not store.exists(asset)]:
        raise NotFound(f"{store.url} does not have {absent[0]!r}, which was to go into the bundle {name}")
    cids = dict.fromkeys(str(member.cid) for asset in chosen for member in members(asset))
    return Bundle(name, description, chosen, {cid: _bytes_of(store, cid) for cid in cids})


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
        content = parse_yaml(read_text(path), f"the bundle {path}")
    except DataError as error:
        raise DataError(f"{path} is no bundle: {error}") from error
    if not isinstance(content, dict) or not isinstance(content.get("assets"), list):
        raise DataError(f"{path} is no bundle: it must have 'name' and a list of 'assets'")
    if unknown := content.keys() - _MEMBERS.keys():
        raise DataError(f"{path}: a bundle has no {', '.join(map(str, unknown))}; it has {', '.join(_MEMBERS)}")
    sizes: dict[str, int] = {}
    assets = [_read(each, sizes, f"{path}: assets[{place}]") for place, each in enumerate(content["assets"])]
    return Bundle(str(content.get("name") or path.stem), str(content.get("description") or ""), tuple(assets), sizes)


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
