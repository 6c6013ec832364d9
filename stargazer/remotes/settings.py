"""The remotes of the settings, as they are written there and as they are used."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult, urlsplit

from stargazer import config, plugins
from stargazer.errors import ConfigError, StoreError
from stargazer.remotes.base import TIMEOUT
from stargazer.store.backends.addresses import OPTIONS, read_address, with_options

if TYPE_CHECKING:
    from collections.abc import Callable

    from stargazer.remotes.base import Remote

__all__ = ["KINDS", "check_address", "configured", "for_a_person", "named", "read_remote"]

KINDS = ("store", "gateway", "kubo", "pinata")
_OPTIONS: dict[str, dict[str, Any]] = {
    "store": {
        "name": str,
        "trust": bool,
        "endpoint": str,
        "profile": str,
        "region": str,
        "requester-pays": bool,
        "anonymous": bool,
        "account": str,
        "project": str,
    },
    "gateway": {"name": str, "timeout": (int, float), "token": str},
    "kubo": {"name": str, "timeout": (int, float), "token": str},
    "pinata": {
        "name": str,
        "timeout": (int, float),
        "token": str,
        "gateway": str,
        "api": str,
        "uploads": str,
        "directories": str,
        "group": str,
    },
}
_PASSED = ("gateway", "api", "uploads", "token", "directories", "group")
DIRECTORIES = ("car", "files")
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
    if "/" in name and _split(name, repr(name)).scheme not in ("http", "https"):
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
        ``{"store" | "gateway" | "kubo": URL}`` or ``{"pinata": "public" | "private"}``, and options.
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
    if not any(kind in entry for kind in KINDS) and (other := _of_other_package(entry, where)) is not None:
        return other
    kinds = [kind for kind in KINDS if kind in entry and not (kind == "gateway" and "pinata" in entry)]
    if len(kinds) != 1:
        found = ", ".join(map(str, entry)) or "nothing"
        raise ConfigError(f"{where} must have one of {', '.join(KINDS)}, with a URL; it has {found}")
    kind, url = kinds[0], entry[kinds[0]]
    options = {key: value for key, value in entry.items() if key != kind}
    _check_options(kind, options, where)
    _check_url(kind, url, where)
    return _make(kind, url, options, where)


def _of_other_package(entry: Mapping[str, Any], where: str) -> Remote | None:
    """A remote of a kind that an installed package offers; None where the entry names none.

    Its class is called with the name, what stands beside the kind, and the options that it declares.
    """
    for kind in map(str, entry):
        cls = plugins.find(plugins.REMOTES, kind)
        if cls is not None:
            options = {key: value for key, value in entry.items() if key not in (kind, "name")}
            allowed = {"name": str, **cls.options}
            _check_values(kind, {key: entry[key] for key in entry if key != kind}, allowed, where)
            remote: Remote = cls(str(entry.get("name", kind)), str(entry[kind]), **options)
            return remote
    return None


def _check_options(kind: str, options: Mapping[str, Any], where: str) -> None:
    _check_values(kind, options, _OPTIONS[kind], where)
    for key in {"gateway", "api", "uploads", "endpoint"} & options.keys():
        check_address(options[key], f"{where}.{key}")
    if options.get("directories", "car") not in DIRECTORIES:
        raise ConfigError(f"{where}.directories is {options['directories']!r}, but must be {' or '.join(DIRECTORIES)}")
    if options.get("timeout", 1) <= 0:
        raise ConfigError(f"{where}.timeout is {options['timeout']}, but must be seconds above 0")
    token = options.get("token", "X")
    if not token.replace("_", "").isalnum() or not token.isupper():
        raise ConfigError(f"{where}.token must be the name of an environment variable that holds the token")


def _check_values(kind: str, options: Mapping[str, Any], allowed: Mapping[str, Any], where: str) -> None:
    for key, value in options.items():
        if key not in allowed:
            raise ConfigError(f"{where}: a {kind} has no {key!r}; it may have {', '.join(allowed)}")
        if not isinstance(value, allowed[key]) or (isinstance(value, bool) and allowed[key] is not bool):
            raise ConfigError(f"{where}.{key} is of the wrong type ({type(value).__name__})")


def _check_url(kind: str, url: Any, where: str) -> None:
    if not isinstance(url, str) or not url:
        raise ConfigError(f"{where}.{kind} must be a URL")
    if kind == "pinata":
        if url not in ("public", "private"):
            raise ConfigError(f"{where}.pinata is {url!r}, but must be 'public' or 'private'")
        return
    if kind == "store":
        if url.partition("://")[0] not in OPTIONS:
            _check_no_secret(url, f"{where}.store")
    else:
        check_address(url, f"{where}.{kind}")


def _split(url: str, where: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError as error:
        raise ConfigError(f"{where} is no URL ({error})") from None
    return parts


def _check_no_secret(url: str, where: str) -> None:
    parts = _split(url, where)
    if parts.password or parts.username:
        raise ConfigError(f"{where} holds a user name or a password; secrets belong in the environment")


def check_address(url: str, where: str) -> None:
    """Make sure that something is an http or https address without secrets, query or pattern."""
    _check_no_secret(url, where)
    parts = _split(url, where)
    if parts.query or parts.fragment or "{" in url:
        raise ConfigError(f"{where} is a URL with a query or a pattern, but must be what stands before /ipfs/…")
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise ConfigError(f"{where} is {url!r}, but must be an http or https URL")


def _make(kind: str, url: str, options: Mapping[str, Any], where: str) -> Remote:
    name = options.get("name") or (url if kind == "store" else urlsplit(url).netloc) or kind
    if kind == "store":
        from stargazer.remotes.store import StoreRemote

        return StoreRemote(name, _address(url, options, where), trusted=options.get("trust", False))
    timeout = float(options.get("timeout", TIMEOUT))
    if kind == "gateway":
        from stargazer.remotes.gateway import Gateway

        return Gateway(name, url, timeout=timeout, token=options.get("token"))
    if kind == "kubo":
        from stargazer.remotes.kubo import Kubo

        return Kubo(name, url, timeout=timeout, token=options.get("token"))
    from stargazer.remotes.pinata import Pinata

    others = {key: options[key] for key in _PASSED if key in options}
    return Pinata(options.get("name", "pinata"), url, timeout=timeout, **others)


def _address(url: str, options: Mapping[str, Any], where: str) -> str:
    """The address of a store with the options that stand beside it."""
    beside = {key: options[key] for key in options if key not in ("name", "trust")}
    if url.partition("://")[0] not in OPTIONS:
        if beside:
            raise ConfigError(f"{where}: {', '.join(beside)} mean nothing for a store at {url}")
        return url
    try:
        return read_address(with_options(url, beside)).url
    except StoreError as error:
        raise ConfigError(f"{where}: {error}") from None
