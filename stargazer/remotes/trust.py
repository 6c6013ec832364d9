"""Signatures of records: who sends results with their history vouches for them, if they have a key.

Ed25519 (RFC 8032), through ``cryptography``. A signature lies beside its record, named by the public key, so ids stay
what they are and many may sign one record.
"""

from __future__ import annotations

import base64
import binascii
import os
import warnings
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, NamedTuple

from stargazer import config
from stargazer.errors import ConfigError, NotFound, ToolMissing
from stargazer.ledger import Ledger, Record
from stargazer.ledger.codec import cids_in
from stargazer.remotes.blocks import RemoteWarning
from stargazer.visible import visible

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping
    from pathlib import Path

    from stargazer.remotes.store import StoreRemote
    from stargazer.store import Store

__all__ = [
    "Verdict",
    "check_key",
    "copy_signatures",
    "judge",
    "make_key",
    "public_key",
    "refusal",
    "sign",
    "trusted",
    "trusted_behind",
    "trusted_keys",
]

PREFIX = "ed25519:"
_BYTES = 32
_STATEMENT = b"stargazer record "


class Verdict(NamedTuple):
    """Whether a record is believed for its signatures, by whom it was signed, and why not if it is not."""

    believed: bool
    signer: str = ""
    reason: str = ""


def make_key() -> str:
    """Make this user's key, which nobody else may read; the public key, as the settings of others name it.

    Raises
    ------
    ConfigError
        There is one already.
    """
    path = config.key_file()
    private = _ed25519().Ed25519PrivateKey.generate()
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        raise ConfigError(f"{path} is there already; `stargazer keys show` tells the public key") from None
    with open(fd, "wb") as file:
        file.write(_pem(private))
    return _shown(private.public_key())


def public_key() -> str:
    """Public key of this user.

    Raises
    ------
    NotFound
        There is no key.
    """
    private = _own()
    if private is None:
        raise NotFound(f"there is no key in {config.key_file()}: `stargazer keys make` makes one")
    return _shown(private.public_key())


def trusted_keys() -> dict[str, str]:
    """Public keys in hexadecimal digits by the names of those whom ``stargazer.trust`` believes.

    Raises
    ------
    ConfigError
        One is no key.
    """
    return {name: _read_public(name, text) for name, text in config.trust().items()}


def check_key() -> None:
    """Find out whether this user's key can sign, if there is one.

    Raises
    ------
    ConfigError
        It cannot be read, others may read it, or it is no key.
    ToolMissing
        ``cryptography`` is not installed.
    """
    _own()


def sign(store: Store, identifiers: Collection[str]) -> int:
    """Sign records of a store with this user's key, if there is one; how many were signed."""
    private = _own() if identifiers else None
    if private is None:
        return 0
    name = private.public_key().public_bytes_raw().hex()
    there = store.get_signatures(identifiers, [name])
    missing = [identifier for identifier in identifiers if (identifier, name) not in there]
    store.put_signatures({(each, name): private.sign(_statement(each)) for each in missing})
    return len(missing)


def copy_signatures(source: Store, target: Store, identifiers: Collection[str]) -> None:
    """Let signatures of those who are trusted here go along with their records."""
    found = source.get_signatures(identifiers, list(trusted_keys().values()))
    target.put_signatures({place: data for place, data in found.items() if _fits(*place, data)})


def judge(store: Store, identifiers: Iterable[str]) -> Mapping[str, Verdict]:
    """Say of records of a store whether a trusted signer signed them."""
    wanted = list(identifiers)
    names = {key: name for name, key in trusted_keys().items()}
    if not names:
        reason = "is not trusted: the remote has no `trust: true`, and stargazer.trust names no signers"
        return dict.fromkeys(wanted, Verdict(False, "", reason))
    found = store.get_signatures(wanted, list(names)) if wanted else {}
    verdicts = dict.fromkeys(wanted, Verdict(False, "", f"is signed by none of {', '.join(names.values())}"))
    for (identifier, key), data in found.items():
        if _fits(identifier, key, data):
            verdicts[identifier] = Verdict(True, names[key])
        elif not verdicts[identifier].believed:
            verdicts[identifier] = Verdict(False, "", f"has a signature of {names[key]} that does not fit it")
    return verdicts


def _fits(identifier: str, key: str, signature: bytes) -> bool:
    ed25519 = _ed25519()
    from cryptography.exceptions import InvalidSignature

    try:
        ed25519.Ed25519PublicKey.from_public_bytes(bytes.fromhex(key)).verify(signature, _statement(identifier))
    except InvalidSignature:
        return False
    return True


def _statement(identifier: str) -> bytes:
    """What is signed: the id of a record is the SHA-256 of all that it says."""
    return _STATEMENT + identifier.encode()


