"""Whose the other end of a connection within this machine is, as the kernel says.

A port of the loopback is open to every user of the machine, and who asks a service without tokens runs what he likes
as its owner. So such a service asks the kernel, once a connection, whose the socket at the other end is.

References
----------
sock_diag(7): https://man7.org/linux/man-pages/man7/sock_diag.7.html
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import asyncio

__all__ = ["can_tell", "is_own", "own_alone"]

SOCK_DIAG, BY_FAMILY, REQUEST, ERROR = 4, 20, 1, 2
ESTABLISHED = 1
HEADER = struct.Struct("=IHHII")
QUESTION = struct.Struct("=BBBBI")
ANSWER = struct.Struct("=4x48x12xII")
"""Of what is told of a socket: its owner, and its inode, which one that was closed has no more."""

REFUSED = (
    b"HTTP/1.1 403 Forbidden\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n"
    b"without tokens only the user who runs this service may ask: stargazer serve --new-token NAME\n"
)


def can_tell() -> bool:
    """Whether this system tells whose a connection is."""
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as client:
        return is_own(client.getsockname(), server.getsockname()) is True


def is_own(client: Any, server: Any) -> bool | None:
    """Whether the socket at the other end of a connection is open, and this user's; None where nobody tells.

    A socket that was closed counts as nobody's: the kernel says of it that it is root's.

    Parameters
    ----------
    client, server
        Addresses of the other end, and of this one.
    """
    try:
        found = _asked(client, server)
    except OSError as error:
        return False if error.errno == errno.ENOENT else None
    except (AttributeError, ValueError, TypeError, IndexError):  # another system, or no address of this family
        return None
    uid, inode = found
    return uid == os.geteuid() and inode != 0


def _asked(client: Any, server: Any) -> tuple[int, int]:
    """Owner and inode of a socket, by its address and that of the other end; `OSError` where there is none."""
    family = socket.AF_INET6 if ":" in client[0] else socket.AF_INET
    ends = struct.pack("!HH", client[1], server[1])
    places = b"".join(socket.inet_pton(family, each[0].partition("%")[0]).ljust(16, b"\0") for each in (client, server))
    body = QUESTION.pack(family, socket.IPPROTO_TCP, 0, 0, 1 << ESTABLISHED) + ends + places + b"\0" * 4 + b"\xff" * 8
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, SOCK_DIAG) as line:
        line.settimeout(1.0)
        line.sendto(HEADER.pack(HEADER.size + len(body), BY_FAMILY, REQUEST, 1, 0) + body, (0, 0))
        told = line.recv(4096)
    _, kind, _, _, _ = HEADER.unpack_from(told)
    if kind == ERROR:
        code = -struct.unpack_from("=i", told, HEADER.size)[0]
        raise OSError(code, os.strerror(code))
    uid, inode = ANSWER.unpack_from(told, HEADER.size)
    return uid, inode


def own_alone() -> type[asyncio.Protocol]:
    """Return uvicorn's protocol of HTTP, which closes connections of other users before anything of them is read."""
    from uvicorn.protocols.http.auto import AutoHTTPProtocol

    base: Any = AutoHTTPProtocol

    class OwnAlone(base):  # type: ignore[misc]
        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            if not is_own(transport.get_extra_info("peername"), transport.get_extra_info("sockname")):
                transport.write(REFUSED)
                transport.close()

    made: type[asyncio.Protocol] = OwnAlone
    return made
