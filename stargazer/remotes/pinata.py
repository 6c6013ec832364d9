"""Pinata, through its API of version 3.

Source: https://docs.pinata.cloud/api-reference
"""

from __future__ import annotations

import json
import re
import time
import warnings
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from stargazer.assets import Asset
from stargazer.cid import parse
from stargazer.errors import CIDError, ConfigError, RemoteCannot, RemoteError, RemoteLacks, RemoteRefused
from stargazer.remotes.base import TIMEOUT, FileRemote
from stargazer.remotes.blocks import RemoteWarning
from stargazer.remotes.cars import export_car
from stargazer.remotes.entries import ADDRESS, SECONDS, VARIABLE, Option
from stargazer.remotes.http import Web, bearer, download
from stargazer.remotes.listing import (
    asset_of,
    check_exact,
    fits,
    is_id,
    keyvalues_of,
    oddity,
    question,
    shown_entries,
    suits,
)
from stargazer.remotes.patience import Passing
from stargazer.remotes.tus import PART, remember, upload
from stargazer.visible import visible

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path
    from typing import BinaryIO

    from stargazer.remotes.base import Piece, Progress, Remote
    from stargazer.remotes.entries import Entry
    from stargazer.store import Store

__all__ = ["Pinata"]

TOKEN = "PINATA_JWT"
LARGE = 100_000_000
"""Bytes above which a file is sent in parts."""
NETWORKS = ("public", "private")
DIRECTORIES = ("car", "files")
"""How directories may be sent."""
_FILES = "/v3/files"
_PAGE = 1000
_MOST_PAGES = 10_000
_MOST_BARREN = 100
"""Pages in a row that hold nothing of what was asked for exactly: a service that heeds the question has no such."""
_VALID = 600
_SHOWN = 5
_PENDING = "pending"
_TAKING = 600.0
"""Seconds until the service must have answered to bytes that it has."""
_DOMAIN = re.compile(r"[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*")


def _check_directories(value: str, where: str) -> None:
    if value not in DIRECTORIES:
        raise ConfigError(f"{where} is {value!r}, but must be {' or '.join(DIRECTORIES)}")


