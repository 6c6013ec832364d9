"""Addresses of stores in object stores: a URL, and how the service behind it is reached.

The options stand in the address itself (``s3://bucket/folder?endpoint=…&profile=…``), so whoever is given a store by
its address reaches the same place in the same way: a worker, another remote's entry, the command line. No secret is one
of them; these stay where the service's own tools look for them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import SplitResult, parse_qsl, quote, urlencode, urlsplit

from stargazer.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["OPTIONS", "Address", "read_address", "with_options"]

_S3 = {
    "anonymous": "anon",
    "endpoint": "endpoint_url",
    "profile": "profile",
    "region": "region_name",
    "requester-pays": "requester_pays",
}
_GOOGLE = {
    "anonymous": "token",
    "endpoint": "endpoint_url",
    "project": "project",
    "requester-pays": "requester_pays",
}
_AZURE = {"account": "account_name", "anonymous": "anon", "endpoint": "account_host"}

OPTIONS: dict[str, dict[str, str]] = {
    "s3": _S3,
    "s3a": _S3,
    "gs": _GOOGLE,
    "gcs": _GOOGLE,
    "abfs": _AZURE,
    "abfss": _AZURE,
    "az": _AZURE,
}
"""Options that an address may have, by its scheme, and what the service's fsspec package calls them."""

_YES_OR_NO = ("anonymous", "requester-pays")


class Address(NamedTuple):
    """Where an object store's objects lie.

    Parameters
    ----------
    url
        The whole address, spelt in one way only.
    place
        The URL without options.
    options
        What fsspec's file system is made with.
    """

    url: str
    place: str
    options: dict[str, Any]


def read_address(url: str) -> Address:
    """Read the address of a store.

    Parameters
    ----------
    url
        Any URL that fsspec knows; those of S3, Google Cloud Storage and Azure may have options behind a ``?``.

    Raises
    ------
    StoreError
        It holds a password, or an option that there is not, or one that makes no sense; all are named.
    """
    scheme = url.partition("://")[0]
    if scheme not in OPTIONS:
        return Address(url.rstrip("/"), url.rstrip("/"), {})
    place, _, query = url.partition("?")
    place = place.rstrip("/")
    if "@" in place and (":" in place.partition("://")[2].partition("@")[0] or OPTIONS[scheme] is not _AZURE):
        raise StoreError(f"the address of a store at {scheme}:// holds a user name; keys belong in the environment")
    given = parse_qsl(query, keep_blank_values=True)
    if wrong := _wrong(scheme, given):
        raise StoreError(f"{place} cannot be opened as a store: {'; '.join(wrong)}")
    whole = f"{place}?{urlencode(sorted(given), safe=':/', quote_via=quote)}" if given else place
    return Address(whole, place, _made(scheme, dict(given)))


def with_options(url: str, options: Mapping[str, object]) -> str:
    """Join an address and options that stand beside it, as in the entry of a remote."""
    texts = {key: str(value).lower() if isinstance(value, bool) else str(value) for key, value in options.items()}
    if not texts:
        return url
    return f"{url}{'&' if '?' in url else '?'}{urlencode(texts, safe=':/', quote_via=quote)}"


def _wrong(scheme: str, given: list[tuple[str, str]]) -> list[str]:
    names = [name for name, _ in given]
    found = [
        f"option {name!r} stands there twice" for name in sorted({each for each in names if names.count(each) > 1})
    ]
    for name, value in given:
        if name not in OPTIONS[scheme]:
            found.append(f"{scheme}:// has no option {name!r}, but {', '.join(OPTIONS[scheme])}")
        elif name in _YES_OR_NO and value not in ("true", "false"):
            found.append(f"{name} is {value!r}, but must be true or false")
        elif name == "endpoint":
            found += _wrong_endpoint(scheme, value)
        elif not value:
            found.append(f"{name} is empty")
    return found


def _wrong_endpoint(scheme: str, value: str) -> list[str]:
    try:
        parts = urlsplit(value)
        _ = parts.port
    except ValueError as error:
        return [f"endpoint is no URL ({error})"]
    if parts.username or parts.password:
        return ["endpoint holds a user name or a password; keys belong in the environment"]
    wanted = ("https",) if OPTIONS[scheme] is _AZURE else ("http", "https")
    if parts.scheme not in wanted or not parts.netloc or parts.query or parts.fragment:
        return [
            f"endpoint is {value!r}, but must be a URL that begins with {' or '.join(f'{each}://' for each in wanted)}"
        ]
    return []


def _made(scheme: str, given: dict[str, str]) -> dict[str, Any]:
    names = OPTIONS[scheme]
    made: dict[str, Any] = {names[key]: value for key, value in given.items() if key not in _YES_OR_NO}
    made |= {names[key]: True for key in _YES_OR_NO if given.get(key) == "true"}
    if "region_name" in made:
        made["client_kwargs"] = {"region_name": made.pop("region_name")}
    if "account_host" in made:
        made["account_host"] = _host(urlsplit(made["account_host"]))
    if made.get("token") is True:
        made["token"] = "anon"
    return made


def _host(parts: SplitResult) -> str:
    return f"{parts.netloc}{parts.path}".rstrip("/")
