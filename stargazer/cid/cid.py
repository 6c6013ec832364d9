"""CIDs as text and as bytes.

Source: https://github.com/multiformats/cid and the multicodec table beside it.
"""

from __future__ import annotations

import hashlib
import re

from stargazer.errors import CIDError

__all__ = [
    "DAG_PB",
    "RAW",
    "Parsed",
    "Value",
    "address",
    "binary",
    "format_cid",
    "is_read",
    "parse",
    "split_cid",
    "text_of",
]

# Immutable values with named fields, light enough for the import of `stargazer.cid`.
#
# `dataclasses` and `typing` cost more to import than this whole package.


class Value:
    """Base of the values that this package returns: compared, hashed and pickled by their fields.

    A subclass lists its fields in `__match_args__`, in the order of its constructor's parameters.
    """

    __match_args__: tuple[str, ...] = ()
    __slots__: tuple[str, ...] = ()

    def _set(self, *values: object) -> None:
        for name, value in zip(self.__match_args__, values, strict=True):
            object.__setattr__(self, name, value)

    def _values(self) -> tuple[object, ...]:
        return tuple([getattr(self, name) for name in self.__match_args__])

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"{type(self).__name__}.{name} cannot be set: it is a value; make another one")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"{type(self).__name__}.{name} cannot be deleted: it is a value")

    def __eq__(self, other: object) -> bool:
        return self._values() == other._values() if isinstance(other, type(self)) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._values())

    def __repr__(self) -> str:
        fields = ", ".join(f"{name}={value!r}" for name, value in zip(self.__match_args__, self._values(), strict=True))
        return f"{type(self).__name__}({fields})"

    def __reduce__(self) -> tuple[type, tuple[object, ...]]:
        return type(self), self._values()


RAW = "raw"
DAG_PB = "dag-pb"

RAW_PREFIX = b"\x01\x55\x12\x20"
DAG_PB_PREFIX = b"\x01\x70\x12\x20"
V0_PREFIX = b"\x12\x20"

_BASE32 = "abcdefghijklmnopqrstuvwxyz234567"
_BASE32_DIGITS = str.maketrans(_BASE32, "0123456789abcdefghijklmnopqrstuv")
_BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_SHIFTS = range(285, -1, -5)
_BASE36 = "0123456789abcdefghijklmnopqrstuvwxyz"
_BASE16 = "0123456789abcdef"

_OTHER_BASES = {
    "m": "base64", "M": "base64", "u": "base64url", "U": "base64url", "v": "base32hex", "V": "base32hex",
    "Z": "base58flickr",
}  # fmt: skip
IDENTITY = 0x00
SHA2_256 = 0x12
MOST_INLINE = 128
"""Bytes that a CID may hold in place of a hash: what Kubo inlines at most."""
_LONGEST = 512
"""Characters of a CID: more than any that we read has in any base. To read a base takes the square of their number."""
_SHOWN = 60
_CODECS = {
    0x55: RAW,
    0x70: DAG_PB,
    0x51: "cbor",
    0x71: "dag-cbor",
    0x72: "libp2p-key",
    0x129: "dag-json",
    0x200: "json",
}
_HASHES = {
    0x00: "identity", 0x11: "sha1", 0x12: "sha2-256", 0x13: "sha2-512", 0x14: "sha3-512", 0x16: "sha3-256",
    0x1B: "keccak-256", 0x1E: "blake3", 0x56: "dbl-sha2-256", 0xB220: "blake2b-256",
}  # fmt: skip


class Parsed(Value):
    """What a CID says of the bytes that it names.

    Parameters
    ----------
    version
        0 or 1, as it was written.
    codec
        ``"raw"``: the bytes themselves; ``"dag-pb"``: a node of a file or a directory.
    digest
        SHA-256 of the block, 32 bytes.
    inline
        The block itself, if the CID holds that instead of a hash of it.
    """

    __match_args__ = ("version", "codec", "digest", "inline")
    __slots__ = __match_args__
    version: int
    codec: str
    digest: bytes
    inline: bytes | None

    def __init__(self, version: int, codec: str, digest: bytes, inline: bytes | None = None) -> None:
        self._set(version, codec, digest, inline)

    @property
    def text(self) -> str:
        """The CID in the one form used everywhere in Stargazer: version 1, base32."""
        if self.inline is None:
            return format_cid(self.codec, self.digest)
        return _base32(b"\x01" + (b"\x55" if self.codec == RAW else b"\x70") + b"\x00" + _sized(self.inline))


