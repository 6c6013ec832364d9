"""The base of all assets: a CID, typed facts, companions; as JSON and as flat strings, and back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field, replace
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, ClassVar, Protocol, Self, TypeVar, cast

from stargazer.assets.fact_types import ANY, NO_FACTS, Mismatch, encoder, plain
from stargazer.assets.fields import FORMAT, BareKey, Declared, asset_type, make_asset, read_asset, schema_of
from stargazer.errors import AssetError, InvalidField

__all__ = [
    "Asset",
    "Source",
    "as_record",
    "canonical",
    "encode",
    "identity",
    "parse_fact",
    "parse_keyvalues",
    "placed",
    "summary",
    "write_keyvalues",
]

# The same asset in another place.


def placed(asset: A, path: Path, source: Source | None, companions: tuple[Asset, ...]) -> A:
    """The same asset in another place; its facts are checked already, and its id stays.

    Parameters
    ----------
    asset
        A stored asset.
    path, source
        Where it is now.
    companions
        The companions that it has, there too.
    """
    same = object.__new__(type(asset))
    same.__dict__.update(asset.__dict__, path=path, source=source, companions=companions)
    if path is not None and not asset.name:
        return replace(same, name=path.name)
    return same


# Where the bytes of a stored asset are, as far as an asset knows.


class Source(Protocol):
    """What a store gives to the assets that it hands out. It must pickle."""

    @property
    def url(self) -> str:
        """Address of the store."""

    @property
    def record(self) -> str | None:
        """Id of the ledger record that the asset came from."""

    def fetch(self, asset: Asset) -> Path:
        """A local path of the asset under its real name, its companions beside it."""

    def size(self, asset: Asset) -> int:
        """Bytes of the asset, of a directory those of all files in it."""

    def open(self, asset: Asset, mode: str = "rb") -> IO[Any]:
        """The asset's bytes (``"rb"``) or text (``"r"``) as an open file."""


A = TypeVar("A", bound="Asset")


class _PathOrText:
    """How checkers see `Asset.path`: it may be given as text, and is read as a path."""

    if TYPE_CHECKING:

        def __get__(self, asset: Asset | None, owner: type[Asset]) -> Path: ...
        def __set__(self, asset: Asset, value: Path | str | None) -> None: ...


class _StoredCID:
    """How checkers see `Asset.cid`: whoever reads it has a stored asset; only a draft has None."""

    if TYPE_CHECKING:

        def __get__(self, asset: Asset | None, owner: type[Asset]) -> str: ...
        def __set__(self, asset: Asset, value: str | None) -> None: ...


