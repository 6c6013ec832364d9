"""What programs may read without asking for anything to be done."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from mcp.server.mcpserver import Context  # noqa: TC002 - the server reads annotations

from stargazer import catalog, config
from stargazer.catalog.outline import outline
from stargazer.ledger import Ledger
from stargazer.mcp.answers import clip, fitted, without_secrets
from stargazer.mcp.lineage import call_told
from stargazer.mcp.notebooks import notebook_file, notebook_text
from stargazer.mcp.runs import flight_told, kept_told
from stargazer.runs import get as get_run
from stargazer.store.references import find_asset

if TYPE_CHECKING:
    from mcp.server.mcpserver import MCPServer

    from stargazer.mcp.place import Place

__all__ = ["add_resources", "config_told"]

JSON = "application/json"


def add_resources(server: MCPServer[Any], place: Place) -> None:
    """Add the resources of a place to its server."""

    @server.resource("stargazer://config", mime_type=JSON)
    def configuration() -> str:
        """Settings in force, without secrets."""
        return _json(config_told(place))

    @server.resource("stargazer://catalog", mime_type=JSON)
    def entries() -> str:
        """Names and first lines of all tasks and workflows."""
        rows = [[line.name, line.category, line.summary] for line in outline()]
        return json.dumps({"columns": ["name", "category", "description"], "rows": rows}, indent=0)

    @server.resource("stargazer://assets/{cid}", mime_type=JSON)
    def asset(cid: str) -> str:
        """What is known of a file: facts, companions, the calls that made it."""
        return _json(_asset_told(place, cid))

    @server.resource("stargazer://runs/{id}", mime_type=JSON)
    def run(id: str) -> str:
        """How a run stands; changes are told to who subscribes."""
        flight = place.flights.find(id)
        told = flight_told(place, flight) if flight else kept_told(place, get_run(id, place.store))
        return _json(told.model_dump())

    @server.resource("stargazer://notebooks/{+path}", mime_type="text/plain")
    async def notebook(path: str, ctx: Context[Any, Any]) -> str:
        """The text of a notebook in a folder that the server may read."""
        text = await notebook_text(await notebook_file(place, path, ctx))
        piece, rest = clip(text, 0, 40_000)
        return piece if rest is None else f"{piece}\n… ({len(text) - rest} characters more: read_notebook has pages)"


def _asset_told(place: Place, cid: str) -> dict[str, Any]:
    found = find_asset(place.store, cid)
    records = Ledger(place.store.records).producers(str(found.cid))
    companions = [catalog.asset_json(each) for each in found.companions]
    return {
        **catalog.asset_json(found),
        "companions": companions,
        "made_by": [call_told(each) for each in records[:10]],
    }


def config_told(place: Place) -> dict[str, Any]:
    """Return the settings that an agent may see; of secrets only whether they are set."""
    from stargazer import __version__
    from stargazer.remotes.settings import configured

    entries = catalog.list()
    counts = {kind: sum(entry.category == kind for entry in entries) for kind in ("task", "workflow")}
    found = {
        "version": __version__,
        "store": without_secrets(place.store.url),
        "profile": config.setting("profile", str),
    }
    found |= {
        "runs_on": place.flights.on or "threads of the server",
        "remotes": [_remote(each) for each in configured()],
    }
    found |= {"pinata_jwt": "set" if config.secret("PINATA_JWT") else "unset"}
    found |= {"pinata_visibility": config.variable("PINATA_VISIBILITY") or "private"}
    return found | {"tasks": counts["task"], "workflows": counts["workflow"]} | _folders(place)


def _folders(place: Place) -> dict[str, Any]:
    return {} if place.is_remote else {"folders": [str(folder) for folder in place.folders.allowed]}


def _remote(remote: Any) -> str:
    return without_secrets(str(getattr(remote, "name", "") or type(remote).__name__))


def _json(value: Any) -> str:
    return json.dumps(fitted(value), indent=1, default=str)
