"""An entry is what the settings say of one remote: its kind and URL, and options, checked before any is used."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import SplitResult, urlsplit

from stargazer.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = [
    "ADDRESS",
    "SECONDS",
    "VARIABLE",
    "Entry",
    "Option",
    "at_address",
    "check_address",
    "check_no_secret",
    "check_options",
    "split_url",
]


class Entry(NamedTuple):
    """One remote as the settings have it.

    Parameters
    ----------
    kind
        The word for its kind: ``"gateway"``.
    url
        What stands behind that word.
    options
        What stands beside it; each is one that the kind has, and of the right type.
    where
        How the entry is called in messages: ``"stargazer.remotes[0]"``.
    """

    kind: str
    url: str
    options: dict[str, Any]
    where: str

    def wrong(self, problem: str) -> ConfigError:
        """Return the error about what stands behind the kind."""
        return ConfigError(f"{self.where}.{self.kind} {problem}")


class Option(NamedTuple):
    """An option of a kind of remotes.

    Parameters
    ----------
    type
        Of its value.
    check
        Raises `ConfigError` of a value that makes no sense, given how it is called in messages.
    """

    type: type | tuple[type, ...]
    check: Callable[[Any, str], None] = lambda _value, _where: None


def check_options(entry: Entry, allowed: Mapping[str, Any]) -> None:
    """Make sure that an entry's options are some that its kind has.

    Parameters
    ----------
    entry
        The entry; ``name`` may stand in each.
    allowed
        The others by name: a type, several, or an `Option`.

    Raises
    ------
    ConfigError
        One is unknown, of another type, or makes no sense.
    """
    known = {
        name: each if isinstance(each, Option) else Option(each) for name, each in {"name": str, **allowed}.items()
    }
    for name, value in entry.options.items():
        where = f"{entry.where}.{name}"
        if name not in known:
            raise ConfigError(f"{entry.where}: a {entry.kind} has no {name!r}; it may have {', '.join(known)}")
        wanted = known[name].type
        if not isinstance(value, wanted) or (isinstance(value, bool) and wanted is not bool):
            raise ConfigError(f"{where} is of the wrong type ({type(value).__name__})")
    for name, value in entry.options.items():
        known[name].check(value, f"{entry.where}.{name}")


def check_address(url: str, where: str) -> None:
    """Make sure that something is an http or https address without secrets, query or pattern."""
    check_no_secret(url, where)
    parts = split_url(url, where)
    if parts.query or parts.fragment or "{" in url:
        raise ConfigError(f"{where} is a URL with a query or a pattern, but must be what stands before /ipfs/…")
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise ConfigError(f"{where} is {url!r}, but must be an http or https URL")


def check_no_secret(url: str, where: str) -> None:
    """Make sure that a URL holds neither user name nor password."""
    parts = split_url(url, where)
    if parts.password or parts.username:
        raise ConfigError(f"{where} holds a user name or a password; secrets belong in the environment")


def at_address(entry: Entry) -> Entry:
    """Return the entry of a kind that is reached at an http address, by whose host it is called if it has no name.

    Raises
    ------
    ConfigError
        It is no such address.
    """
    check_address(entry.url, f"{entry.where}.{entry.kind}")
    return entry._replace(options=entry.options | {"name": entry.options.get("name") or urlsplit(entry.url).netloc})


def split_url(url: str, where: str) -> SplitResult:
    """Return the parts of a URL, or tell by `ConfigError` that it is none."""
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError as error:
        raise ConfigError(f"{where} is no URL ({error})") from None
    return parts


def _check_seconds(value: float, where: str) -> None:
    if value <= 0:
        raise ConfigError(f"{where} is {value}, but must be seconds above 0")


def _check_variable(name: str, where: str) -> None:
    if not name.replace("_", "").isalnum() or not name.isupper():
        raise ConfigError(f"{where} must be the name of an environment variable that holds the token")


ADDRESS = Option(str, check_address)
SECONDS = Option((int, float), _check_seconds)
VARIABLE = Option(str, _check_variable)
"""The name of an environment variable, where the value is a secret."""