class Asset(Declared):
    """A file or directory: its content's name (CID), typed facts about it, and its companions.

    A *draft* has a `path` and no `cid`; a store gives it one. Subclasses declare facts as a dataclass does, each with
    a default, and need no decorator; values are checked against the annotations when an asset is made. The bare
    Asset takes any facts. Assets cannot change and are equal if type, CID, path, name, companions and facts are.

    Parameters
    ----------
    path
        Where the file is here; None if it is only in a store.
    cid
        Content identifier (version 1, base32); None for a draft.
    name
        The file's real name; taken from the path where it is not given.
    companions
        Assets that must lie beside this one, such as an index. Kept in the order of their keys and names.
    facts
        Free facts, of a bare Asset only: any JSON values. They may also be given as keywords.
    source
        The store that it came from; no part of equality, keys and ids.

    Raises
    ------
    UnknownField
        A fact that the type does not declare, or whose name begins with ``_``.
    InvalidField
        A value that does not fit the annotation.

    Examples
    --------
    >>> class Summits(Asset):
    ...     sample_id: str = ""
    ...     count: int = 0
    >>> Summits(path="summits.bed", sample_id="s1", count=3)
    Summits(sample_id='s1', count=3, path='summits.bed')
    """

    asset_key: ClassVar[str] = cast("str", BareKey())
    companion_of: ClassVar[str] = ""
    """Of a type that lies beside another file: which of its links names that file."""

    later: ClassVar[tuple[str, ...]] = ()
    """Facts that a later version added: written where they are not the default, so that ids of before stay the same."""

    converts: ClassVar[bool] = False
    """Of a type that is stored in another form than its files come in: see `converted`."""

    converted_by: ClassVar[tuple[str, ...]] = ()
    """Of such a type: modules that do it. Their code counts, and that of what they import of their package."""

    converted_with: ClassVar[tuple[str, ...]] = ()
    """Of such a type: distributions whose version may shape what is written."""

    if TYPE_CHECKING:
        path: _PathOrText = _PathOrText()
        cid: _StoredCID = _StoredCID()
    else:
        path: Path = None
        cid: str | None = None
    name: str = ""
    companions: tuple[Asset, ...] = ()
    facts: Mapping[str, Any] = NO_FACTS
    source: Source | None = field(default=None, compare=False, repr=False)

    if TYPE_CHECKING:

        def __init__(
            self,
            path: Path | str | None = None,
            cid: str | None = None,
            name: str = "",
            companions: tuple[Asset, ...] | list[Asset] = (),
            facts: Mapping[str, Any] = NO_FACTS,
            source: Source | None = None,
            **free: Any,
        ) -> None: ...

    def compute(self, **_: Any) -> Self:
        """Return itself, as the call that made it does: what takes a call may be given its result."""
        return self

    @property
    def declared(self) -> dict[str, Any]:
        """The facts by name: those that the type declares, or the free ones of a bare asset."""
        schema = schema_of(type(self))
        if schema.bare:
            return {name: value for name, value in self.facts.items() if name != "asset"}
        values = self.__dict__
        return {name: values[name] for name in schema.declared}

    @property
    def identity(self) -> dict[str, Any]:
        """What makes it this asset, as JSON values: key, CID, name, facts, and the same of its companions."""
        return identity(self)

    @property
    def id(self) -> str:
        """SHA-256 of the canonical JSON of a stored asset's identity, in hexadecimal.

        Raises
        ------
        AssetError
            The asset is a draft.
        """
        found: str | None = self.__dict__.get("_id")
        if found is None:
            found, _ = as_record(self)
        return found

    def companion(self, kind: type[A], **facts: Any) -> A:
        """The companion of a type.

        Parameters
        ----------
        kind
            Its type.
        **facts
            What else to ask of it, where there are several.

        Raises
        ------
        AssetError
            There is none, or more than one.
        """
        wanted = {name: parse_fact(kind, name, value) for name, value in facts.items()}
        found = [
            asset
            for asset in self.companions
            if isinstance(asset, kind) and all(asset.declared.get(name) == value for name, value in wanted.items())
        ]
        if len(found) == 1:
            return found[0] if found[0].source is not None else replace(found[0], source=self.source)
        there = ", ".join(map(repr, self.companions)) or "none"
        problem = f"{len(found)} companions fit" if found else "no companion is"
        raise AssetError(f"{self!r}: {problem} {kind.__name__} {facts or ''}; its companions: {there}")

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            """``size``: its bytes, of a directory those of all files in it. A type may declare a fact of that name."""
            if name != "size":
                raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}", name=name, obj=self)
            if self.path is None:
                return self._from("size").size(self)
            files = [file for file in self.path.rglob("*") if file.is_file()] if self.path.is_dir() else [self.path]
            return sum(file.stat().st_size for file in files)

    def fetch(self) -> Path:
        """A real path of the asset under its name, its companions beside it.

        Raises
        ------
        AssetError
            It has neither a path nor a store that it came from.
        """
        return self.path if self.path is not None else self._from("fetch").fetch(self)

    def open(self, mode: str = "rb") -> IO[Any]:
        """Open the file for reading.

        Parameters
        ----------
        mode
            ``"rb"`` for bytes, ``"r"`` for text.
        """
        return self.path.open(mode) if self.path is not None else self._from("open").open(self, mode)

    def _from(self, verb: str) -> Source:
        if self.source is None:
            raise AssetError(
                f"{self!r} cannot {verb}: it came from no store; take it from one, as in sg.Store(…).get(cid)"
            )
        return self.source

    def converted(self, directory: Path) -> Self:
        """The draft to store in place of this one when a person adds it; asked only of types that convert files.

        It is not asked again for the same file and facts while its code, `converted_by` and `converted_with` stay.

        Parameters
        ----------
        directory
            Where to write.
        """
        return self

    def written(self, value: object, directory: Path) -> Path:
        """The file that holds a value in memory that a person adds; types that know such values write it.

        Parameters
        ----------
        value
            What was given in place of a path.
        directory
            Where to write.

        Raises
        ------
        AssetError
            It is no value that this type knows.
        """
        raise AssetError(f"{type(self).__name__} is added from a file or folder: give its path, not {value!r:.80}")

    def to_dict(self) -> dict[str, Any]:
        """The asset as JSON values, companions nested; the source is left out."""
        return encode(self)

    @classmethod
    def from_dict(cls, members: Mapping[str, Any], *, source: Source | None = None) -> Self:
        """The asset that `to_dict` wrote, in its own type.

        Parameters
        ----------
        members
            What `to_dict` gave.
        source
            The store that has it; then it is nowhere else, and a path is not read.

        Raises
        ------
        UnknownField, InvalidField
            Facts that the type does not declare, or of another type.
        """
        return cls._expect(read_asset(members, source))

    def to_keyvalues(self) -> dict[str, str]:
        """Key, name and facts as flat strings, for services that store nothing else."""
        return write_keyvalues(self)

    @classmethod
    def from_keyvalues(cls, keyvalues: Mapping[str, str], **base: Any) -> Self:
        """The asset that `to_keyvalues` wrote, in its own type; one of an unknown key is a bare Asset.

        Parameters
        ----------
        keyvalues
            What `to_keyvalues` gave.
        **base
            What it leaves out: `cid`, `path`, `companions`, `source`.

        Raises
        ------
        UnknownField, InvalidField
            Facts that the type does not declare, or text that does not read as their type.
        """
        return cls._expect(parse_keyvalues(keyvalues, **base))

    @classmethod
    def _expect(cls, asset: Asset) -> Self:
        if isinstance(asset, cls):
            return asset
        raise AssetError(f"expected {cls.__name__}, got {asset!r}")

    def __repr__(self) -> str:
        shown = summary(self)
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in shown.items())})"

    def _repr_html_(self) -> str:
        from stargazer.display import asset_html

        return asset_html(self)

    def __dask_tokenize__(self) -> object:
        return type(self).__qualname__, encode(self)


