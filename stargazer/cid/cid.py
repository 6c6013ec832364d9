"""CIDs as text and as bytes.

Source: https://github.com/multiformats/cid and the multicodec table beside it.
"""

from __future__ import annotations

from stargazer.errors import CIDError

__all__ = ["DAG_PB", "RAW", "Parsed", "Value", "binary", "format_cid", "parse", "text_of"]

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

_OTHER_BASES = {
    "B": "upper-case base32", "f": "base16", "F": "base16", "k": "base36", "K": "base36", "m": "base64",
    "u": "base64url", "U": "base64url", "v": "base32hex", "V": "base32hex", "z": "base58btc", "Z": "base58flickr",
}  # fmt: skip
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
    """

    __match_args__ = ("version", "codec", "digest")
    __slots__ = __match_args__
    version: int
    codec: str
    digest: bytes

    def __init__(self, version: int, codec: str, digest: bytes) -> None:
        self._set(version, codec, digest)

    @property
    def text(self) -> str:
        """The CID in the one form used everywhere in Stargazer: version 1, base32."""
        return format_cid(self.codec, self.digest)


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
    if len(raw) != 36 or raw[:4] not in (RAW_PREFIX, DAG_PB_PREFIX):
        _explain(raw, raw.hex())
    number = int.from_bytes(raw, "big") << 2
    return "b" + "".join([_BASE32[number >> shift & 31] for shift in _SHIFTS])


def binary(text: str) -> bytes:
    """Return the 36 bytes of a CID, as version 1; raises `CIDError` as `parse` does."""
    if len(text) == 46 and text[:2] == "Qm":
        return b"\x01\x70" + _from_base58(text)
    if text[:1] != "b" or text[1:].strip(_BASE32) or len(text) == 1:
        raise CIDError(_not_base32(text))
    number, spare = int(text[1:].translate(_BASE32_DIGITS), 32), (len(text) - 1) * 5 % 8
    if spare >= 5 or number & ((1 << spare) - 1):
        raise CIDError(f"{text!r} is no CID: its last characters are no whole byte; was it cut off when copied?")
    raw = (number >> spare).to_bytes((len(text) - 1) * 5 // 8, "big")
    if len(raw) != 36 or raw[:4] not in (RAW_PREFIX, DAG_PB_PREFIX):
        _explain(raw, text)
    return raw


def parse(text: str) -> Parsed:
    """Read a CID.

    Parameters
    ----------
    text
        Version 1 in base32 (``bafy…``, ``bafk…``) or version 0 (``Qm…``), nothing around it.

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
    return Parsed(0 if text[0] == "Q" else 1, RAW if raw[1] == 0x55 else DAG_PB, raw[4:])


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
        return f"{text!r} may be a CID in {base}; Stargazer reads base32: `ipfs cid base32` converts it"
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
    if function != 0x12:
        raise CIDError(f"{text!r} is made with {_HASHES.get(function, hex(function))}; Stargazer reads sha2-256 only")
    if length != 32 or len(raw) - at != 32:
        raise CIDError(f"{text!r} holds {len(raw) - at} bytes of SHA-256, not 32; was it cut off when copied?")
    raise CIDError(
        f"{text!r} names {_CODECS.get(codec, hex(codec))} data; Stargazer reads raw and dag-pb (files, directories)"
    )


def _varint(raw: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while raw[at] & 0x80:
        value, shift, at = value | (raw[at] & 0x7F) << shift, shift + 7, at + 1
    return value | raw[at] << shift, at + 1