class _Parcel(NamedTuple):
    """What goes to the service as one file.

    Parameters
    ----------
    title
        What the account shall call it.
    name
        Of the file that is sent.
    size
        Bytes of that.
    fields
        What else is said of it.
    open
        Gives its bytes, from the start.
    """

    title: str
    name: str
    size: int
    fields: dict[str, str]
    open: Callable[[], BinaryIO]


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
    directories
        How directories are sent: ``"car"``, each as one file of all its blocks, under its CID, to the public network
        only; ``"files"``, the files in it one by one, under theirs. By default they are refused.
    group
        The service's id of the group into which files go.
    """

    kind = "Pinata account"
    offers = ("has", "fetch", "push", "query", "update", "delete", "sign")
    options: ClassVar[Mapping[str, Any]] = {
        "timeout": SECONDS,
        "token": VARIABLE,
        "gateway": ADDRESS,
        "api": ADDRESS,
        "uploads": ADDRESS,
        "directories": Option(str, _check_directories),
        "group": str,
    }

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
        directories: str = "",
        group: str = "",
    ) -> None:
        super().__init__(name, f"{api} ({network})")
        self.network = network
        self._gateway, self._directories, self._group = gateway, directories, group
        self.api, self.uploads = (Web(name, url, timeout, lambda: bearer(token, name)) for url in (api, uploads))
        self.large, self.part = LARGE, PART

    @classmethod
    def read(cls, entry: Entry) -> Remote:
        """Make an account of the word for its network."""
        if entry.url not in NETWORKS:
            raise entry.wrong(f"is {entry.url!r}, but must be {' or '.join(map(repr, NETWORKS))}")
        return super().read(entry)

    @property
    def public(self) -> bool:
        """Whether the account is used for its public network."""
        return self.network == "public"

    def has(self, cid: str) -> bool:
        """Whether the account has a file of that CID."""
        return any(True for _ in self.files(cid=cid))

    def is_pinned(self, cid: str) -> bool | None:
        """Whether the account keeps a file: it keeps all that it has."""
        return True

    def size(self, cid: str) -> int | None:
        """Bytes of a file, as the account tells them."""
        return self._told_size(cid)

    def pages(self, cid: str) -> Iterator[str]:
        """Where the account's gateway shows something that is public."""
        if self.public:
            yield f"{self.gateway.base}/ipfs/{cid}/"

    @cached_property
    def gateway(self) -> Web:
        """From where files come: the gateway of the settings, or the account's first, for which it is asked once."""
        public = "https://gateway.pinata.cloud" if self.network == "public" else ""
        return Web(self.name, self._gateway or public or self._own_gateway(), self.api.timeout)

    def _own_gateway(self) -> str:
        rows = _data(self.name, self._told_gateways())
        rows = rows.get("rows") if isinstance(rows, dict) else rows
        domains = [each.get("domain") for each in rows or [] if isinstance(each, dict)]
        domain = next((each for each in domains if isinstance(each, str) and _DOMAIN.fullmatch(each)), None)
        if domain is None:
            raise RemoteCannot(
                f"{self.name} has no gateway, neither in the settings nor at the account: make one there"
            )
        return f"https://{domain if '.' in domain else f'{domain}.mypinata.cloud'}"

    def _told_gateways(self) -> Any:
        try:
            return self.api.json("GET", "/v3/gateways")
        except RemoteLacks:  # the service's own tools ask elsewhere than its documentation says
            return self.api.json("GET", "/v3/ipfs/gateways")

    def stream(self, cid: str, start: int = 0) -> Iterator[Piece]:
        """Bytes of a file from `start` on, unchecked."""
        return download(self.gateway, lambda: self._address(cid), start, lambda: self._told_size(cid))

    def _told_size(self, cid: str) -> int | None:
        """Bytes of a file as the account tells them: a bound for answers that tell none."""
        sizes = [each.get("size") for each in self.files(cid=cid)]
        return next((size for size in sizes if type(size) is int and size >= 0), None)

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
        return str(_data(self.name, answer))

    def push(self, cid: str, store: Store, progress: Progress | None = None, *, asset: Asset | None = None) -> None:
        """Send a file with its facts; one that the account has already only learns the facts."""
        described = asset or Asset(cid=cid, name=cid)
        if store.is_directory(cid) and self._directories != "car":
            self._push_files(cid, store, described, progress)
            return
        self._push_whole(cid, store, described, progress)

    def push_directory(self, cid: str, store: Store, name: str, progress: Progress | None = None) -> bool:
        """Send a directory under its own CID, as one CAR, whatever the settings say of others."""
        self._push_whole(cid, store, Asset(cid=cid, name=name), progress)
        return True

    def _push_whole(self, cid: str, store: Store, described: Asset, progress: Progress | None) -> None:
        facts, name = keyvalues_of(described), described.name or cid
        known = list(self.files(cid=cid))
        if not known:
            if store.is_directory(cid):
                self.check_directories()
            theirs = self._upload(cid, store, name, facts, progress)
            if theirs != cid:
                raise RemoteRefused(
                    f"{self.name} gave {name} the CID {theirs}, and here it is {cid}: it is not the same"
                )
        self._note(cid, store).unlink(missing_ok=True)  # of an upload that was killed when it was whole
        if known and not any((each.get("name"), each.get("keyvalues") or {}) == (name, facts) for each in known):
            self.update(str(known[0]["id"]), name=name, keyvalues=facts)

    def check_directories(self) -> None:
        """Raise `RemoteCannot` of a private account: the service takes CARs for its public network only."""
        if not self.public:
            raise RemoteCannot(
                f"{self.name} is a private account, and Pinata takes directories, which go as CARs, for its public "
                "network only: send it to a public account, a Kubo node or a store, or say `directories: files` of "
                "this remote, which pushes the files in directories one by one"
            )

    def _push_files(self, cid: str, store: Store, described: Asset, progress: Progress | None) -> None:
        """Send the files of a directory one by one, if the settings say so; it itself is not there then."""
        if self._directories != "files":
            raise RemoteCannot(
                f"{self.name} takes files, and {cid} is a directory: send it to a Kubo node or a store, or say "
                "`directories: car` (one file of all its blocks) or `directories: files` (one by one) of this remote"
            )
        for path, child in store.walk(cid):
            if child is not None:
                self.push(
                    child,
                    store,
                    progress,
                    asset=Asset(cid=child, name=f"{described.name or cid}/{path}".replace("/", "_")),
                )
        told = f"{self.name} has the files of {cid} one by one, not the directory itself"
        warnings.warn(visible(told, lines=True), RemoteWarning, stacklevel=3)

    def _upload_car(self, cid: str, store: Store, name: str, facts: dict[str, str], progress: Progress | None) -> str:
        """Send a directory as one CAR; the service must answer with the directory's own CID."""
        import tempfile

        with tempfile.TemporaryDirectory(prefix="stargazer-") as folder:
            car = export_car(store, cid, f"{folder}/{cid}.car", progress)
            fields = self._about(name, facts) | {"car": "true"}
            parcel = _Parcel(name, f"{name}.car", car.stat().st_size, fields, lambda: car.open("rb"))
            return self._sent(cid, parcel, self._note(cid, store))

    def _about(self, name: str, facts: dict[str, str]) -> dict[str, str]:
        group = {"group_id": self._group} if self._group else {}
        return {"network": self.network, "keyvalues": json.dumps(facts), **group}

    def _note(self, cid: str, store: Store) -> Path:
        """File of this host that remembers an upload in parts until it is done."""
        return store.context.cache / "uploads" / f"{self.network}-{cid}"

    def _upload(self, cid: str, store: Store, name: str, facts: dict[str, str], progress: Progress | None) -> str:
        note = self._note(cid, store)
        if (theirs := self._taken_before(note)) is not None:
            return theirs
        if store.is_directory(cid):
            return self._upload_car(cid, store, name, facts, progress)
        size = store.size(cid)
        if size is None:
            raise RemoteLacks(f"{store.url} does not have {cid}, which was to be sent to {self.name}")
        parcel = _Parcel(name, name, size, self._about(name, facts), lambda: store.dirs.open(cid))
        return self._sent(cid, parcel, note, progress)

    def _sent(self, cid: str, parcel: _Parcel, note: Path, progress: Progress | None = None) -> str:
        """Send something whole, or in parts if it is large; the CID that the service gives it."""
        if parcel.size <= self.large:
            theirs = self._sent_once(cid, parcel, note)
            if progress:
                progress(parcel.size)
            return theirs
        about = {"filename": parcel.name, **parcel.fields}
        with parcel.open() as file:
            headers = upload(self.uploads, _FILES, file, about, note, progress, self.part)
        told = headers.get("upload-cid") if headers else None
        return self._named(told) if told else self._arrived(cid)

    def _named(self, text: Any) -> str:
        """The CID that the service gave, as we write it."""
        try:
            return parse(str(text)).text
        except CIDError as error:
            told = self.uploads.cut(str(error))
            raise RemoteRefused(f"{self.name} gave no CID for the file that was sent ({told})") from None

    def _arrived(self, cid: str) -> str:
        """The CID of a file that was sent whole, of which the answer was lost: the account must list it by now."""

        def attempt() -> str:
            if self.has(cid):
                return cid
            raise Passing(f"{self.name} took all of a file and does not list it as {cid}; push it again later")

        return self.api.retried(attempt)

    def _settled(self, identifier: str) -> str:
        """The CID of a file that was taken and is still being looked at ("pending")."""

        def attempt() -> str:
            entry = _data(self.name, self.api.json("GET", f"{_FILES}/{self.network}/{identifier}"))
            theirs = entry.get("cid") if isinstance(entry, dict) else None
            if theirs in (None, "", _PENDING):
                raise Passing(f"{self.name} took the file and has not named it yet; push it again later")
            return self._named(theirs)

        return self.api.retried(attempt)

    def _taken_before(self, note: Path) -> str | None:
        """The CID of what was sent before, and was being looked at when we went; None where there is nothing such."""
        pending = note.read_text("utf-8") if note.exists() else ""
        if not pending.startswith(_PENDING):
            return None
        try:
            return self._settled(pending.removeprefix(_PENDING).strip())
        except RemoteLacks:  # it was deleted there
            note.unlink(missing_ok=True)
            return None

    def _sent_once(self, cid: str, parcel: _Parcel, note: Path) -> str:
        """Send a small file; where its answer was lost, the account is asked whether it came, before it goes again."""

        def attempt() -> Any:
            try:
                return _data(self.name, self._send(parcel))
            except Passing:
                there = next(self.files(cid=cid), None)
                if there is None:
                    raise
                return there

        return self._told(self.uploads.retried(attempt), note)

    def _told(self, entry: Any, note: Path) -> str:
        """The CID that the service gave to what it took; while it has none, the file is noted, not to be sent again."""
        theirs, identifier = (entry.get("cid"), entry.get("id")) if isinstance(entry, dict) else (None, None)
        if theirs == _PENDING and is_id(identifier):
            remember(note, f"{_PENDING} {identifier}")
            return self._settled(identifier)
        return self._named(theirs)

    def _send(self, parcel: _Parcel) -> Any:
        fields = {"name": parcel.title, **parcel.fields}
        with (
            parcel.open() as file,
            self.uploads.opened(
                "POST", _FILES, data=fields, files={"file": (parcel.name, file)}, patience=_TAKING
            ) as answer,
        ):
            return self.uploads.decoded(self.uploads.read(answer, 1 << 20))

    def files(self, **wanted: Any) -> Iterator[dict[str, Any]]:
        """What the account says of its files, page by page: id, name, cid, size, keyvalues.

        Entries that are not what was asked for are left out; what cannot be read is named in a warning.

        Parameters
        ----------
        **wanted
            Exactly: ``cid``, ``name``, ``asset``, facts of asset types, and ``metadata[fact]`` through a dict. Without
            any, all files.

        Raises
        ------
        RemoteError
            One of these is empty, or unknown.
        """
        return self._listed(check_exact(self.name, wanted))

    def _listed(self, asked: Mapping[str, str], *, exactly: bool = True) -> Iterator[dict[str, Any]]:
        odd: list[str] = []
        barren = 0
        for page in self._pages(asked):
            wanted = 0
            for entry in page:
                if complaint := oddity(entry):
                    odd.append(complaint)
                elif not exactly or fits(entry, asked):
                    wanted += 1
                    yield entry
            barren = 0 if wanted or not asked else barren + 1
            if barren > _MOST_BARREN:
                raise RemoteRefused(f"{self.name} lists page after page of other files than it was asked for")
        if odd and not (exactly and asked):
            more = f"; and {len(odd) - _SHOWN} more" if len(odd) > _SHOWN else ""
            told = f"{self.name} lists what cannot be used, and was set aside: {'; '.join(odd[:_SHOWN])}{more}"
            warnings.warn(visible(self.api.cut(told), lines=True), RemoteWarning, stacklevel=3)

    def _pages(self, asked: Mapping[str, str]) -> Iterator[list[Any]]:
        """Entries page by page, none that came before: a list that only repeats itself, or is empty, has an end."""
        token, known, empty = "", set[str](), 0
        for _ in range(_MOST_PAGES):
            query = {**asked, "limit": str(_PAGE), **({"pageToken": token} if token else {})}
            page = _data(self.name, self.api.json("GET", f"{_FILES}/{self.network}", params=query))
            if not isinstance(page, dict) or not isinstance(page.get("files") or [], list):
                raise RemoteError(f"{self.name} answered with something else than its documentation says")
            found = {str(_id_of(entry)): entry for entry in page.get("files") or []}
            fresh = [entry for key, entry in found.items() if key not in known]
            yield fresh
            token = str(page.get("next_page_token") or "")
            if not token:
                return
            empty = 0 if found else empty + 1
            if (found and not fresh) or empty > _MOST_BARREN:
                raise RemoteRefused(f"{self.name} gives the same page of files again and again")
            known.update(found)
        raise RemoteRefused(f"{self.name} lists more than {_MOST_PAGES:,} pages of files")

    def query(self, **facts: Any) -> list[Asset]:
        """Assets of the account by their facts; lists are alternatives."""
        found = (asset_of(file) for asked in question(facts) for file in self._listed(asked, exactly=False))
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
        self._check_id(identifier)
        body = {"name": name, "keyvalues": dict(keyvalues)}
        self.api.json("PUT", f"{_FILES}/{self.network}/{identifier}", json=body)

    def delete(self, identifier: str) -> None:
        """Delete one file by the service's own id."""
        self._check_id(identifier)
        self.api.json("DELETE", f"{_FILES}/{self.network}/{identifier}")

    def _check_id(self, identifier: str) -> None:
        if not is_id(identifier):
            raise RemoteError(f"{self.name}: {identifier!r} is no id of a file")

    def matching(self, **wanted: Any) -> list[dict[str, Any]]:
        """The files that `delete_all` would delete."""
        if not wanted:
            raise RemoteError(f"{self.name}: say which files are meant; all of them is never meant")
        return list(self.files(**wanted))

    def delete_all(self, *, several: bool = False, **wanted: Any) -> int:
        """Delete the files that match exactly, such as that of a CID; how many there were.

        Parameters
        ----------
        several
            There may be more than one.
        **wanted
            As for `files`; at least one.

        Raises
        ------
        RemoteError
            Something is empty or unknown; or several match, which it shows, and nothing was deleted.
        """
        found = self.matching(**wanted)
        if len(found) > 1 and not several:
            raise RemoteError(
                f"{self.name}: {len(found)} files match, and none was deleted; several=True (--all) deletes them all:\n"
                + self.api.cut(shown_entries(found))
            )
        for each in found:
            self.delete(each["id"])
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
        return str(_data(self.name, self.uploads.json("POST", f"{_FILES}/sign", json=body)))


def _id_of(entry: Any) -> Any:
    """What tells an entry of a list from others: the service's id, or all that it says where it has none."""
    return entry["id"] if isinstance(entry, dict) and isinstance(entry.get("id"), str) else json.dumps(entry)


def _data(name: str, answer: Any) -> Any:
    if not isinstance(answer, dict) or "data" not in answer:
        raise RemoteError(f"{name} answered with something else than its documentation says")
    return answer["data"]
