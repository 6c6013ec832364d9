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

__all__ = ["SERVICES", "YES_OR_NO", "Address", "Service", "read_address", "service_of", "with_options"]


class Service(NamedTuple):
    """A service of object stores, and what is particular about it.

    Parameters
    ----------
    schemes
        With which addresses of its stores begin.
    options
        Options that an address may have, and what the service's fsspec package calls them.
    endpoints
        Schemes that the URL of a server in its place may have.
    has_users
        Whether an address may name an account before an ``@``, as ``abfs://container@account.…``.
    hides_buckets
        Whether it says the same of a bucket that is not there as of an object in one.
    prints
        Logger of its package, where that prints the trace of an error which it then raises.
    """

    schemes: tuple[str, ...]
    options: dict[str, str]
    endpoints: tuple[str, ...] = ("http", "https")
    has_users: bool = False
    hides_buckets: bool = False
    prints: str = ""


SERVICES = (
    Service(
        ("s3", "s3a"),
        {
            "anonymous": "anon",
            "endpoint": "endpoint_url",
            "profile": "profile",
            "region": "region_name",
            "requester-pays": "requester_pays",
        },
    ),
    Service(
        ("gs", "gcs"),
        {
            "anonymous": "token",
            "endpoint": "endpoint_url",
            "project": "project",
            "requester-pays": "requester_pays",
        },
        hides_buckets=True,
        prints="gcsfs",
    ),
    Service(
        ("abfs", "abfss", "az"),
        {"account": "account_name", "anonymous": "anon", "endpoint": "account_host"},
        endpoints=("https",),
        has_users=True,
    ),
)
"""Services whose addresses may have options; other URLs are fsspec's affair, or that of an installed package."""

YES_OR_NO = ("anonymous", "requester-pays")
"""Options that are true or false, whichever service has them."""


def service_of(url: str) -> Service | None:
    """Return the service at which the store of a URL is; None for any other URL."""
    scheme = url.partition("://")[0]
    return next((each for each in SERVICES if scheme in each.schemes), None)


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
    service
        At which it is, where that is one of ours.
    """

    url: str
    place: str
    options: dict[str, Any]
    service: Service | None = None


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
    service, scheme = service_of(url), url.partition("://")[0]
    if service is None:
        return Address(url.rstrip("/"), url.rstrip("/"), {})
    place, _, query = url.partition("?")
    place = place.rstrip("/")
    if "@" in place and (":" in place.partition("://")[2].partition("@")[0] or not service.has_users):
        raise StoreError(f"the address of a store at {scheme}:// holds a user name; keys belong in the environment")
    given = parse_qsl(query, keep_blank_values=True)
    if wrong := _wrong(service, scheme, given):
        raise StoreError(f"{place} cannot be opened as a store: {'; '.join(wrong)}")
    whole = f"{place}?{urlencode(sorted(given), safe=':/', quote_via=quote)}" if given else place
    return Address(whole, place, _made(service, dict(given)), service)


def with_options(url: str, options: Mapping[str, object]) -> str:
    """Join an address and options that stand beside it, as in the entry of a remote."""
    texts = {key: str(value).lower() if isinstance(value, bool) else str(value) for key, value in options.items()}
    if not texts:
        return url
    return f"{url}{'&' if '?' in url else '?'}{urlencode(texts, safe=':/', quote_via=quote)}"


def _wrong(service: Service, scheme: str, given: list[tuple[str, str]]) -> list[str]:
    names = [name for name, _ in given]
    found = [
        f"option {name!r} stands there twice" for name in sorted({each for each in names if names.count(each) > 1})
    ]
    for name, value in given:
        if name not in service.options:
            found.append(f"{scheme}:// has no option {name!r}, but {', '.join(service.options)}")
        elif name in YES_OR_NO and value not in ("true", "false"):
            found.append(f"{name} is {value!r}, but must be true or false")
        elif name == "endpoint":
            found += _wrong_endpoint(service, value)
        elif not value:
            found.append(f"{name} is empty")
    return found


def _wrong_endpoint(service: Service, value: str) -> list[str]:
    try:
        parts = urlsplit(value)
        _ = parts.port
    except ValueError as error:
        return [f"endpoint is no URL ({error})"]
    if parts.username or parts.password:
        return ["endpoint holds a user name or a password; keys belong in the environment"]
    if parts.scheme not in service.endpoints or not parts.netloc or parts.query or parts.fragment:
        begins = " or ".join(f"{each}://" for each in service.endpoints)
        return [f"endpoint is {value!r}, but must be a URL that begins with {begins}"]
    return []


def _made(service: Service, given: dict[str, str]) -> dict[str, Any]:
    names = service.options
    made: dict[str, Any] = {names[key]: value for key, value in given.items() if key not in YES_OR_NO}
    made |= {names[key]: True for key in YES_OR_NO if given.get(key) == "true"}
    if "region_name" in made:
        made["client_kwargs"] = {"region_name": made.pop("region_name")}
    if "account_host" in made:
        made["account_host"] = _host(urlsplit(made["account_host"]))
    if made.get("token") is True:
        made["token"] = "anon"
    return made


def _host(parts: SplitResult) -> str:
    return f"{parts.netloc}{parts.path}".rstrip("/")
