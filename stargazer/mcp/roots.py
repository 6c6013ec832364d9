"""The folders that a client says it works in."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import anyio
from mcp.shared.exceptions import MCPDeprecationWarning, MCPError, NoBackChannelError

from stargazer.mcp.folders import folders_of_roots

if TYPE_CHECKING:
    from pathlib import Path

    from mcp.server.mcpserver import Context

__all__ = ["roots_of"]

PATIENCE = 5.0


async def roots_of(ctx: Context[Any, Any]) -> list[Path] | None:
    """Return the client's roots; None where it has none to tell, as no client of the newest protocol has.

    Parameters
    ----------
    ctx
        Of the request.
    """
    told = ctx.client_capabilities
    if told is None or told.roots is None:
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MCPDeprecationWarning)
        try:
            with anyio.fail_after(PATIENCE):
                found = await ctx.session.list_roots()
        except NoBackChannelError:
            return None
        except (MCPError, TimeoutError):
            return []  # it has roots and does not tell them: nothing is allowed
    return folders_of_roots(str(root.uri) for root in found.roots)
