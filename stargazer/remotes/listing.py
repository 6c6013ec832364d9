"""What an account of a pinning service lists, and what of that is believed: only what was asked for.

A service may not know a filter, or misread it, and then lists everything that it has. So each entry is compared with
what was asked before anything is done with it.
"""

from __future__ import annotations

import contextlib
import re
from itertools import product
from typing import TYPE_CHECKING, Any, TypeGuard

from stargazer.assets import Asset
from stargazer.assets.fields import asset_types, did_you_mean
from stargazer.cid import parse
from stargazer.errors import AssetError, CIDError, RemoteCannot, RemoteError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

__all__ = [
    "MOST", "asset_of", "check_exact", "cid_of", "fits", "is_id", "keyvalues_of", "oddity", "question", "shown_entries",
    "suits",
]  # fmt: skip

_SHOWN = 10
_LONGEST = 100
"""Characters of what an entry says that are shown."""
_ID = re.compile(r"[A-Za-z0-9_-]{1,100}")
_HALF = re.compile("[\ud800-\udfff]")
"""Half a character, which no file can hold and no screen can show."""


def check_exact(name: str, wanted: Mapping[str, Any]) -> dict[str, str]:
    """What was asked for as the service takes it, if it is exact.

    Parameters
    ----------
    name
        Of the account, for messages.
    wanted
        ``cid``, ``name``, ``asset``, facts of asset types, and ``metadata[fact]``.

    Raises
    ------
    RemoteError
        Something is empty, no text, no CID, or no fact that there is.
    """
    return dict(_exact(name, key, value) for key, value in wanted.items())


def _exact(name: str, key: str, value: Any) -> tuple[str, str]:
    if isinstance(value, type) and issubclass(value, Asset):
        value = value.asset_key
    if isinstance(value, (bool, int, float)):
        value = _text(value)
    if not isinstance(value, str) or not value.strip():
        raise RemoteError(f"{name}: {key} is {value!r}, which names nothing: say exactly which files are meant")
    if key == "cid":
        try:
            return key, parse(value).text
        except CIDError as error:
            raise RemoteError(f"{name}: {error}") from None
    if key == "name" or key.startswith("metadata["):
        return key, value
    known = _facts()
    if key not in known:
        guess = did_you_mean(key, [*known, "cid", "name"])
        raise RemoteError(f"{name}: there is no fact {key!r}.{guess} Files go by cid, name, asset and facts of assets")
    return f"metadata[{key}]", value


def _facts() -> set[str]:
    """Names of all facts that asset types declare; a type of somebody's that is wrong declares none."""
    known = {"asset"}
    for kind in asset_types().values():
        with contextlib.suppress(AssetError):
            known.update(kind().declared)
    return known


def fits(entry: Any, wanted: Mapping[str, str]) -> bool:
    """Whether an entry of a list is what was asked for, as `check_exact` gave that."""
    if not isinstance(entry, dict):
        return False
    keyvalues = entry.get("keyvalues")
    facts = keyvalues if isinstance(keyvalues, dict) else {}
    found = {key: facts.get(key[9:-1]) if key.startswith("metadata[") else entry.get(key) for key in wanted}
    if "cid" in wanted:
        found["cid"] = cid_of(entry)
    return all(found[key] == value for key, value in wanted.items())


def cid_of(entry: Mapping[str, Any]) -> str | None:
    """The CID of an entry as we write it, or None if it has none that we read."""
    try:
        return parse(entry["cid"]).text if isinstance(entry.get("cid"), str) else None
    except CIDError:
        return None


def oddity(entry: Any) -> str:
    """What keeps an entry from being used; empty if nothing does."""
    if not isinstance(entry, dict):
        return f"an entry is of type {type(entry).__name__}"
    if not is_id(entry.get("id")):
        return f"an entry has no id, but {_short(entry.get('id'))}" if entry.get("id") else "an entry has no id"
    if cid_of(entry) is None:
        return f"{entry['id']} has the CID {_short(entry.get('cid'))}, which is none that Stargazer reads"
    if not _is_text(entry.get("name")):
        return f"{entry['id']} has the name {_short(entry.get('name'))}, which is no text"
    keyvalues = entry.get("keyvalues")
    if keyvalues is not None and not isinstance(keyvalues, dict):
        return f"{entry['id']} has keyvalues of another shape ({type(keyvalues).__name__})"
    return ""


def is_id(value: Any) -> TypeGuard[str]:
    """Whether something is the id that the service gives to a file: it becomes a part of addresses."""
    return isinstance(value, str) and _ID.fullmatch(value) is not None


def _is_text(value: Any) -> bool:
    """Whether something is a text that can be written, or nothing."""
    return value is None or (isinstance(value, str) and _HALF.search(value) is None)


def _short(value: Any) -> str:
    shown = repr(value)
    return shown if len(shown) <= _LONGEST else f"{shown[:_LONGEST]}…"


def shown_entries(entries: Iterable[Mapping[str, Any]]) -> str:
    """Entries for people, a line each."""
    listed = list(entries)
    lines = [
        f"  {each.get('id')}  {each.get('cid')}  {str(each.get('name') or '')[:_LONGEST]}".rstrip()
        for each in listed[:_SHOWN]
    ]
    return "\n".join([*lines, *([f"  and {len(listed) - _SHOWN} more"] if len(listed) > _SHOWN else [])])


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
    cid, name = parse(str(file["cid"])).text, str(file.get("name") or "")
    told = (file.get("keyvalues") or {}).items()
    facts = {key: _text(value) for key, value in told if key != "name" and isinstance(value, (str, int, float))}
    name = name if "/" not in name and name not in (".", "..") else ""
    try:
        return Asset.from_keyvalues({**facts, "name": name}, cid=cid)
    except AssetError:
        return Asset(cid=cid, name=name)


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
