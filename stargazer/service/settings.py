"""Settings of the service, read and checked: tenants, tokens, the proxy, limits."""

from __future__ import annotations

import hashlib
import itertools
import os
import re
import secrets
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import parse_qsl

from stargazer import config
from stargazer.errors import ConfigError
from stargazer.store.backends.addresses import service_of
from stargazer.store.context import local_path

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["SCOPES", "Limits", "Principal", "Settings", "Token", "digest_of", "new_token", "read_settings"]

SCOPES = ("read", "run", "write", "admin")
DEFAULT = "default"
"""The tenant where the settings name none."""

DIGEST = re.compile(r"[0-9a-f]{64}")
TENANT = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}")
TOKEN_BYTES = 32


class Limits(NamedTuple):
    """What one who asks may have at once.

    Parameters
    ----------
    runs
        Runs in flight.
    bytes
        Bytes sent and received in an hour.
    """

    runs: int
    bytes: int


class Principal(NamedTuple):
    """Who asks, and what for.

    Parameters
    ----------
    name
        As records and names say it.
    tenant
        Whose store it is.
    scopes
        Of `SCOPES`; ``admin`` has all.
    names, tables
        Patterns, as of a shell, of the names that it may read and set, and of the URIs of tables that it may read.
    local
        Whether it is the user of this process.
    """

    name: str
    tenant: str
    scopes: frozenset[str]
    names: tuple[str, ...] = ("*",)
    tables: tuple[str, ...] = ()
    local: bool = False

    def may(self, scope: str) -> bool:
        """Whether it has a scope."""
        return scope in self.scopes or "admin" in self.scopes


class Token(NamedTuple):
    """A token, of which only the digest is known.

    Parameters
    ----------
    sha256
        Of the token, hexadecimal: it is random, so nobody finds it by trying.
    principal
        Whose it is.
    """

    sha256: str
    principal: Principal


class Settings(NamedTuple):
    """All of them.

    Parameters
    ----------
    stores
        URL of the store of each tenant.
    tokens
        Those that let in.
    proxy
        The secret of a trusted proxy; None where there is none.
    origins
        Web pages that may read answers.
    allow_code
        Whether requests may name any module, and paths of the server.
    limits
        Of one principal.
    """

    stores: Mapping[str, str]
    tokens: tuple[Token, ...] = ()
    proxy: str | None = None
    origins: tuple[str, ...] = ()
    allow_code: bool = False
    limits: Limits = Limits(4, 1 << 40)

    @property
    def is_open(self) -> bool:
        """Whether nobody needs to say who it is."""
        return not self.tokens and self.proxy is None

    def lets_do_all(self, token: str) -> bool:
        """Whether a token lets do everything with the only store: what an application needs that knows no scopes."""
        digest = digest_of(token)
        found = [each.principal for each in self.tokens if each.sha256 == digest] if len(self.stores) == 1 else []
        return any("*" in each.names and all(map(each.may, SCOPES[:3])) for each in found)


def digest_of(token: str) -> str:
    """SHA-256 of a token, as the settings hold it."""
    return hashlib.sha256(token.encode()).hexdigest()


def new_token(principal: str, tenant: str) -> tuple[str, str]:
    """Make a token; return it, and the line of the settings that lets it in."""
    token = f"sg_{secrets.token_urlsafe(TOKEN_BYTES)}"
    line = f"{{principal: {principal}, tenant: {tenant}, sha256: {digest_of(token)}, scopes: [read, run]}}"
    return token, line


def read_settings(store: str | None = None) -> Settings:
    """Return the settings of the service.

    Parameters
    ----------
    store
        URL of the store of the only tenant; that of the settings by default.

    Raises
    ------
    ConfigError
        Something in them is wrong; the message says what, and where it stands.
    """
    found, problems = config.service_settings(), list[str]()
    stores = _stores(found["stores"], store, problems)
    tokens = tuple(_tokens(found["tokens"], stores, problems))
    secret = _secret(found["proxy"], problems)
    origins, allow = found["origins"] or [], found["allow-code"]
    if not isinstance(origins, list) or not all(isinstance(each, str) for each in origins):
        problems.append("origins must be a list of https://…")
    if not isinstance(allow, bool):
        problems.append(f"allow-code must be true or false, not {allow!r}")
    limits = _limits(found["limits"], problems)
    if problems:
        raise ConfigError(f"stargazer.service ({config.origin_of('service')}): {'; '.join(problems)}")
    return Settings(stores, tokens, secret, tuple(each.rstrip("/") for each in origins), allow, limits)


