"""A request that was let in: who asks, of which store, and what their request says."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import anyio.to_thread

from stargazer.errors import StoreError
from stargazer.service.access import check_references, may_name, may_read_table
from stargazer.service.problems import Refusal
from stargazer.store.names import place_of, told_of
from stargazer.store.references import find_assets

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.requests import Request

    from stargazer.assets import Asset
    from stargazer.service.access import Gate, Meter
    from stargazer.service.builds import Builds
    from stargazer.service.settings import Principal, Settings
    from stargazer.service.uploads import Uploads
    from stargazer.store import Store

    T = TypeVar("T")

__all__ = ["Engine", "Visit", "once"]

MOST_JSON = 16 << 20
DIGITS = 18
TRUE, FALSE = ("1", "true", "yes", ""), ("0", "false", "no")


@dataclass(frozen=True)
class Engine:
    """What all requests share.

    Parameters
    ----------
    settings
        Of the service.
    gate, meter
        Who may ask; how much they moved.
    builds, uploads
        What goes on.
    """

    settings: Settings
    gate: Gate
    meter: Meter
    builds: Builds
    uploads: Uploads


@dataclass(frozen=True)
class Visit:
    """A request that was let in.

    Parameters
    ----------
    request
        As Starlette has it.
    principal
        Who asks.
    store
        Of their tenant.
    engine
        What all requests share.
    """

    request: Request
    principal: Principal
    store: Store
    engine: Engine

    @property
    def may_code(self) -> bool:
        """Whether it may name modules and paths of this machine."""
        return self.principal.local or self.engine.settings.allow_code

    @property
    def asked(self) -> str:
        """Who asks, as records say it; empty for the user of this process, whom they name anyway."""
        return "" if self.principal.local else self.principal.name

    def path(self, name: str) -> str:
        """A part of the path."""
        return str(self.request.path_params[name])

    def query(self, name: str) -> str | None:
        """A parameter of the query."""
        return self.request.query_params.get(name)

    def flag(self, name: str) -> bool:
        """Whether a parameter of the query says yes."""
        text = self.query(name)
        if text is None or text.lower() in FALSE:
            return False
        if text.lower() not in TRUE:
            raise Refusal(422, "ArgumentError", f"{name}={text!r} is neither true nor false", f"query {name}")
        return True

    def number(self, name: str, default: int, most: int) -> int:
        """A parameter of the query that is a number."""
        text = self.query(name)
        if text is None:
            return default
        if not (text.isascii() and text.isdigit() and len(text) <= DIGITS and int(text) <= most):
            raise Refusal(422, "ArgumentError", f"{name}={text[:40]!r} is no number up to {most}", f"query {name}")
        return int(text)

    async def json(self, known: tuple[str, ...] | None = None) -> dict[str, Any]:
        """Return the body, a JSON object with known members only.

        Raises
        ------
        Refusal
            It is none, or too large; or names what its asker may not know of.
        """
        kind = self.request.headers.get("content-type", "application/json").partition(";")[0].strip().lower()
        if kind != "application/json":  # what a page of another site may send without asking is refused
            raise Refusal(415, "ArgumentError", f"the body is {kind}; send application/json", "body")
        members = _read(await self.body(MOST_JSON))
        if unknown := sorted(set(members) - set(known)) if known is not None else []:
            raise Refusal(
                422, "ArgumentError", f"no member {', '.join(unknown)}; there are {', '.join(known or ())}", "body"
            )
        check_references(self.principal, members)
        return members

    async def body(self, most: int) -> bytes:
        """Return a body of at most so many bytes."""
        found = bytearray()
        async for part in self.request.stream():
            found += part
            if len(found) > most:
                raise Refusal(413, "ArgumentError", f"the body has more than {most} bytes", "body")
        return bytes(found)

    async def asset(self, name: str = "ref") -> Asset:
        """Return the asset that the path names; of several with the same bytes the first."""
        text = self.path(name)
        check_references(self.principal, text)
        found = await self.in_thread(lambda: find_assets(self.store, text))
        return found[0]

    def may_name(self, name: str) -> bool:
        """Whether who asks may know of a name."""
        return may_name(self.principal, name)

    def may_read_table(self, uri: str) -> bool:
        """Whether who asks may know of a table."""
        return may_read_table(self.principal, uri)

    def check_name(self, name: str) -> None:
        """Refuse a name that its asker may not know of, and what is none."""
        if not self.may_name(name):
            raise Refusal(404, "NotFound", f"there is no name {name!r}")
        try:
            place_of(name)
        except StoreError as error:
            raise Refusal(422, "ArgumentError", str(error), "name") from None

    async def in_thread(self, do: Callable[[], T]) -> T:
        """Do something that takes time beside the loop that serves others, in the store of the tenant."""

        def within() -> T:
            with self.store, told_of(self.may_name):
                return do()

        return await anyio.to_thread.run_sync(within)


def once(pairs: list[tuple[str, Any]], where: str = "body") -> dict[str, Any]:
    """Members of an object: of one that stands there twice, whoever looks at a request before us may take the other.

    Parameters
    ----------
    pairs
        Names and values, as they stand.
    where
        They stand, for messages.

    Raises
    ------
    Refusal
        422: one does.
    """
    members = dict(pairs)
    if len(members) < len(pairs):
        twice = sorted(name for name, times in Counter(name for name, _ in pairs).items() if times > 1)
        raise Refusal(422, "ArgumentError", f"{', '.join(map(repr, twice))} stands in one object twice", where)
    return members


def _read(body: bytes) -> dict[str, Any]:
    try:
        members = json.loads(body or b"{}", object_pairs_hook=once)
        json.dumps(members, ensure_ascii=False).encode()  # a half of a surrogate pair is no text
    except UnicodeEncodeError:
        raise Refusal(
            400, "ArgumentError", "the body has half a surrogate pair, which is no character", "body"
        ) from None
    except (ValueError, RecursionError) as error:
        raise Refusal(400, "ArgumentError", f"the body is no JSON: {error}", "body") from None
    if not isinstance(members, dict):
        raise Refusal(422, "ArgumentError", "the body is no JSON object", "body")
    return members
