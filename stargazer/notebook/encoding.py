"""Write a value of a cell as a file, by the first codec that knows it, and read it again."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

from stargazer.errors import NotKept
from stargazer.notebook.codecs import codec_named, codecs_for
from stargazer.notebook.pickles import read_pickle, write_pickle
from stargazer.notebook.values import OWN, SPENT, Encoded, Nowhere, Spent, check_lazy, from_plain, plain_bytes, remove

if TYPE_CHECKING:
    from pathlib import Path

    from stargazer.notebook.values import Scope, Value

__all__ = ["decode", "digest_of_value", "encode"]


def encode(value: Any, path: Path, scope: Scope | None = None) -> Encoded:
    """Write a value.

    Parameters
    ----------
    value
        Of any type.
    path
        Where to: a file, or for some codecs a directory.
    scope
        The notebook that it is a value of.

    Raises
    ------
    NotKept
        It has no bytes, is too large, or holds what is never pickled.
    """
    kind = type(value).__qualname__
    try:
        path.write_bytes(plain_bytes(value))
        return Encoded("json", kind)
    except (TypeError, RecursionError):
        pass
    check_lazy(value)
    for codec in codecs_for(value):
        try:
            if codec.write(value, path):
                return Encoded(codec.name, kind)
        except NotKept:
            raise
        except Exception as error:  # noqa: BLE001 - whatever a library raises where it cannot write a value
            if codec.name.startswith(OWN):
                raise NotKept(f"{kind} that its codec cannot write: {type(error).__name__}: {error}") from None
        remove(path)
    return Encoded("pickle", kind, write_pickle(value, path, scope or Nowhere()))


def decode(asset: Value, path: Path, scope: Scope | None = None) -> Any:
    """Read what `encode` wrote.

    Parameters
    ----------
    asset
        The value.
    path
        Where its bytes are.
    scope
        The notebook; classes are looked up there.

    Raises
    ------
    NotKept
        Nothing here reads it: what wrote it is not installed, or not registered.
    """
    if asset.codec == "json":
        return from_plain(json.loads(path.read_bytes()))
    if asset.codec == SPENT:
        return Spent()
    if asset.codec == "pickle":
        return read_pickle(path, scope or Nowhere())
    return codec_named(asset.codec).read(path)


def digest_of_value(value: Any, scratch: Path, scope: Scope | None = None) -> str:
    """Digest of a value as it would be written; two equal ones have one.

    Raises
    ------
    NotKept
        It has no bytes.
    """
    try:
        return f"json {hashlib.sha256(plain_bytes(value)).hexdigest()}"
    except (TypeError, RecursionError):
        pass
    from stargazer.cid import cid_of_path

    path = scratch / "value"
    remove(path)
    encoded = encode(value, path, scope)
    try:
        return f"{encoded.codec} {encoded.code} {cid_of_path(path)}"
    finally:
        remove(path)
