"""Tools on flows: how the notebooks of ``notebook.yml`` stand, and what does not fit together."""

from pathlib import Path
from typing import Annotated, Any

from anyio import to_thread
from mcp.server.mcpserver import Context
from pydantic import BaseModel, Field

from stargazer.errors import NotFound
from stargazer.mcp.answers import page
from stargazer.mcp.catalog import Cursor
from stargazer.mcp.hints import READS, tool
from stargazer.mcp.place import Place
from stargazer.mcp.roots import roots_of
from stargazer.mcp.shapes import NEXT
from stargazer.notebook import flow

__all__ = ["FlowTools"]

Folder = Annotated[str, Field(description="A folder that the server may read; what lies below is looked at.")]


class FlowsOut(BaseModel):
    """A page of what was found."""

    found: list[dict[str, Any]]
    errors: int
    next_cursor: str | None = Field(default=None, description=NEXT)


class FlowTools:
    """Tools on flows.

    Parameters
    ----------
    place
        What the server works on.
    """

    def __init__(self, place: Place) -> None:
        self.place = place

    @tool(READS)
    async def notebook_status(self, ctx: Context[Any, Any], folder: Folder = ".", cursor: Cursor = None) -> FlowsOut:
        """Say how the notebooks of a flow (notebook.yml) stand: each file, whether it is in step, and its pages."""
        where = await self._folder(folder, ctx)
        flows = await to_thread.run_sync(flow.status, where)
        rows = [{"flow": each.name, **book.to_dict()} for each in flows for book in each.books]
        chosen, following = page(rows, cursor, 200, ["notebook_status", str(where)], lambda row: row)
        return FlowsOut(found=chosen, errors=sum(bool(row["problem"]) for row in rows), next_cursor=following)

    @tool(READS)
    async def audit_notebooks(self, ctx: Context[Any, Any], folder: Folder = ".", cursor: Cursor = None) -> FlowsOut:
        """Say what does not fit together in flows: files, entries, the tasks that notebooks are about, and pages."""
        where = await self._folder(folder, ctx)
        rows = [each.to_dict() for each in await to_thread.run_sync(flow.audit, where)]
        chosen, following = page(rows, cursor, 200, ["audit_notebooks", str(where)], lambda row: row)
        return FlowsOut(found=chosen, errors=sum(row["level"] == "error" for row in rows), next_cursor=following)

    async def _folder(self, folder: str, ctx: Context[Any, Any]) -> Path:
        """A folder whose flows all lie where the server may read: that of a folder may lie above it."""
        roots = await roots_of(ctx)
        where = self.place.folders.place(folder, roots)
        if not where.is_dir():
            raise NotFound(f"there is no folder {folder[:500]}")
        for each in await to_thread.run_sync(flow.find_flows, where):
            self.place.folders.place(str(each.root), roots)
            self.place.folders.file(str(each.folder), roots)
        return where
