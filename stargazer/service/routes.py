"""Every route of the service: method, path, the scope that it wants, and what answers it."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from stargazer.service import gateway, metrics, reading, running, uploads
from stargazer.service.answers import JSONAnswer
from stargazer.service.openapi import document
from stargazer.service.problems import Refusal

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from starlette.requests import Request
    from starlette.responses import Response

    from stargazer.service.visit import Visit

    Answer = Callable[[Visit], Awaitable[Response]]

__all__ = ["ROUTES", "Endpoint"]


class Endpoint(NamedTuple):
    """A route.

    Parameters
    ----------
    method
        Of HTTP; GET answers HEAD as well.
    path
        With its variables in braces.
    scope
        That whoever asks must have.
    answer
        Gives the answer.
    body
        JSON Schema of the body; None where it takes none, or bytes.
    status
        Of an answer where all went well.
    query
        JSON Schemas of the parameters of the query, by name; there are no others. None where that is not checked here.
    sends
        What kind of bytes the body is, where it is bytes.
    also
        Further statuses of answers where all went well.
    """

    method: str
    path: str
    scope: str
    answer: Answer
    body: dict[str, Any] | None = None
    status: int = 200
    query: Mapping[str, dict[str, Any]] | None = MappingProxyType({})
    sends: str = ""
    also: tuple[int, ...] = ()

    def check(self, request: Request) -> None:
        """Refuse parameters that there are not, and those that are given twice: neither is passed over in silence.

        Raises
        ------
        Refusal
            422.
        """
        if self.query is None:
            return
        given = [name for name, _ in request.query_params.multi_items()]
        unknown = sorted({name for name in given if name not in self.query})
        if unknown or len(set(given)) < len(given):
            there = f"there are {', '.join(self.query)}" if self.query else "there are none"
            wrong = f"no parameter {', '.join(unknown)}; {there}" if unknown else "a parameter is given twice"
            raise Refusal(422, "ArgumentError", wrong, "query")


MATERIALIZE: dict[str, Any] = {
    "type": "object",
    "required": ["transform"],
    "additionalProperties": False,
    "properties": {
        "inputs": {"type": "array", "description": "CIDs, ids, stargazer:// URIs, URIs of tables; by position."},
        "transform": {
            "type": "object",
            "required": ["executor"],
            "additionalProperties": False,
            "properties": {"executor": {"type": "string"}, "params": {"type": "object"}},
        },
        "name": {"type": ["string", "null"], "description": "Name that the result gets."},
        "refresh": {"type": "boolean", "description": "Run what is known once more."},
        "explain": {"type": "boolean", "description": "Say what would run, and why; nothing runs."},
        "wait": {"type": "number", "minimum": 0, "description": "Seconds to wait, 45 at most."},
        "priority": {"enum": ["interactive", "bulk"]},
    },
}
NAMED: dict[str, Any] = {
    "type": "object", "required": ["asset"], "additionalProperties": False, "properties": {"asset": {"type": "string"}},
}  # fmt: skip
GC: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "properties": {"dry_run": {"type": "boolean", "default": True}, "grace": {"type": "number"},
                   "recent": {"type": "number"}, "budget": {"type": "integer"}},
}  # fmt: skip
QUERY: dict[str, Any] = {"type": "object", "description": "asset, name, cid and facts; lists hold alternatives; limit."}


NUMBER: dict[str, Any] = {"type": "integer", "minimum": 0}
FLAG: dict[str, Any] = {"enum": ["0", "1", "false", "true", "no", "yes", ""]}
FORM: dict[str, dict[str, Any]] = {"format": {"enum": ["raw", "arrow", "tar"]}}
VERSION: dict[str, dict[str, Any]] = {"version": {"type": "integer", "minimum": 1}, "history": FLAG, "stale": FLAG}


async def openapi(visit: Visit) -> Response:
    """Describe all of this, as OpenAPI 3.1."""
    return JSONAnswer(await visit.in_thread(lambda: document(ROUTES)))


ROUTES: tuple[Endpoint, ...] = (
    Endpoint("POST", "/v1/materialize", "run", running.materialize, MATERIALIZE, also=(202,)),
    Endpoint("GET", "/v1/builds", "read", running.builds),
    Endpoint("GET", "/v1/builds/{key}", "read", running.build, query={"wait": NUMBER}),
    Endpoint("DELETE", "/v1/builds/{key}", "run", running.cancel),
    Endpoint(
        "POST", "/v1/assets", "write", uploads.add, None, 201, None, sends="application/octet-stream", also=(200, 204)
    ),
    Endpoint("GET", "/v1/uploads/{upload}", "write", uploads.offset),
    Endpoint("PATCH", "/v1/uploads/{upload}", "write", uploads.append, None, 204, sends=uploads.PART, also=(201,)),
    Endpoint("DELETE", "/v1/uploads/{upload}", "write", uploads.drop, None, 204),
    Endpoint("GET", "/v1/assets/{ref}", "read", reading.asset),
    Endpoint("GET", "/v1/assets/{ref}/data", "read", reading.data, query=FORM, also=(206, 304)),
    Endpoint("GET", "/v1/assets/{ref}/data/{inside:path}", "read", reading.data, query=FORM, also=(206, 304)),
    Endpoint("GET", "/v1/assets/{ref}/lineage", "read", reading.lineage),
    Endpoint("GET", "/v1/assets/{ref}/dependents", "read", reading.dependents),
    Endpoint("GET", "/v1/assets/{ref}/records", "read", reading.records),
    Endpoint("GET", "/v1/names", "read", reading.names),
    Endpoint("GET", "/v1/names/{name:path}", "read", reading.name, query=VERSION),
    Endpoint("PUT", "/v1/names/{name:path}", "write", reading.set_name, NAMED),
    Endpoint("GET", "/v1/catalog", "read", reading.catalog_list, query={"word": {"type": "string"}}),
    Endpoint("GET", "/v1/catalog/{ref:path}", "read", reading.catalog_entry),
    Endpoint("POST", "/v1/query", "read", reading.query, QUERY),
    Endpoint("GET", "/v1/runs", "read", reading.runs, query={"limit": NUMBER}),
    Endpoint("GET", "/v1/runs/{run}", "read", reading.run),
    Endpoint("POST", "/v1/gc", "admin", reading.gc, GC),
    Endpoint("GET", "/ipfs/{path:path}", "read", gateway.ipfs, query=None, also=(206, 301, 304)),
    Endpoint("GET", "/metrics", "read", metrics.metrics),
    Endpoint("GET", "/openapi.json", "read", openapi),
)