def _own() -> Any:
    """Private key of this user, or None if there is none."""
    path = config.key_file()
    try:
        data = path.read_bytes()
        mode = path.stat().st_mode
    except FileNotFoundError:
        return None
    except PermissionError as error:
        raise ConfigError(f"{path}, which holds the key that signs, cannot be read: {error.strerror}") from error
    if mode & 0o077:
        raise ConfigError(f"others may read {path}, which holds a private key: chmod 600 {path}")
    return _from_pem(data, path)


def _from_pem(data: bytes, path: Path) -> Any:
    ed25519 = _ed25519()
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        private = load_pem_private_key(data, password=None)
    except (ValueError, TypeError):
        private = None
    if not isinstance(private, ed25519.Ed25519PrivateKey):
        raise ConfigError(f"{path} holds no Ed25519 key: move it away, then `stargazer keys make` makes one")
    return private


def _pem(private: Any) -> bytes:
    from cryptography.hazmat.primitives import serialization as written

    return bytes(private.private_bytes(written.Encoding.PEM, written.PrivateFormat.PKCS8, written.NoEncryption()))


def _shown(public: Any) -> str:
    return PREFIX + base64.b64encode(public.public_bytes_raw()).decode()


def _read_public(name: str, text: Any) -> str:
    try:
        data = base64.b64decode(str(text).removeprefix(PREFIX), validate=True)
    except (binascii.Error, ValueError):
        data = b""
    if len(data) != _BYTES or not str(text).startswith(PREFIX):
        raise ConfigError(f"stargazer.trust.{name} is {text!r}, but must be a key as `stargazer keys show` tells it")
    return data.hex()


def _ed25519() -> Any:
    try:
        from cryptography.hazmat.primitives.asymmetric import ed25519
    except ImportError as error:
        raise ToolMissing("signed records need cryptography: pip install 'stargazer-dask[signing]'") from error
    return ed25519


# Which records of another store are trusted: all of one that is trusted, else those that a trusted signer signed.
#
# What ran cannot be checked afterwards, whatever a hash says. A signature covers a record, and so the call, its inputs
# and its outputs; that a key leads there it covers only for the keys that stand in the record itself.


_AT_ONCE = 16


def trusted_behind(remote: StoreRemote, keys: Iterable[str]) -> dict[str, Record]:
    """Believed records of a store behind those of many keys that lead to one, if it has all that their calls made.

    Parameters
    ----------
    remote
        The store.
    keys
        Plan or content keys.
    """
    found = Ledger(remote.store).lookup(keys)
    if not remote.trusted:
        found = {key: record for key, record in found.items() if key in (record.plan_key, record.content_key)}
        verdicts = judge(remote.store, {record.id for record in found.values()})
        _tell(remote, found, verdicts)
        found = {key: record for key, record in found.items() if verdicts[record.id].believed}
    whole = _whole(remote, {record.id: record for record in found.values()})
    return {key: record for key, record in found.items() if record.id in whole}


def trusted(remote: StoreRemote, identifiers: Iterable[str]) -> dict[str, Record]:
    """Believed records of a store by id; others are left out."""
    data = remote.store.get_records(identifiers)
    verdicts = {} if remote.trusted else judge(remote.store, data)
    wanted = [name for name in data if remote.trusted or verdicts[name].believed]
    records = ((name, Record.from_bytes(data[name], name)) for name in wanted)
    return {name: record for name, record in records if record is not None}


def refusal(remote: StoreRemote, record: Record) -> str:
    """Why a record is not trusted; empty if it is."""
    if remote.trusted:
        return ""
    verdict = judge(remote.store, [record.id])[record.id]
    return "" if verdict.believed else f"record {record.id[:12]} {verdict.reason}"


def _whole(remote: StoreRemote, records: Mapping[str, Record]) -> set[str]:
    ledger = Ledger(remote.store)
    if remote.store.backend.local:
        return {name for name, record in records.items() if ledger.is_complete(record)}
    cids = list({cid for record in records.values() for cid in cids_in(record.outputs) if cid})
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        there = dict(zip(cids, pool.map(remote.store.has, cids), strict=True))
    return {name for name, record in records.items() if all(there.get(str(cid)) for cid in cids_in(record.outputs))}


def _tell(remote: StoreRemote, records: Mapping[str, Record], verdicts: Mapping[str, Verdict]) -> None:
    """Say of a store that knows calls why it is not trusted; one record stands for all."""
    refused = {each.id: each for each in records.values() if not verdicts[each.id].believed}
    if refused:
        name, record = next(iter(refused.items()))
        more = f", nor {len(refused) - 1} others" if len(refused) > 1 else ""
        message = f"{remote.name} knows {record.task}, and is not trusted: record {name[:12]} {verdicts[name].reason}"
        warnings.warn(visible(message + more, lines=True), RemoteWarning, stacklevel=2)
