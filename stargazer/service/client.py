"""The same methods for a store of this process and for a service elsewhere."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import quote

from stargazer import api, config
from stargazer.assets import Asset
from stargazer.assets.table import Table
from stargazer.errors import ArgumentError
from stargazer.service import materializing
from stargazer.service.artifact import Artifact
from stargazer.service.materializing import Here
from stargazer.service.remote import Remote
from stargazer.service.shown import asset_of
from stargazer.service.wanted import check_inputs, read_transform
from stargazer.store import Store, active_store
from stargazer.store.references import find_assets, read_reference
from stargazer.tables import read_table

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    from stargazer.ledger.lineage import Lineage

__all__ = ["ServiceClient"]

WAIT = 30
TOKEN = "STARGAZER_TOKEN"
"""Environment variable with the token, where none is given."""


class _Place(Protocol):
    """A store of this process, or a service elsewhere."""

    def materialize(self, inputs: Sequence[Any], transform: Any, name: str | None, refresh: bool) -> Artifact: ...
    def find(self, uri: str) -> Asset: ...
    def fetch_file(self, asset: Asset) -> Path: ...
    def is_stale(self, name: str) -> bool: ...
    def add(self, path: Path, asset: Asset | None) -> Asset: ...
    def set_name(self, name: str, uri: str) -> int: ...
    def trace(self, asset: Asset, direction: Any) -> Lineage: ...


class ServiceClient:
    """Ask a service; without a URL, a store of this process.

    Parameters
    ----------
    url
        Of the service, as ``http://127.0.0.1:8765``; None for a store of this process.
    token
        That lets in; by default what the environment variable STARGAZER_TOKEN holds.
    store
        Of this process: the one that is asked where there is no URL, and the one that fetched files go to where there
        is. The active store by default.

    Examples
    --------
    >>> import stargazer as sg
    >>> client = sg.ServiceClient()
    >>> words = client.add("words.txt")
    >>> client.set_name("demo/words", words.cid)
    1
    >>> client.fetch("stargazer://name/demo/words@1").read_text().split()
    ['b', 'a', 'b']
    """

    def __init__(self, url: str | None = None, token: str | None = None, *, store: Store | None = None) -> None:
        self.url = url
        secret = token if token is not None else config.secret(TOKEN) if url else None
        self._place: _Place = _Local(store) if url is None else _Service(Remote(url, secret), store)

    def __repr__(self) -> str:
        return f"ServiceClient({self.url!r})" if self.url else "ServiceClient()"

    def materialize(
        self,
        inputs: Sequence[Any] = (),
        transform: Mapping[str, Any] | str = "",
        name: str | None = None,
        refresh: bool = False,
    ) -> Artifact:
        """Return what a transform makes of its inputs; see `stargazer.materialize`."""
        return self._place.materialize(inputs, transform, name, refresh)

    def fetch(self, uri: str | Artifact | Asset) -> Any:
        """Return a table as a `pyarrow.Table`, and anything else as a real path.

        What a service sends is checked by its CID and kept in the store of this process, so nothing is sent twice.

        Parameters
        ----------
        uri
            What names it: ``stargazer://asset/…``, a CID, an id, ``stargazer://name/NAME@3``; or the artifact itself.
        """
        asset = uri.asset if isinstance(uri, Artifact) else self._place.find(uri) if isinstance(uri, str) else uri
        path = self._place.fetch_file(asset)
        return read_table(path) if isinstance(asset, Table) else path

    def find(self, uri: str) -> Asset:
        """Return what is known of an asset; its bytes stay where they are."""
        return self._place.find(uri)

    def add(self, path: str | os.PathLike[str], asset: Asset | None = None) -> Asset:
        """Make a file or folder an asset there; it is checked by its CID, and goes on where it was cut off."""
        return self._place.add(Path(path), asset)

    def set_name(self, name: str, uri: str) -> int:
        """Let a name stand for an asset; return the number of its version."""
        return self._place.set_name(name, uri)

    def is_stale(self, name: str) -> bool:
        """Say whether making what a name stands for again would run anything; see `stargazer.is_stale`."""
        return self._place.is_stale(name)

    def lineage(self, uri: str) -> Lineage:
        """Return where an asset came from."""
        return self._place.trace(self._place.find(uri), "up")

    def dependents(self, uri: str) -> Lineage:
        """Return what was made of an asset."""
        return self._place.trace(self._place.find(uri), "down")


class _Local:
    """A store of this process."""

    def __init__(self, store: Store | None) -> None:
        self._given = store

    @property
    def _store(self) -> Store:
        return self._given or active_store()

    def materialize(self, inputs: Sequence[Any], transform: Any, name: str | None, refresh: bool) -> Artifact:
        return materializing.materialize(inputs, transform, name, refresh, store=self._store)

    def find(self, uri: str) -> Asset:
        return find_assets(self._store, uri)[0]

    def fetch_file(self, asset: Asset) -> Path:
        return Here(self._store).fetch_file(asset)

    def is_stale(self, name: str) -> bool:
        return materializing.is_stale(name, store=self._store)

    def add(self, path: Path, asset: Asset | None) -> Asset:
        return api.add(path, asset, store=self._store, progress=False)

    def set_name(self, name: str, uri: str) -> int:
        return self._store.names.set(name, self.find(uri)).version

    def trace(self, asset: Asset, direction: Any) -> Lineage:
        return Here(self._store).trace(asset, direction)


class _Service:
    """A service elsewhere."""

    def __init__(self, remote: Remote, store: Store | None) -> None:
        self._remote, self._given = remote, store

    def materialize(self, inputs: Sequence[Any], transform: Any, name: str | None, refresh: bool) -> Artifact:
        ref, params = read_transform(transform)
        asked = {"executor": ref, "params": _named(params, "params")}
        body = {"inputs": _named(check_inputs(inputs), "inputs"), "transform": asked, "name": name, "refresh": refresh}
        told = self._remote.json("POST", "/v1/materialize", json={**body, "wait": WAIT})
        while told["state"] == "building":
            began = time.monotonic()
            told = self._remote.json("GET", f"/v1/builds/{told['build']}", params={"wait": WAIT})
            if time.monotonic() - began < 1:
                time.sleep(1)
        return self._artifact(told, name)

    def _artifact(self, told: dict[str, Any], name: str | None) -> Artifact:
        self._remote.refuse(told)
        version = (told.get("name") or {}).get("version")
        if name and version is None:  # it was named when its run ended
            version = self._remote.json("GET", f"/v1/names/{quote(name)}")["version"]
        others = tuple(asset_of(each) for each in told["others"])
        return Artifact(asset_of(told["asset"]), told["record"], version, told["hit"], told["key"], others, home=self)

    def find(self, uri: str) -> Asset:
        wanted = read_reference(uri)
        if wanted.kind == "name":
            params = {"version": str(wanted.version)} if wanted.version is not None else {}
            return asset_of(self._remote.json("GET", f"/v1/names/{quote(wanted.text)}", params=params)["asset"])
        return asset_of(self._remote.json("GET", f"/v1/assets/{quote(wanted.text)}"))

    def fetch_file(self, asset: Asset) -> Path:
        return self._remote.fetched(self._given or active_store(), asset)

    def is_stale(self, name: str) -> bool:
        return bool(self._remote.json("GET", f"/v1/names/{quote(name)}", params={"stale": "true"})["stale"])

    def add(self, path: Path, asset: Asset | None) -> Asset:
        return self._remote.sent(path, asset)

    def set_name(self, name: str, uri: str) -> int:
        return int(self._remote.json("PUT", f"/v1/names/{quote(name)}", json={"asset": uri})["version"])

    def trace(self, asset: Asset, direction: Any) -> Lineage:
        return self._remote.traced(asset, direction)


def _named(given: Any, where: str) -> Any:
    """Inputs and parameters as a service reads them: assets by their ids."""
    if isinstance(given, Asset):
        return given.id
    if isinstance(given, Mapping):
        return {name: _named(each, where) for name, each in given.items()}
    if isinstance(given, (list, tuple)):
        return [_named(each, where) for each in given]
    if given is None or isinstance(given, (str, int, float)):
        return given
    raise ArgumentError(
        f"{where}: {given!r:.80} cannot be sent to a service; a call is computed here, and its result added there"
    )
