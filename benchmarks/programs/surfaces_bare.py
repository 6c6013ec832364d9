"""An MCP server of the SDK alone, with one tool that does nothing."""

from __future__ import annotations

from mcp.server.mcpserver import MCPServer
from pydantic import BaseModel


class Answer(BaseModel):
    """What it answers."""

    total: int


server: MCPServer = MCPServer("bare", log_level="WARNING")


@server.tool()
def known(n: int) -> Answer:
    """Add up."""
    return Answer(total=sum(range(n)))


if __name__ == "__main__":
    server.run("stdio")
