"""``stargazer serve``: the core as a service."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stargazer.cli.options import JSON, STORE, chosen_profile, print_json, say
from stargazer.errors import ToolMissing

if TYPE_CHECKING:
    from stargazer.service.settings import Settings

__all__ = ["serve"]

HOST, PORT = "127.0.0.1", 8765


def serve(
    host: Annotated[str, typer.Option(help="Where to listen; beyond this machine only with tokens or a proxy.")] = HOST,
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 for any that is free.")] = PORT,
    on: Annotated[
        str | None, typer.Option("--on", metavar="PROFILE", help="Where runs go; else threads of this process.")
    ] = None,
    stdio: Annotated[
        bool, typer.Option("--stdio", help="Serve the Model Context Protocol on stdin and stdout instead.")
    ] = False,
    new_token: Annotated[
        str | None, typer.Option("--new-token", metavar="NAME", help="Make a token for somebody, print it, and end.")
    ] = None,
    tenant: Annotated[str | None, typer.Option(help="Whose store the new token is for.")] = None,
    store: STORE = None,
    json: JSON = False,
) -> None:
    """Serve materialize, assets, names and the catalog over HTTP, and what the store has by CID.

    Prints its address first. With --json that is an object, one line.
    """
    try:
        from stargazer.service.settings import new_token as make_token
        from stargazer.service.settings import read_settings
    except ImportError:
        raise ToolMissing("the service wants Starlette: pip install 'stargazer-dask[service]'") from None
    if stdio:
        from stargazer.cli.mcp import mcp

        mcp(store=store, on=on)
        return
    settings = read_settings(store)
    if new_token is not None:
        _print_token(*make_token(new_token, _tenant(settings, tenant)), json)
        return
    _serve(settings, host, port, on, json)


def _tenant(settings: Settings, wanted: str | None) -> str:
    if wanted is not None and wanted not in settings.stores:
        raise typer.BadParameter(f"there is no tenant {wanted}; there are {', '.join(settings.stores)}")
    return wanted or next(iter(settings.stores))


def _print_token(token: str, line: str, json: bool) -> None:
    if json:
        print_json({"token": token, "setting": line})
        return
    say(token)
    say(f"nothing keeps this token; what lets it in is a line of stargazer.service.tokens:\n  - {line}", err=True)


def _serve(settings: Settings, host: str, port: int, on: str | None, json: bool) -> None:
    from stargazer.service.application import application
    from stargazer.service.peers import can_tell
    from stargazer.service.serving import check_host
    from stargazer.service.serving import serve as run

    check_host(host, settings)
    with ExitStack() as stack:
        client = None
        if on is not None:
            from stargazer.client import connect

            chosen_profile(on)
            client = stack.enter_context(connect(on))
        app = application(settings, client=client, mounts=_mounts(settings, host, on))

        own = settings.is_open and can_tell()

        def told(url: str) -> None:
            import json as json_module
            import sys

            say(json_module.dumps({"url": url, "stores": list(settings.stores)}) if json else url)
            sys.stdout.flush()
            if settings.is_open and not (own and json):
                who = "only you" if own else "this system does not tell whose a connection is: anybody on this machine"
                say(f"{who} may ask; stargazer serve --new-token NAME makes tokens", err=True)

        run(app, host, port, told, own=own)


def _mounts(settings: Settings, host: str, on: str | None) -> dict[str, Any]:
    """The Model Context Protocol on the same port: for the only tenant, to whoever may do all with it.

    Without tokens of the service it asks for this user's own, as `stargazer mcp --http` does.
    """
    if len(settings.stores) > 1 or settings.proxy is not None:
        return {}
    try:
        from stargazer.mcp.http import LOOPBACK, http_app
    except ImportError:  # without the extra mcp
        return {}
    (store,) = settings.stores.values()
    own = (f"[{host}]" if ":" in host else host).lower()
    token = settings.lets_do_all if settings.tokens else None
    return {"/mcp": http_app(store, token, hosts=(*LOOPBACK, own), on=on)}
