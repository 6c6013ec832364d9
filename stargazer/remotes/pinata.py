"""Pinata, through its API of version 3.

Source: https://docs.pinata.cloud/api-reference
"""

from __future__ import annotations

import json
import time
from itertools import product
from typing import TYPE_CHECKING, Any

from stargazer.assets import Asset
from stargazer.cid import parse
from stargazer.errors import AssetError, RemoteCannot, RemoteError, RemoteLacks, RemoteRefused
from stargazer.remotes.base import TIMEOUT, FileRemote
from stargazer.remotes.http import Web, bearer, download, hide
from stargazer.remotes.tus import PART, upload

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from stargazer.remotes.base import Progress
    from stargazer.store import Store

__all__ = ["MOST", "Pinata", "asset_of", "keyvalues_of", "question", "suits"]

TOKEN = "PINATA_JWT"
LARGE = 100_000_000
"""Bytes above which a file is sent in parts."""
_FILES = "/v3/files"
_PAGE = 1000
_VALID = 600


class Pinata(FileRemote):
    """An account at Pinata: files by CID, with facts as keyvalues.

    Parameters
    ----------
    name
        As for `Remote`.
    network
        ``"public"`` or ``"private"``.
    gateway
        URL of the account's gateway, from which files come; private ones need it.
    api, uploads
        URLs of the service.
    token
        Name of the environment variable that holds the JWT.
    timeout
        Seconds in which an answer must come.
    """

    kind = "Pinata account"
    offers = ("has", "fetch", "push", "query", "update", "delete", "sign")

    def __init__(
        self,
        name: str,
        network: str = "public",
        *,
        gateway: str = "",
        api: str = "https://api.pinata.cloud",
        uploads: str = "https://uploads.pinata.cloud",
        token: str = TOKEN,
        timeout: float = TIMEOUT,
    ) -> None:
        super().__init__(name, f"{api} ({network})")
        self.network = network
        self._gateway = gateway or ("https://gateway.pinata.cloud" if network == "public" else "")
        self.api, self.uploads = (Web(name, url, timeout, lambda: bearer(token, name)) for url in (api, uploads))
        self.gateway = Web(name, self._gateway, timeout)
        self.large, self.part = LARGE, PART

    def has(self, cid: str) -> bool:
        """Whether the account has a file of that CID."""
        return any(True for _ in self.files(cid=cid))

    def stream(self, cid: str, start: int = 0) -> Iterator[bytes]:
        """Bytes of a file from `start` on, unchecked."""
        if not self._gateway:
            raise RemoteCannot(f"{self.name} has no gateway in the settings; private files come through the account's")
        return download(self.gateway, lambda: self._address(cid), start)

    def _address(self, cid: str) -> str:
        if self.network == "public":
            return f"{self.gateway.base}/ipfs/{cid}"
        wanted = {
            "url": f"{self.gateway.base}/files/{cid}",
            "date": int(time.time()),
            "expires": _VALID,
            "method": "GET",
        }
        answer = self.api.json("POST", f"{_FILES}/private/download_link", json=wanted)
        return hide(str(_data(self.name, answer)))

    def push(self, cid: str, store: Store, progress: Progress | None = None, *, asset: Asset | None = None) -> None:
        """Send a file with its facts; one that the account has already only learns the facts."""
        if store.is_directory(cid):
            raise RemoteCannot(f"{self.name} takes files, and {cid} is a directory: send it to a Kubo node or a store")
        described = asset or Asset(cid=cid, name=cid)
        facts, name = keyvalues_of(described), described.name or cid
        known = list(self.files(cid=cid))
        if not known:
            theirs = self._upload(cid, store, name, facts, progress)
            if theirs != cid:
                raise RemoteRefused(
                    f"{self.name} gave {name} the CID {theirs}, and here it is {cid}: it is not the same"
                )
        self._note(cid, store).unlink(missing_ok=True)  # of an upload that was killed when it was whole
        if known and not any((each.get("name"), each.get("keyvalues") or {}) == (name, facts) for each in known):
            self.update(str(known[0]["id"]), name=name, keyvalues=facts)

    def _note(self, cid: str, store: Store) -> Path:
        """File of this host that remembers an upload in parts until it is done."""
        return store.context.cache / "uploads" / f"{self.network}-{cid}"

    def _upload(self, cid: str, store: Store, name: str, facts: dict[str, str], progress: Progress | None) -> str:
        size = store.size(cid)
        if size is None:
            raise RemoteLacks(f"{store.url} does not have {cid}, which was to be sent to {self.name}")
        if size > self.large:
            about = {"filename": name, "network": self.network, "keyvalues": json.dumps(facts)}
            with store.dirs.open(cid) as file:
                headers = upload(self.uploads, _FILES, file, about, self._note(cid, store), progress, self.part)
            return _cid(self.name, headers.get("upload-cid"))
        answer = self.uploads.retried(lambda: self._send(cid, store, name, facts))
        if progress:
            progress(size)
        return _cid(self.name, _data(self.name, answer).get("cid"))

    def _send(self, cid: str, store: Store, name: str, facts: dict[str, str]) -> Any:
        fields = {"network": self.network, "name": name, "keyvalues": json.dumps(facts)}
        with (
            store.dirs.open(cid) as file,
            self.uploads.opened("POST", _FILES, data=fields, files={"file": (name, file)}) as answer,
        ):
            return json.loads(self.uploads.read(answer, 1 << 20))

    def files(self, **wanted: str) -> Iterator[dict[str, Any]]:
        """What the account says of its files, page by page: id, name, cid, size, keyvalues.

        Parameters
        ----------
        **wanted
            As the service takes them: ``cid``, ``name``, and ``metadata[key]`` through a dict.
        """
        token, seen = "", set[str]()
        while True:
            query = {**wanted, "limit": str(_PAGE), **({"pageToken": token} if token else {})}
            page = _data(self.name, self.api.json("GET", f"{_FILES}/{self.network}", params=query))
            yield from page.get("files") or []
            token = page.get("next_page_token") or ""
            if not token:
                return
            if token in seen:
                raise RemoteRefused(f"{self.name} gives the same page of files again and again")
            seen.add(token)

    def query(self, **facts: Any) -> list[Asset]:
        """Assets of the account by their facts; lists are alternatives."""
        found = (asset_of(file) for asked in question(facts) for file in self.files(**asked))
        return list(dict.fromkeys(asset for asset in found if suits(asset, facts)))

    def update(self, identifier: str, *, name: str, keyvalues: Mapping[str, str]) -> None:
        """Change what the account knows of a file.

        Parameters
        ----------
        identifier
            The service's own id of the file.
        name, keyvalues
            The new ones.
        """
        body = {"name": name, "keyvalues": dict(keyvalues)}
        self.api.json("PUT", f"{_FILES}/{self.network}/{identifier}", json=body)

    def delete(self, identifier: str) -> None:
        """Delete one file by the service's own id."""
        self.api.json("DELETE", f"{_FILES}/{self.network}/{identifier}")

    def delete_all(self, **wanted: str) -> int:
        """Delete all files that match, such as those of a CID; how many there were.

        Parameters
        ----------
        **wanted
            As for `files`; at least one.
        """
        if not wanted:
            raise RemoteError(f"{self.name}: say which files to delete; all of them is never meant")
        found = [str(file["id"]) for file in self.files(**wanted)]
        for identifier in found:
            self.delete(identifier)
        return len(found)

    def sign(self, name: str, *, expires: int = _VALID, most: int | None = None, facts: Asset | None = None) -> str:
        """A URL to which a browser may upload one file, without the token.

        Parameters
        ----------
        name
            Of the file.
        expires
            Seconds for which it is valid.
        most
            Bytes that it may have at most.
        facts
            An asset whose facts it gets.
        """
        body: dict[str, Any] = {"date": int(time.time()), "expires": expires, "filename": name, "network": self.network}
        body |= {"max_file_size": most} if most else {}
        body |= {"keyvalues": keyvalues_of(facts)} if facts else {}
        return hide(str(_data(self.name, self.uploads.json("POST", f"{_FILES}/sign", json=body))))


