"""``/openapi.json``: the routes, and the parameters of every transform, from the catalog."""

from __future__ import annotations

import inspect
import re
from typing import TYPE_CHECKING, Any

from stargazer import catalog
from stargazer.service.transforms import transforms

if TYPE_CHECKING:
    from collections.abc import Iterable

    from stargazer.service.routes import Endpoint

__all__ = ["document"]

VARIABLE = re.compile(r"{(\w+)(?::path)?}")
PROBLEM: dict[str, Any] = {
    "type": "object",
    "required": ["type", "title", "status", "detail", "where"],
    "properties": {
        "type": {"type": "string", "description": "urn:stargazer:error: and the name of the error."},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "What was wrong, and what to do."},
        "where": {"type": "string", "description": "Part of the request."},
        "failures": {"type": "object", "description": "Errors of a run, by call."},
    },
}


ASSET: dict[str, Any] = {
    "type": "object",
    "required": ["cid", "id", "type", "name", "facts", "keyvalues", "size", "uri"],
    "properties": {
        "cid": {"type": "string", "description": "Content identifier of its bytes."},
        "id": {"type": "string", "description": "SHA-256 of type, CID, name, facts and companions."},
        "type": {"type": "string", "description": "Key of its type, as r1."},
        "name": {"type": "string", "description": "Its real name."},
        "facts": {"type": "object"},
        "keyvalues": {"type": "object", "description": "The same, as flat texts."},
        "size": {"type": ["integer", "null"], "description": "Bytes; null where they are gone."},
        "uri": {"type": "string", "description": "stargazer://asset/ and the CID."},
        "companions": {"type": "array", "items": {"$ref": "#/components/schemas/Asset"}},
    },
}


HEALTH: dict[str, Any] = {
    "operationId": "get_health_0",
    "summary": "Say that the service is here; anybody may ask.",
    "security": [],
    "responses": {"200": {"description": "It is here."}},
}


def document(routes: Iterable[Endpoint]) -> dict[str, Any]:
    """Return the description of the service: routes and transforms."""
    from stargazer import __version__

    paths: dict[str, Any] = {}
    for each in routes:
        paths.setdefault(VARIABLE.sub(r"{\1}", each.path), {})[each.method.lower()] = _operation(each)
    paths["/health"] = {"get": HEALTH}
    schemas = {"Asset": ASSET, "Problem": PROBLEM, **_transforms()}
    security = {"token": {"type": "http", "scheme": "bearer"}}
    return {
        "openapi": "3.1.0",
        "info": {"title": "Stargazer", "version": __version__},
        "paths": paths,
        "components": {"schemas": schemas, "securitySchemes": security},
        "security": [{"token": []}, {}],
    }


def _operation(each: Endpoint) -> dict[str, Any]:
    names = VARIABLE.findall(each.path)
    found: dict[str, Any] = {
        "operationId": f"{each.method.lower()}_{each.answer.__name__}_{len(names)}",
        "summary": (inspect.getdoc(each.answer) or "").partition("\n")[0],
        "x-scope": each.scope,
        "responses": {
            **{str(status): {"description": "It went well."} for status in (each.status, *each.also)},
            "default": {
                "description": "It did not.",
                "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
            },
        },
    }
    asked = [{"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in names]
    asked += [{"name": name, "in": "query", "schema": kind} for name, kind in (each.query or {}).items()]
    if asked:
        found["parameters"] = asked
    if each.body is not None:
        found["requestBody"] = {"required": True, "content": {"application/json": {"schema": each.body}}}
    elif each.sends:
        found["requestBody"] = {"required": True, "content": {each.sends: {}}}
    return found


def _transforms() -> dict[str, Any]:
    """Schemas of what transforms take, by name; their definitions within."""
    entries = [*transforms(), *(entry for entry in catalog.list() if entry.function is not None)]
    found = {re.sub(r"[^A-Za-z0-9._-]", "_", f"transform.{entry.name}"): entry.schema() for entry in entries}
    return {name: _placed(schema, f"#/components/schemas/{name}") for name, schema in found.items()}


def _placed(schema: Any, place: str) -> Any:
    """A schema whose references lead to its own definitions where it stands in a larger document."""
    if isinstance(schema, list):
        return [_placed(each, place) for each in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        name: f"{place}{each[1:]}"
        if name == "$ref" and isinstance(each, str) and each.startswith("#/")
        else _placed(each, place)
        for name, each in schema.items()
    }
