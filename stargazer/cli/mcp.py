"""``stargazer mcp``: what can be called, for programs that speak the Model Context Protocol."""

from __future__ import annotations

from typing import Annotated

import typer

from stargazer.cli.options import JSON, STORE, print_json, say

__all__ = ["mcp"]


def mcp(
    check: Annotated[
        bool, typer.Option("--check", help="Call every tool that only reads, through a client, and say how it went.")
    ] = False,
    http: Annotated[
        bool, typer.Option("--http", help="Over HTTP, for clients that do not start it themselves.")
    ] = False,
    port: Annotated[int, typer.Option(min=0, max=65535, help="For --http; any free one by default.")] = 0,
    host: Annotated[
        str, typer.Option(help="For --http: where to listen. Others than this machine want TLS in front.")
    ] = ("127.0.0.1"),
    on: Annotated[
        str | None, typer.Option("--on", metavar="PROFILE", help="Where runs take place; threads of the server else.")
    ] = None,
    store: STORE = None,
    json: JSON = False,
) -> None:
    """Serve tasks, workflows, files and notebooks to agents, over stdin and stdout.

    Clients such as Claude Code or Cursor start it themselves. Runs end when the client goes. With --http the first line
    of stdout is the address, and a bearer token is asked for.
    """
    _check_installed()
    if check:
        _check(store, json)
        return
    from stargazer.mcp import serve_http, serve_stdio

    if http:
        _tell_token()
        serve_http(store, host=host, port=port, on=on, ready=say)
    else:
        serve_stdio(store, on)


def _tell_token() -> None:
    """Show the token when it is made, and never again."""
    from stargazer import config
    from stargazer.mcp.token import kept_token

    if config.mcp_setting("verify"):
        return
    token, is_new = kept_token()
    kept = f"kept in {config.token_file()}"
    say(f"token: {token}  (shown this once, {kept})" if is_new else f"the token is {kept}", err=True)


def _check_installed() -> None:
    from importlib.util import find_spec

    from stargazer.errors import ToolMissing

    if find_spec("mcp") is None:
        raise ToolMissing("the library mcp is not installed: pip install 'stargazer-dask[mcp]'")


def _check(store: str | None, json: bool) -> None:
    from stargazer.mcp.check import check

    found = check(store)
    if json:
        print_json({"findings": [each._asdict() for each in found]})
    else:
        for each in found:
            say(f"{'ok    ' if each.ok else 'FAILED'}  {each.what}  {each.told}".rstrip())
    if not all(each.ok for each in found):
        raise typer.Exit(1)