def _data(name: str, answer: Any) -> Any:
    if not isinstance(answer, dict) or "data" not in answer:
        raise RemoteError(f"{name} answered with something else than its documentation says")
    return answer["data"]


def _cid(name: str, text: Any) -> str:
    """The CID that the service gave, as we write it."""
    try:
        return parse(str(text)).text
    except ValueError as error:
        raise RemoteRefused(f"{name} gave no CID for the file that was sent ({error})") from None


# Facts of assets as the few flat strings that a pinning service keeps with a file, and back.


MOST = 10
"""Keys that a file may have."""


def keyvalues_of(asset: Asset) -> dict[str, str]:
    """The asset's key and those facts that say something; its name and CID have places of their own.

    Raises
    ------
    RemoteCannot
        There are more than a file may have.
    """
    plain = type(asset)().to_keyvalues() if type(asset) is not Asset else {}
    facts = {key: text for key, text in asset.to_keyvalues().items() if key == "asset" or text != plain.get(key)}
    facts.pop("name", None)
    if len(facts) > MOST:
        raise RemoteCannot(
            f"{asset.name or asset.cid} has {len(facts)} facts ({', '.join(facts)}); Pinata keeps {MOST} with a file: "
            "leave some empty, or push it with fewer (store.update)"
        )
    return facts


def asset_of(file: Mapping[str, Any]) -> Asset:
    """The asset that a service's entry tells of; a bare one where its keyvalues are not ours."""
    from stargazer.cid import parse

    cid, name = parse(str(file["cid"])).text, str(file.get("name") or "")
    facts = {str(key): str(value) for key, value in (file.get("keyvalues") or {}).items() if key != "name"}
    try:
        return Asset.from_keyvalues({**facts, "name": name}, cid=cid)
    except AssetError:
        return Asset(cid=cid)


def question(facts: Mapping[str, Any]) -> Iterator[dict[str, str]]:
    """Parameters of the requests that ask for facts: one for each choice of alternatives."""
    choices = {key: value if isinstance(value, (list, tuple)) else [value] for key, value in facts.items()}
    for chosen in product(*choices.values()):
        asked = dict(zip(choices, chosen, strict=True))
        sent = {key: _text(value) for key, value in asked.items() if value not in ("", None, False, 0)}
        yield {key if key in ("cid", "name") else f"metadata[{key}]": text for key, text in sent.items()}


def suits(asset: Asset, facts: Mapping[str, Any]) -> bool:
    """Whether an asset has these facts; a service is not believed that it has."""
    return all(_suits(asset, key, value) for key, value in facts.items())


def _suits(asset: Asset, key: str, value: Any) -> bool:
    alternatives = value if isinstance(value, (list, tuple)) else [value]
    if key == "asset":
        keys = [each if isinstance(each, str) else each.asset_key for each in alternatives]
        return asset.asset_key in keys or asset.declared.get("asset") in keys
    found = {"cid": asset.cid, "name": asset.name}.get(key, asset.declared.get(key))
    return any(found == each or _text(found) == _text(each) for each in alternatives)


def _text(value: Any) -> str:
    if isinstance(value, type) and issubclass(value, Asset):
        return value.asset_key
    return str(value).lower() if isinstance(value, bool) else str(value)