def _stores(given: Any, store: str | None, problems: list[str]) -> dict[str, str]:
    if not isinstance(given, dict) or not all(isinstance(url, str) and url for url in given.values()):
        problems.append("stores must be URLs of stores by the names of tenants")
        return {}
    if wrong := [name for name in given if not TENANT.fullmatch(str(name))]:
        problems.append(f"{', '.join(map(str, wrong))}: a tenant's name has letters, digits and _ . -")
    if store is not None and given:
        problems.append(f"there are tenants ({', '.join(given)}), so no other store can be served")
    places = sorted(map(_place, given.values()))
    if any(inner.startswith(outer) for outer, inner in itertools.pairwise(places)):
        problems.append("two tenants have one store, or one lies in the other: what one has the other would see")
    return {str(name): url for name, url in given.items()} or {DEFAULT: store or config.store_url()}


def _place(url: str) -> str:
    """Where a store lies, however its URL is written; of options, those of a server and an account make it another."""
    if (path := local_path(url)) is not None:
        return os.path.join(path, "")
    place, _, query = url.partition("?")
    if (service := service_of(url)) is None:
        return os.path.join(url.rstrip("/"), "")
    where = [pair for pair in sorted(parse_qsl(query)) if pair[0] in ("endpoint", "account")]
    return os.path.join(f"{where} {service.schemes[0]}://{place.partition('://')[2].rstrip('/')}", "")


def _secret(variable: Any, problems: list[str]) -> str | None:
    if variable is None:
        return None
    if not isinstance(variable, str) or not variable:
        problems.append("proxy must be the name of an environment variable")
        return None
    secret = config.secret(variable)
    if not secret:
        problems.append(f"the environment variable {variable}, which holds the secret of the proxy, is not set")
    return secret


def _tokens(given: Any, stores: Mapping[str, str], problems: list[str]) -> list[Token]:
    if not isinstance(given, list):
        problems.append("tokens must be a list")
        return []
    read = [_token(number, each, stores, problems) for number, each in enumerate(given)]
    found = [token for token in read if token is not None]
    if len({token.sha256 for token in found}) < len(found):
        problems.append("one token stands there twice")
    return found


MEMBERS = ("sha256", "principal", "tenant", "scopes", "names", "tables")


def _token(number: int, given: Any, stores: Mapping[str, str], problems: list[str]) -> Token | None:
    where = f"tokens[{number}]"
    if not isinstance(given, dict) or set(given) - set(MEMBERS):
        problems.append(f"{where} must have {', '.join(MEMBERS)} and nothing else; tokens themselves stand nowhere")
        return None
    digest, name = str(given.get("sha256", "")), given.get("principal")
    tenant = str(given.get("tenant", next(iter(stores), DEFAULT)))
    scopes, patterns = given.get("scopes", []), {each: given.get(each) for each in ("names", "tables")}
    wrong = {
        "sha256 must be 64 hexadecimal digits": DIGEST.fullmatch(digest) is None,
        "principal must be a name": not isinstance(name, str) or not name.strip(),
        f"there is no tenant {tenant}": tenant not in stores,
        f"scopes must be some of {', '.join(SCOPES)}": not _are_texts(scopes) or not set(scopes) <= set(SCOPES),
        "names and tables must be lists of patterns": not all(
            each is None or _are_texts(each) for each in patterns.values()
        ),
    }
    if told := [text for text, is_wrong in wrong.items() if is_wrong]:
        problems.extend(f"{where}: {text}" for text in told)
        return None
    names = ["*"] if patterns["names"] is None else patterns["names"]
    tables = patterns["tables"] or []
    return Token(digest, Principal(str(name), tenant, frozenset(scopes), tuple(names), tuple(tables)))


def _are_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(each, str) for each in value)


def _limits(given: Any, problems: list[str]) -> Limits:
    from dask.utils import parse_bytes

    defaults = {"runs": 4, "bytes": "1 TiB"}
    if not isinstance(given, dict) or set(given) - set(defaults):
        problems.append("limits has runs and bytes")
        return Limits(4, 1 << 40)
    members = {**defaults, **given}
    try:
        limits = Limits(int(members["runs"]), int(parse_bytes(members["bytes"])))
    except (ValueError, TypeError):
        limits = Limits(0, 0)
    if limits.runs < 1 or limits.bytes < 1:
        problems.append(f"limits: runs is a number and bytes a size, not {members['runs']!r} and {members['bytes']!r}")
    return limits
