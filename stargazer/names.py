"""Names of assets, for people: ``sg.names``; ``NAME@3`` and ``NAME@latest`` name one wherever an asset is given."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from stargazer.api import store_of
from stargazer.store.names import Names, Version
from stargazer.store.references import find_asset

if TYPE_CHECKING:
    from builtins import list as List

    from stargazer.api import StoreLike
    from stargazer.assets import Asset

__all__ = ["Difference", "Version", "diff", "get", "history", "list", "set"]


class Difference(NamedTuple):
    """What differs between two versions of a name.

    Parameters
    ----------
    older, newer
        The versions.
    changes
        Old and new value by what changed: ``"cid"``, ``"name"``, ``"type"``, ``"companions"``, or a fact.
    """

    older: Version
    newer: Version
    changes: dict[str, tuple[Any, Any]]

    def __str__(self) -> str:
        lines = [f"{name}: {old!r} → {new!r}" for name, (old, new) in self.changes.items()]
        return "\n".join([f"{self.older} → {self.newer}", *(lines or ["nothing differs"])])


def set(name: str, asset: Asset | str, *, store: StoreLike = None) -> Version:
    """Give an asset a name: the next version of it.

    Parameters
    ----------
    name
        Words of letters, digits and ``_ . + = -``, with ``/`` between them.
    asset
        A stored asset, or what names one.
    store
        Where; the store that the asset came from by default.

    Returns
    -------
    Version
        The new one; the newest, where that is this asset already.

    Raises
    ------
    NotFound
        The store does not have it.

    Examples
    --------
    >>> import stargazer as sg
    >>> version = sg.names.set("demo/words", sg.add("words.txt"))
    >>> version.version, str(version)
    (1, 'demo/words@1')
    """
    found = store_of(store, asset)
    return found.names.set(name, find_asset(found, asset) if isinstance(asset, str) else asset)


def get(name: str, version: int | None = None, *, store: StoreLike = None) -> Asset:
    """Return the asset that a name stands for.

    Parameters
    ----------
    name
        The name.
    version
        Its number; the newest by default.
    store
        Where; the active store by default.

    Raises
    ------
    NotFound
        There is no such name or version.

    Examples
    --------
    >>> import stargazer as sg
    >>> version = sg.names.set("demo/words", sg.add("words.txt"))
    >>> sg.names.get("demo/words", 1).name
    'words.txt'
    """
    return _names(store).get(name, version)


def history(name: str, *, store: StoreLike = None) -> List[Version]:
    """Return every version of a name, the newest first, with who set it when.

    Raises
    ------
    NotFound
        There is no such name.

    Examples
    --------
    >>> import stargazer as sg
    >>> version = sg.names.set("demo/words", sg.add("words.txt"))
    >>> [each.version for each in sg.names.history("demo/words")]
    [1]
    """
    return _names(store).history(name)


def list(*, store: StoreLike = None) -> dict[str, int]:
    """Return the number of the newest version of every name.

    Examples
    --------
    >>> import stargazer as sg
    >>> version = sg.names.set("demo/words", sg.add("words.txt"))
    >>> sg.names.list()
    {'demo/words': 1}
    """
    return _names(store).newest()


def diff(name: str, older: int | None = None, newer: int | None = None, *, store: StoreLike = None) -> Difference:
    """Say what differs between two versions of a name.

    Parameters
    ----------
    name
        The name.
    older, newer
        Numbers; by default the newest, and the one before it.
    store
        Where; the active store by default.

    Raises
    ------
    NotFound
        There is no such name or version.

    Examples
    --------
    >>> import stargazer as sg
    >>> words = sg.add("words.txt")
    >>> version = sg.names.set("demo/words", words)
    >>> version = sg.names.set("demo/words", sg.update(words, topic="letters"))
    >>> sg.names.diff("demo/words").changes
    {'topic': (None, 'letters')}
    """
    names = _names(store)
    new = names.get_version(name, newer)
    old = names.get_version(name, max(new.version - 1, 1) if older is None else older)
    one, other = _members(old.asset), _members(new.asset)
    differing = [member for member in {**one, **other} if one.get(member) != other.get(member)]
    return Difference(old, new, {member: (one.get(member), other.get(member)) for member in differing})


def _members(asset: Asset) -> dict[str, Any]:
    identity = asset.identity
    base: dict[str, Any] = {"type": identity["asset"], "cid": identity["cid"], "name": identity["name"]}
    return {**base, "companions": identity["companions"], **identity["facts"]}


def _names(store: StoreLike, asset: object = None) -> Names:
    return store_of(store, asset).names
