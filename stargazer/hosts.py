"""Hosts: whose certificates are believed, and which ones others may have us ask.

Who may not reach a service of an inner network could else have it read by one who can: by the address of a file.
"""

from __future__ import annotations

import functools
import ipaddress
import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import ssl

__all__ = ["addresses_of", "certificates", "is_public"]


@functools.cache
def certificates() -> ssl.SSLContext:
    """Whom this machine believes: read once a process, for it takes longer than a small request."""
    import httpx

    return httpx.create_ssl_context()


def is_public(address: str) -> bool:
    """Whether an IP address is one of the public networks, and no group of hosts.

    Parameters
    ----------
    address
        As the system resolves a name, perhaps with the zone of IPv6.
    """
    found = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(found, ipaddress.IPv6Address):
        found = _within(found) or found
    return found.is_global and not found.is_multicast and not getattr(found, "is_site_local", False)


_OF_IPV4 = [ipaddress.IPv6Network(each) for each in ("::/96", "64:ff9b::/96")]
"""Networks of IPv6 whose addresses end with one of IPv4, which they stand for (RFC 4291, 2.5.5.1; RFC 6052)."""


def _within(found: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    """The address of IPv4 to which one of IPv6 leads, by whatever stands between the networks; None of others."""
    if any(found in network for network in _OF_IPV4) and int(found) > 1:
        return ipaddress.IPv4Address(int(found) & 0xFFFFFFFF)
    return found.ipv4_mapped or found.sixtofour or (found.teredo[1] if found.teredo else None)


def addresses_of(host: str) -> list[str]:
    """Return the IP addresses of a host.

    Parameters
    ----------
    host
        A name, or an address however it is written.

    Raises
    ------
    OSError
        There is no such host.
    """
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except UnicodeError as error:  # a label of more than 63 characters, or none
        raise OSError(f"{host!r:.100} is no name of a host") from error
    return list(dict.fromkeys(str(each[4][0]) for each in found))