if TYPE_CHECKING:

    class Found(Asset, Any):  # type: ignore[misc]
        """How checkers see an asset that was asked for by its facts or its name: of whatever type, with its facts."""


# Assets as JSON and as flat strings, and back.


def identity(asset: Asset) -> dict[str, Any]:
    """What makes the asset this one, as JSON values: no path, no source."""
    return {
        "asset": asset.asset_key,
        "cid": asset.cid,
        "name": asset.name,
        "facts": plain(_written(asset)),
        "companions": [identity(companion) for companion in asset.companions],
    }


def _written(asset: Asset) -> Mapping[str, Any]:
    """The facts, those that a later version added only where they are not the default."""
    later = type(asset).later
    if not later:
        return asset.declared
    defaults = schema_of(type(asset)).defaults
    return {name: value for name, value in asset.declared.items() if name not in later or value != defaults.get(name)}


def canonical(asset: Asset) -> bytes:
    """The identity of a stored asset as the one JSON text that its id is the SHA-256 of.

    Parameters
    ----------
    asset
        A stored asset: it and its companions have CIDs.

    Raises
    ------
    AssetError
        The asset or a companion is a draft.
    """
    _require_stored(asset)
    return encoder().encode({"format": FORMAT, **identity(asset)}).encode("ascii")


