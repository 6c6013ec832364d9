"""The identity of a conversion: which code and libraries decide what a file becomes when it is added."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
from typing import TYPE_CHECKING, NamedTuple

from stargazer.assets.asset import Asset

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["Conversion", "conversion_of"]


class Conversion(NamedTuple):
    """What a conversion is made by; an equal one makes the same bytes of the same file.

    Parameters
    ----------
    type
        Key of the asset type.
    code
        Digest of all code that shapes what is written: readers, codecs, rules of chunks.
    manifest
        Digest of each piece of that code.
    libraries
        Versions of the libraries that shape it; empty of one that is not installed.
    """

    type: str
    code: str
    manifest: Mapping[str, str]
    libraries: Mapping[str, str]


def conversion_of(kind: type[Asset]) -> Conversion:
    """Identify what the `converted` of an asset type does; nothing of it is imported."""
    manifest = dict(sorted(_pieces(kind)))
    text = json.dumps(["stargazer/conversion/1", manifest], sort_keys=True)
    libraries = {name: _version(name) for name in sorted(kind.converted_with)}
    return Conversion(kind.asset_key, hashlib.sha256(text.encode()).hexdigest(), manifest, libraries)


def _pieces(kind: type[Asset]) -> Iterator[tuple[str, str]]:
    """Digests of the modules that the type names, of its classes, and of what they reach."""
    from stargazer.fingerprint import canonical
    from stargazer.fingerprint.modules import module_digests
    from stargazer.fingerprint.source import class_node

    yield from module_digests(kind.converted_by).items()
    for cls in kind.__mro__:
        if issubclass(cls, Asset) and cls is not Asset:
            node = class_node(cls)
            if node is not None:
                yield f"class {cls.__qualname__}", hashlib.sha256(canonical(node).encode()).hexdigest()
    yield f"reached by {kind.__qualname__}", _reached(kind)


def _reached(kind: type[Asset]) -> str:
    """Digest of the user's code that a type of theirs reaches."""
    from stargazer.fingerprint import identify_class

    return identify_class(kind).digest


def _version(distribution: str) -> str:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return ""