def format_cid(codec: str, digest: bytes) -> str:
    """Write a CID, version 1, base32.

    Parameters
    ----------
    codec
        `RAW` or `DAG_PB`.
    digest
        SHA-256 of the block, 32 bytes.

    Returns
    -------
    str
        ``bafkrei…`` for raw, ``bafybei…`` for dag-pb.
    """
    return text_of((RAW_PREFIX if codec == RAW else DAG_PB_PREFIX) + digest)


def text_of(raw: bytes) -> str:
    """Write a binary CID that `binary` gave or a dag-pb link holds (also version 0) as version 1, base32."""
    raw = b"\x01\x70" + raw if raw[:2] == V0_PREFIX and len(raw) == 34 else raw
    if len(raw) == 36 and raw[:4] in (RAW_PREFIX, DAG_PB_PREFIX):
        number = int.from_bytes(raw, "big") << 2
        return "b" + "".join([_BASE32[number >> shift & 31] for shift in _SHIFTS])
    _check_inline(raw, raw[:_LONGEST].hex())
    return _base32(raw)


def is_read(raw: bytes) -> bool:
    """Whether a link leads to something that we read: a file or a directory, by SHA-256 or inlined."""
    if len(raw) == 36 and raw[:4] in (RAW_PREFIX, DAG_PB_PREFIX):
        return True
    try:
        text_of(raw)
    except CIDError:
        return False
    return True


def _base32(raw: bytes) -> str:
    bits = len(raw) * 8
    spare = -bits % 5
    number = int.from_bytes(raw, "big") << spare
    return "b" + "".join([_BASE32[number >> shift & 31] for shift in range(bits + spare - 5, -1, -5)])


def _sized(data: bytes) -> bytes:
    size = len(data)
    return (bytes([size]) if size < 0x80 else bytes([size & 0x7F | 0x80, size >> 7])) + data


def _check_inline(raw: bytes, text: str) -> None:
    """Refuse what is no CID that holds its block, and say what it is."""
    try:
        version, codec, function, end = split_cid(raw)
    except CIDError:
        _explain(raw, text)
        raise
    fits = version == 1 and codec in (0x55, 0x70) and function == IDENTITY and end == len(raw)
    if not fits or len(raw) > MOST_INLINE + 5:
        _explain(raw, text)


def split_cid(raw: bytes) -> tuple[int, int, int, int]:
    """Version, codec and hash function of the binary CID with which bytes begin, and where it ends.

    Raises
    ------
    CIDError
        They begin with none.
    """
    try:
        version, at = _varint(raw, 0)
        codec, at = _varint(raw, at)
        function, at = _varint(raw, at)
        length, at = _varint(raw, at)
    except IndexError:
        raise CIDError(f"{raw[:40].hex()} is no CID: it ends too early") from None
    if version != 1 or at + length > len(raw):
        raise CIDError(f"{raw[:40].hex()} is no CID of version 1, or ends too early")
    return version, codec, function, at + length


def binary(text: str) -> bytes:
    """Return the bytes of a CID, as version 1: 36, other many of one that holds its block; `CIDError` as `parse`."""
    if len(text) > _LONGEST:
        raise CIDError(f"{text[:_SHOWN]!r}… is no CID: it has {len(text):,} characters, and a CID {_LONGEST} at most")
    if len(text) == 46 and text[:2] == "Qm":
        return b"\x01\x70" + _from_base58(text)
    base, digits = text[:1], text[1:]
    if base == "B" and digits == digits.upper():
        base, digits = "b", digits.lower()
    if base == "b" and digits and not digits.strip(_BASE32):
        raw = _from_base32(digits, text)
    elif len(text) > 40 and base in ("z", "k", "K", "f", "F"):
        raw = _from_other_base(base, digits, text)
    else:
        raise CIDError(_not_base32(text))
    if len(raw) != 36 or raw[:4] not in (RAW_PREFIX, DAG_PB_PREFIX):
        _check_inline(raw, text)
    return raw


