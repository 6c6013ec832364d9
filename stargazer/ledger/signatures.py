"""Whose record it is: each is signed when it is made, by the key of the user who ran the call.

Ed25519 (RFC 8032), through ``cryptography``; where that is not installed, records are unsigned. A signature lies beside
its record, named by the public key, so ids stay what they are and many may sign one record. What is signed is the
record's id, which is the SHA-256 of all that it says.
"""

from __future__ import annotations

import base64
import binascii
import functools
import math
import os
import time
import warnings
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from stargazer import config
from stargazer.errors import ConfigError, NotFound, ToolMissing

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping
    from pathlib import Path

    from stargazer.ledger.record import Record
    from stargazer.store.records import Records

__all__ = [
    "NOT_AS_SIGNED",
    "UNSIGNED",
    "YOURS",
    "accepted",
    "fits",
    "make_key",
    "names_of_keys",
    "own_key",
    "own_keys",
    "public_key",
    "read_public",
    "retire_key",
    "revoked_since",
    "shown",
    "sign_made",
    "sign_text",
    "signatures_of",
    "statement",
    "trusted_keys",
    "whose",
    "whose_text",
]

PREFIX = "ed25519:"
YOURS, UNSIGNED, NOT_AS_SIGNED = "yours", "unsigned", "not as signed"
SEEN_FOR = 1.0
"""Seconds for which the file of the key is not looked at again while records are signed."""

MOST_SIGNERS = 16
"""Signatures of one record that are looked at."""

_BYTES = 32
_STATEMENT = b"stargazer record "


class _Own(NamedTuple):
    """The key of this user, and the file that it was read from as it was then."""

    private: Any
    public: str
    file: tuple[object, ...]


class _Signing(NamedTuple):
    """The key that signs, under which setting, and when its file was looked at."""

    own: _Own | None
    setting: str | None
    seen: float


_cached: list[_Own] = []
_signing: list[_Signing] = []
_unsigned_told: set[str] = set()


def own_key() -> Any:
    """Private key of this user, or None if there is none.

    Raises
    ------
    ConfigError
        It cannot be read, others may read it, or it is no key.
    ToolMissing
        ``cryptography`` is not installed.
    """
    own = _own()
    return None if own is None else own.private


def _own() -> _Own | None:
    path = config.key_file()
    try:
        found = path.stat()
        file = (str(path), found.st_ino, found.st_mtime_ns, found.st_ctime_ns)
        if _cached and _cached[0].file == file:
            return _cached[0]
        data = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except PermissionError as error:
        raise ConfigError(f"{path}, which holds the key that signs, cannot be read: {error.strerror}") from error
    if found.st_uid != os.geteuid():
        raise ConfigError(f"{path} belongs to somebody else: let stargazer.key name a file of your own")
    if found.st_mode & 0o077:
        raise ConfigError(f"others may read {path}, which holds a private key: chmod 600 {path}")
    private = _from_pem(data, path)
    _cached[:] = [_Own(private, private.public_key().public_bytes_raw().hex(), file)]
    return _cached[0]


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
    temporary = path.with_name(f"{path.name}.{os.urandom(5).hex()}")
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with open(fd, "wb") as file:
            file.write(_pem(private))
        os.link(temporary, path)  # whole at once, and never over the key that another process has just made
    except FileExistsError:
        raise ConfigError(f"{path} is there already; `stargazer keys show` tells the public key") from None
    finally:
        temporary.unlink()
    return shown(private.public_key().public_bytes_raw().hex())


def public_key() -> str:
    """Public key of this user.

    Raises
    ------
    NotFound
        There is no key.
    """
    own = _own()
    if own is None:
        raise NotFound(f"there is no key in {config.key_file()}: `stargazer keys make` makes one")
    return shown(own.public)


def _signer() -> _Own | None:
    """The key of this user, made at the first use; None where records are left unsigned, and why is told once."""
    setting, now = config.setting("key", str), time.monotonic()
    if _signing and _signing[0].setting == setting and now - _signing[0].seen < SEEN_FOR:
        return _signing[0].own
    own = _own_or_new()
    _signing[:] = [_Signing(own, setting, now)]
    return own


def _own_or_new() -> _Own | None:
    try:
        own = _own()
        if own is None:
            with suppress(ConfigError):  # another process was faster
                make_key()
            own = _own()
    except ToolMissing:
        return None
    except (ConfigError, OSError) as error:
        if str(error) not in _unsigned_told:
            _unsigned_told.add(str(error))
            warnings.warn(f"what runs here is not signed: {error}", stacklevel=2)
        return None
    return own


def sign_made(kept: Records, identifier: str) -> None:
    """Sign a record that was just made here."""
    own = None if kept.sign_elsewhere(identifier) else _signer()
    if own is not None:
        kept.put_signatures({(identifier, own.public): own.private.sign(statement(identifier))})


def sign_text(text: bytes) -> str:
    """Signature of this user of some other text than a record's id: public key and signature; empty without a key."""
    own = _signer()
    return "" if own is None else f"{own.public}.{own.private.sign(text).hex()}"


