"""The remotes of the settings, as they are written there and as they are used."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from stargazer import config, plugins
from stargazer.errors import ConfigError
from stargazer.remotes.entries import Entry, check_options, split_url

if TYPE_CHECKING:
    from collections.abc import Callable

    from stargazer.remotes.base import Remote

__all__ = ["KINDS", "configured", "for_a_person", "named", "read_remote"]

KINDS = {
    "store": "stargazer.remotes.store:StoreRemote",
    "gateway": "stargazer.remotes.gateway:Gateway",
    "kubo": "stargazer.remotes.kubo:Kubo",
    "pinata": "stargazer.remotes.pinata:Pinata",
}
"""Our own kinds of remotes by the words of the settings. All else about a kind stands in its class."""

_read: dict[str, Remote] = {}


def configured() -> list[Remote]:
    """The remotes of ``stargazer.remotes``, in order.

    Raises
    ------
    ConfigError
        An entry is malformed, or two have one name; the message says which, and what is wrong.
    """
    entries = config.remotes()
    remotes = [_cached(entry, f"stargazer.remotes[{place}]") for place, entry in enumerate(entries)]
    names = [remote.name for remote in remotes]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ConfigError(f"stargazer.remotes: two remotes are called {twice[0]!r}; give one of them another name")
    return remotes


def for_a_person(say: Callable[[str], object]) -> list[Remote]:
    """The remotes of the settings; without any the public gateways, of which the person is told who asks for something.

    Plans and runs never ask these: they take what they need from places that somebody chose.

    Parameters
    ----------
    say
        Called with what a person should know.
    """
    remotes = configured()
    gateways = [] if remotes else config.default_gateways()
    if gateways:
        say(f"no remote is configured: asking public gateways ({', '.join(gateways)}); see stargazer.default-gateways")
    return remotes or [_cached({"gateway": url}, "stargazer.default-gateways") for url in gateways]


def named(name: str) -> Remote:
    """The remote of that name; or a store, by its path or URL.

    Raises
    ------
    ConfigError
        There is none; the message lists those there are.
    """
    remotes = {remote.name: remote for remote in configured()}
    if name in remotes:
        return remotes[name]
    if "/" in name and split_url(name, repr(name)).scheme not in ("http", "https"):
        return _cached({"store": name, "name": name}, name)
    known = ", ".join(remotes) or "none is configured (see stargazer.remotes)"
    raise ConfigError(f"there is no remote {name!r}; there are: {known}")


def _cached(entry: Any, where: str) -> Remote:
    """One object a remote, so that its connections are kept."""
    key = repr(entry)
    if key not in _read:
        _read[key] = read_remote(entry, where)
    return _read[key]


def read_remote(entry: Any, where: str = "the remote") -> Remote:
    """A remote as it is written in the settings.

    Parameters
    ----------
    entry
        ``{"store" | "gateway" | "kubo": URL}`` or ``{"pinata": "public" | "private"}``, and options; or of a kind that
        another package brings.
    where
        How it is called in messages.

    Raises
    ------
    ConfigError
        It is malformed.
    """
    if not isinstance(entry, Mapping):
        kind = type(entry).__name__
        raise ConfigError(f"{where} is of type {kind}, but must be a mapping such as {{gateway: 'https://ipfs.io'}}")
    kind, cls = _kind_of(entry, where)
    url = entry[kind]
    if not isinstance(url, str) or not url:
        raise ConfigError(f"{where}.{kind} must be a URL")
    read = Entry(kind, url, {key: value for key, value in entry.items() if key != kind}, where)
    check_options(read, cls.options)
    return cls.read(read)


def _kind_of(entry: Mapping[str, Any], where: str) -> tuple[str, type[Remote]]:
    """The one kind that an entry names, ours before those of other packages, and its class."""
    found: dict[str, type[Remote]] = {kind: plugins.imported(KINDS[kind]) for kind in KINDS if kind in entry}
    if not found:
        found = {kind: cls for kind in map(str, entry) if (cls := plugins.find(plugins.REMOTES, kind))}
    options = {name for cls in found.values() for name in cls.options}  # a word may be an option of another kind
    kinds = [kind for kind in found if kind not in options] or list(found)
    if len(kinds) != 1:
        told = ", ".join(map(str, entry)) or "nothing"
        raise ConfigError(f"{where} must have one of {', '.join(KINDS)}, with a URL; it has {told}")
    return kinds[0], found[kinds[0]]