def as_record(asset: Asset) -> tuple[str, bytes]:
    """The id of a stored asset, which it keeps, and its canonical form, from one writing of it."""
    import hashlib

    data = canonical(asset)
    identifier = asset.__dict__["_id"] = hashlib.sha256(data).hexdigest()
    return identifier, data


def _require_stored(asset: Asset) -> None:
    if asset.cid is None:
        raise AssetError(f"{asset!r} is a draft: it has an id when it is in a store (sg.add puts it there)")
    for companion in asset.companions:
        _require_stored(companion)


def encode(asset: Asset) -> dict[str, Any]:
    """The asset as JSON values, without its source."""
    members = identity(asset)
    if asset.path is not None:
        members["path"] = str(asset.path)
    members["companions"] = [encode(companion) for companion in asset.companions]
    return members


def summary(asset: Asset) -> dict[str, Any]:
    """What to show of an asset: facts that say something, its name, its CID or path, the keys of its companions."""
    schema = schema_of(type(asset))
    key = {"asset": asset.asset_key} if schema.bare and "asset" in asset.facts else {}
    shown = {**key, **{name: value for name, value in asset.declared.items() if value != schema.defaults.get(name)}}
    shown = {name: _short(value) if name.endswith("_cid") else value for name, value in shown.items()}
    if asset.cid is not None:
        shown |= {"name": asset.name} if asset.name else {}
        shown["cid"] = _short(asset.cid)
    elif asset.path is not None:
        shown |= {"name": asset.name} if asset.name != asset.path.name else {}
        shown["path"] = str(asset.path)
    if asset.companions:
        shown["companions"] = tuple(companion.asset_key for companion in asset.companions)
    return shown


def _short(cid: Any) -> Any:
    return f"{cid[:4]}…{cid[-4:]}" if isinstance(cid, str) and len(cid) > 12 else cid


def write_keyvalues(asset: Asset) -> dict[str, str]:
    """The asset's key, name and facts as flat strings; its CID and companions are not among them."""
    kinds = schema_of(type(asset)).kinds
    facts = {name: kinds.get(name, ANY).write(value) for name, value in _written(asset).items()}
    return {"asset": asset.asset_key, **({"name": asset.name} if asset.name else {}), **facts}


def parse_keyvalues(keyvalues: Mapping[str, str], **base: Any) -> Asset:
    """The asset that `write_keyvalues` wrote; `base` gives what strings do not: cid, path, companions, source."""
    key = keyvalues.get("asset", "asset")
    if not isinstance(key, str):
        raise InvalidField(f"the key 'asset' of an asset's keyvalues must be a string, got {key!r:.80}")
    cls = asset_type(key)
    facts = {name: parse_fact(cls, name, text) for name, text in keyvalues.items() if name not in ("asset", "name")}
    return make_asset(key, facts, name=keyvalues.get("name", ""), **base)


def parse_fact(kind: type[Asset] | str, field: str, value: object) -> Any:
    """A fact in its true type: text is read (``"true"``, ``"3"``), other values are checked.

    Parameters
    ----------
    kind
        An asset type or its key. Where the key is unknown any value will do.
    field
        Name of the fact, or ``"name"`` or ``"cid"``.
    value
        A value, or its text as `Asset.to_keyvalues` writes it.

    Raises
    ------
    UnknownField
        The type declares no such fact.
    InvalidField
        The value is no value of that fact.
    """
    schema = schema_of(asset_type(kind) if isinstance(kind, str) else kind)
    try:
        if field in ("name", "cid"):
            return schema.checks[field](value)
        fact = ANY if schema.bare and not field.startswith("_") else schema.kind(field)
        return fact.read(value) if isinstance(value, str) else fact.check(value)
    except Mismatch as mismatch:
        raise schema.invalid(field, value, mismatch) from None