def retire_key(public: str, since: datetime) -> str:
    """Note that what a key signed from some time on counts as unsigned; one's own is put away, and a new one is made.

    Parameters
    ----------
    public
        The key, as `stargazer keys show` tells it; empty for one's own.
    since
        The time.

    Returns
    -------
    str
        The key.

    Raises
    ------
    NotFound
        There is no key of one's own.
    """
    own = None if public else public_key()
    name = own or public
    read_public("the key to revoke", name)
    path = _revoked_file()
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with open(path, "a", encoding="utf-8") as file:
        file.write(f"{name} {since.isoformat(timespec='seconds')}{' own' if own else ''}\n")
    _signing.clear()
    if own:
        file_of_key = config.key_file()
        file_of_key.rename(file_of_key.with_name(f"{file_of_key.name}.revoked-{since:%Y%m%dT%H%M%S}"))
    return name


def _revoked_file() -> Path:
    path = config.key_file()
    return path.with_name(f"{path.name}.revoked")


def _revoked_lines() -> list[list[str]]:
    try:
        return [line.split() for line in _revoked_file().read_text("utf-8").splitlines() if line.strip()]
    except (FileNotFoundError, NotADirectoryError):
        return []


def revoked_since() -> dict[str, datetime]:
    """When keys were revoked, by their hexadecimal digits: as the settings say, and as `stargazer keys revoke` noted.

    Raises
    ------
    ConfigError
        One is no key, or its time is none.
    """
    told = [(str(key), when) for key, when in config.revoked().items()]
    noted = [(words[0], words[1] if len(words) > 1 else "") for words in _revoked_lines()]
    found: dict[str, datetime] = {}
    for key, when in (*told, *noted):
        name, moment = read_public("revoked", key), _moment(when, key)
        found[name] = min(moment, found.get(name, moment))
    return found


def _moment(when: object, key: str) -> datetime:
    try:
        moment = when if isinstance(when, datetime) else datetime.fromisoformat(str(when))
    except ValueError:
        raise ConfigError(
            f"stargazer.revoked says {when!r} of {key}, but must say a time, as 2026-11-29T20:00:00Z"
        ) from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def own_keys() -> dict[str, str]:
    """Public keys of this user, in hexadecimal digits: the present one, and those that were revoked."""
    keys = [read_public("revoked", words[0]) for words in _revoked_lines() if words[2:] == ["own"]]
    with suppress(ToolMissing, ConfigError):
        own = _own()
        keys += [own.public] if own else []
    return dict.fromkeys(keys, YOURS)


def trusted_keys() -> dict[str, str]:
    """Public keys in hexadecimal digits by the names of those whom ``stargazer.trust`` believes.

    Raises
    ------
    ConfigError
        One is no key.
    """
    return {name: read_public(f"stargazer.trust.{name}", text) for name, text in config.trust().items()}


def names_of_keys() -> dict[str, str]:
    """What is said of a record that some key signed: whose it is, by the key's hexadecimal digits."""
    trusted = {key: f"signed by {name}" for name, key in trusted_keys().items()}
    return trusted | own_keys()


def accepted(kept: Records, records: Collection[Record], accept: str) -> set[str]:
    """Ids of those records that may be hits in one's own store.

    Parameters
    ----------
    kept
        Those of a store, where they are.
    records
        Records of calls.
    accept
        ``"anyone"``, ``"signed"`` or ``"own"``: see ``stargazer.accept``.
    """
    if accept == "anyone" or not records:
        return {record.id for record in records}
    keys = own_keys() | ({} if accept == "own" else {key: name for name, key in trusted_keys().items()})
    asked = {record.id: record for record in records}
    good = _signed(kept, asked, keys)
    return {name for name in good if asked[name].same_as is None or _is_signed(kept, asked[name].same_as or "", keys)}


def _is_signed(kept: Records, identifier: str, keys: Collection[str]) -> bool:
    """Whether the record that another repeats is signed as well: who says that bytes are the same made none of them."""
    from stargazer.ledger.record import Record

    data = kept.get(identifier)
    record = None if data is None else Record.from_bytes(data, identifier)
    return record is not None and bool(_signed(kept, {identifier: record}, keys))


def _signed(kept: Records, records: Mapping[str, Record], keys: Collection[str]) -> set[str]:
    """Ids of those records that one of some keys signed, and not after it was revoked."""
    found = kept.get_signatures(records, list(keys))
    revoked = revoked_since() if found else {}
    return {
        name
        for (name, key), data in found.items()
        if not is_revoked(kept, records[name], key, revoked) and fits(name, key, data)
    }


def is_revoked(kept: Records, record: Record, key: str, revoked: Mapping[str, datetime]) -> bool:
    """Whether a key had been revoked when it signed a record.

    The record says when it was made, and whoever stole the key can write any date. So its signature must have lain in
    this store before that, too, by the clock of the disk.
    """
    if key not in revoked:
        return False
    try:
        if _moment(record.started, key) >= revoked[key]:
            return True
    except ConfigError:  # it does not say when
        return True
    lies_since = kept.signed_at(record.id, key)
    return lies_since is None or lies_since >= revoked[key].timestamp()