def _from_base32(digits: str, text: str) -> bytes:
    number, spare = int(digits.translate(_BASE32_DIGITS), 32), len(digits) * 5 % 8
    if spare >= 5 or number & ((1 << spare) - 1):
        raise CIDError(f"{text!r} is no CID: its last characters are no whole byte; was it cut off when copied?")
    return (number >> spare).to_bytes(len(digits) * 5 // 8, "big")


def _from_other_base(base: str, digits: str, text: str) -> bytes:
    """The bytes of a CID in base58btc, base36 or base16: all begin with a byte that is not zero."""
    alphabet, name = {"z": (_BASE58, "base58"), "k": (_BASE36, "base36"), "f": (_BASE16, "base16")}[base.lower()]
    digits = digits if base == "z" else digits.lower()
    if odd := digits.lstrip(alphabet)[:1]:
        raise CIDError(f"{text!r} is no CID: {odd!r} is no character of {name}")
    number = 0
    for character in digits:
        number = number * len(alphabet) + alphabet.index(character)
    return number.to_bytes((number.bit_length() + 7) // 8, "big")


def parse(text: str) -> Parsed:
    """Read a CID.

    Parameters
    ----------
    text
        Version 1 in base32 (``bafy…``, ``bafk…``), upper case too, base58, base36 or base16; or version 0 (``Qm…``).
        Nothing around it.

    Returns
    -------
    Parsed
        Its version, codec and digest.

    Raises
    ------
    CIDError
        If it is no CID, or one with another base, codec or hash; the message says which.

    Notes
    -----
    Source: https://github.com/multiformats/cid
    """
    raw = binary(text)
    version, codec = 0 if text[0] == "Q" else 1, RAW if raw[1] == 0x55 else DAG_PB
    if len(raw) == 36 and raw[2] == SHA2_256:
        return Parsed(version, codec, raw[4:])
    inline = raw[_varint(raw, 3)[1] :]
    return Parsed(version, codec, hashlib.sha256(inline).digest(), inline)


# CIDs as people have them: in URLs of gateways, behind schemes, with a path below them.


_SCHEMES = re.compile(r"(?:web\+)?(?:ipfs|cid|dweb|fs):(?://)?(?:/*ipfs/)?", re.IGNORECASE)
_NAMES = re.compile(r"(?:web\+)?(?:ipns:|(?:(?:ipfs|cid|dweb|fs):)?/*ipns/)", re.IGNORECASE)
_GATEWAY = re.compile(r"https?://([^/?#]+)([^?#]*)", re.IGNORECASE)
_SECRET = re.compile(r"(?<=//)[^/?#]*@|[?#].*", re.DOTALL)


def address(text: str) -> str:
    """``<cid>`` or ``<cid>/x/y`` of what people paste.

    Parameters
    ----------
    text
        A CID, ``ipfs://…``, ``cid://…``, ``dweb:/ipfs/…``, ``/ipfs/…``, or the URL of a gateway, with a path below it
        or not; percent-encoded as a whole, too.

    Raises
    ------
    CIDError
        There is no CID in it.
    """
    given = text.strip()
    if "/" not in given and "%2f" in given.lower():
        given = _unquoted(given)
    if _NAMES.match(given):
        raise _no_names(given)
    if web := _GATEWAY.match(given):
        return _in_url(given, web[1].rpartition("@")[2], web[2])
    if scheme := _SCHEMES.match(given):
        given = _unquoted(given[scheme.end() :].partition("?")[0].partition("#")[0])
    path = given.lstrip("/").removeprefix("ipfs/")
    cid, slash, below = path.partition("/")
    return parse(cid).text + (slash + below).rstrip("/")


def _in_url(text: str, host: str, path: str) -> str:
    path = _unquoted(path)
    before, found, below = path.partition("/ipfs/")
    first, _, rest = host.partition(".")
    in_host = rest.lower().startswith("ipfs.")
    if ".ipns." in host.lower() or ("/ipns/" in f"{before}/" and not in_host):
        raise _no_names(text)
    if found and not before.strip("/").count("ipfs"):
        cid, slash, rest = below.lstrip("/").partition("/")
        return parse(cid).text + (slash + rest).rstrip("/")
    if in_host:
        return parse(first).text + path.rstrip("/")
    shown = _without_secrets(text)
    raise CIDError(f"{shown!r} has no CID in it: URLs of gateways are …/ipfs/<cid>/… or https://<cid>.ipfs.…")


def _without_secrets(text: str) -> str:
    """A URL without its query and without a password: messages are kept, and signatures stand there."""
    return _SECRET.sub("…", text)[: 4 * _SHOWN]


def _unquoted(path: str) -> str:
    from urllib.parse import unquote

    return unquote(path)


def _no_names(text: str) -> CIDError:
    return CIDError(
        f"{_without_secrets(text)!r} is a name of IPNS, which may lead elsewhere tomorrow: resolve it, and give the CID"
    )


def _from_base58(text: str) -> bytes:
    number = 0
    for character in text:
        if character not in _BASE58:
            raise CIDError(f"{text!r} is no CID: {character!r} is no character of base58")
        number = number * 58 + _BASE58.index(character)
    raw = number.to_bytes(35, "big")[1:]
    if raw[:2] != V0_PREFIX:
        raise CIDError(f"{text!r} is no CID: version 0 is a SHA-256 multihash, and this is none")
    return raw


def _not_base32(text: str) -> str:
    if "/" in text:
        return f"{text!r} is a path or URL; give the CID alone (the part that begins with 'bafy', 'bafk' or 'Qm')"
    if text[:1] == "b":
        odd = text[1:].lstrip(_BASE32)[:1]
        return (
            f"{text!r} is no CID: {odd!r} is no character of base32" if odd else f"{text!r} is no CID: it is too short"
        )
    if len(text) > 40 and (base := _OTHER_BASES.get(text[0])):
        return f"{text!r} may be a CID in {base}; Stargazer reads base32, 36, 58 and 16: `ipfs cid base32` converts it"
    return f"{text!r} is no CID: one begins with 'bafy', 'bafk' or 'Qm'"


def _explain(raw: bytes, text: str) -> None:
    """Raise the error that says what a binary CID is that we do not read."""
    try:
        version, at = _varint(raw, 0)
        codec, at = _varint(raw, at)
        function, at = _varint(raw, at)
        length, at = _varint(raw, at)
    except IndexError:
        raise CIDError(f"{text!r} is no CID: it ends too early; was it cut off when copied?") from None
    if version != 1:
        raise CIDError(f"{text!r} is a CID of version {version}; Stargazer reads 0 and 1")
    if function == IDENTITY and codec in (0x55, 0x70):
        raise CIDError(
            f"{text!r} holds its data instead of a hash of it, and more or less than it says: was it cut off?"
        )
    if function not in (IDENTITY, SHA2_256):
        raise CIDError(
            f"{text!r} is made with {_HASHES.get(function, hex(function))}; Stargazer reads sha2-256 and identity only"
        )
    if function == SHA2_256 and (length != 32 or len(raw) - at != 32):
        raise CIDError(f"{text!r} holds {len(raw) - at} bytes of SHA-256, not 32; was it cut off when copied?")
    raise CIDError(
        f"{text!r} names {_CODECS.get(codec, hex(codec))} data; Stargazer reads raw and dag-pb (files, directories)"
    )


def _varint(raw: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while raw[at] & 0x80:
        if shift > 63:
            raise CIDError(f"{raw[:40].hex()} is no CID: one of its numbers does not end")
        value, shift, at = value | (raw[at] & 0x7F) << shift, shift + 7, at + 1
    return value | raw[at] << shift, at + 1