def whose(kept: Records, records: Iterable[Record], *, to_all: bool = False) -> dict[str, str]:
    """Say of records whose they are: ``yours``, ``signed by NAME``, ``unsigned`` or ``not as signed``.

    Parameters
    ----------
    kept
        Those of a store, where they are.
    records
        Records of calls.
    to_all
        It is told to others, to whom nothing is *yours* and no name of the settings means anything: they get the keys.
    """
    asked = {record.id: record for record in records}
    names, revoked = names_of_keys(), revoked_since()
    found = signatures_of(kept, asked, list(names)) if asked else {}
    if to_all:
        names = {key: f"signed by {short_key(key)}" for keys in found.values() for key in sorted(keys)}
        found = {name: dict(sorted(keys.items())) for name, keys in found.items()}
    late = {(name, key) for name, keys in found.items() for key in keys if is_revoked(kept, asked[name], key, revoked)}
    return {name: _whose(name, found.get(name, {}), names, late) for name in asked}


def _whose(
    name: str, signatures: Mapping[str, bytes], names: Mapping[str, str], late: Collection[tuple[str, str]]
) -> str:
    """The best that can be said; that a signature of a known key does not fit is said before all but that."""
    verdict = UNSIGNED
    for key, data in sorted(signatures.items(), key=lambda each: (names.get(each[0]) != YOURS, each[0] not in names)):
        try:
            good = fits(name, key, data)
        except ToolMissing:
            return f"{UNSIGNED}, as far as can be told without cryptography"
        if good and (name, key) not in late:
            return names.get(key, f"signed by {short_key(key)}, whom stargazer.trust does not name")
        verdict = verdict if good else NOT_AS_SIGNED
    return verdict


def whose_text(text: bytes, signature: str, lies_since: Callable[[], float | None] = lambda: None) -> str:
    """Whose a text is that `sign_text` signed.

    Parameters
    ----------
    text, signature
        What was signed, and how.
    lies_since
        Says when it was put into one's own store, in seconds since 1970; asked where the key was revoked. None where
        nobody knows: then it counts as unsigned.
    """
    if not signature:
        return UNSIGNED
    key, _, digits = signature.partition(".")
    try:
        good = _verify(key, bytes.fromhex(digits), text)
    except ToolMissing:
        return UNSIGNED
    except ValueError:
        good = False
    if not good:
        return NOT_AS_SIGNED
    if key in (revoked := revoked_since()) and not (lies_since() or math.inf) < revoked[key].timestamp():
        return UNSIGNED
    return names_of_keys().get(key, f"signed by {short_key(key)}")


def signatures_of(kept: Records, identifiers: Collection[str], keys: Collection[str]) -> dict[str, dict[str, bytes]]:
    """Signatures of records, by record and key: of all signers on a local disk, elsewhere of some keys."""
    if kept.context.backend.quick:
        by_record = kept.signers(identifiers)
        pairs = [(name, key) for name, found in by_record.items() for key in sorted(found)[:MOST_SIGNERS]]
        pairs += [(name, key) for name, found in by_record.items() for key in keys if key in found]
        data = kept.read_signatures(dict.fromkeys(pairs))
    else:
        data = kept.get_signatures(identifiers, keys)
    found: dict[str, dict[str, bytes]] = {}
    for (name, key), signature in data.items():
        found.setdefault(name, {})[key] = signature
    return found


def fits(identifier: str, key: str, signature: bytes) -> bool:
    """Whether a signature is that of a record by the owner of a public key."""
    try:
        return _verify(key, signature, statement(identifier))
    except ValueError:
        return False


@functools.lru_cache(maxsize=10_000)
def _verify(key: str, signature: bytes, text: bytes) -> bool:
    ed25519 = _ed25519()
    from cryptography.exceptions import InvalidSignature

    try:
        ed25519.Ed25519PublicKey.from_public_bytes(bytes.fromhex(key)).verify(signature, text)
    except InvalidSignature:
        return False
    return True


def statement(identifier: str) -> bytes:
    """What is signed: the id of a record is the SHA-256 of all that it says."""
    return _STATEMENT + identifier.encode()


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


def shown(key: str) -> str:
    """A public key as people give it to others, of its hexadecimal digits."""
    return PREFIX + base64.b64encode(bytes.fromhex(key)).decode()


def short_key(key: str) -> str:
    """The beginning of a public key, as people are shown it."""
    return f"{shown(key)[: len(PREFIX) + 8]}…"


def read_public(name: str, text: Any) -> str:
    """Hexadecimal digits of a public key.

    Raises
    ------
    ConfigError
        It is none.
    """
    try:
        data = base64.b64decode(str(text).removeprefix(PREFIX), validate=True)
    except (binascii.Error, ValueError):
        data = b""
    if len(data) != _BYTES or not str(text).startswith(PREFIX):
        raise ConfigError(f"{name} is {text!r}, but must be a key as `stargazer keys show` tells it")
    return data.hex()


def _ed25519() -> Any:
    try:
        from cryptography.hazmat.primitives.asymmetric import ed25519
    except ImportError as error:
        raise ToolMissing("signed records need cryptography: pip install 'stargazer-dask[signing]'") from error
    return ed25519
