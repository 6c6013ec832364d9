"""``stargazer app``: the home page of notebooks, files and runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from stargazer.cli.options import JSON, STORE, open_store, print_json, say

__all__ = ["app"]


def app(
    root: Annotated[
        Path, typer.Argument(metavar="[ROOT]", help="Folder of the notebooks; it is made where it is not there.")
    ] = Path("notebooks"),
    port: Annotated[int | None, typer.Option(help="Where it listens; the first free one from 8765 on.")] = None,
    host: Annotated[
        str, typer.Option(help="Where to listen; 0.0.0.0 in a container, whose port is published to 127.0.0.1 only.")
    ] = "127.0.0.1",
    no_open: Annotated[bool, typer.Option("--no-open", help="Do not open a browser.")] = False,
    base_url: Annotated[str, typer.Option("--base-url", metavar="PATH", help="Below which a proxy shows it.")] = "",
    trust_proxy: Annotated[
        Path | None,
        typer.Option("--trust-proxy", metavar="FILE", help="With the secret of a proxy that knows who comes."),
    ] = None,
    idle: Annotated[
        str, typer.Option(metavar="TIME", help="Notebooks that nobody looks at are stopped after it; 0: never.")
    ] = "12h",
    store: STORE = None,
    json: JSON = False,
) -> None:
    """Serve a home page of notebooks, files and runs to yourself, in a browser.

    The first line on stdout is its address, with a token that lets in whoever has it. It ends with Ctrl-C, and all
    notebooks that it opened end with it.
    """
    from dask.utils import parse_timedelta

    from stargazer.errors import ToolMissing

    try:
        seconds = float(parse_timedelta(idle))
    except (ValueError, KeyError):
        raise typer.BadParameter(f"--idle {idle}: give a time, as 90m or 12h") from None
    try:
        from stargazer.app.server import serve
    except ModuleNotFoundError as error:
        raise ToolMissing(f"the app wants {error.name}: pip install 'stargazer-dask[app]'") from None

    def opened(address: str) -> None:
        import webbrowser

        webbrowser.open(address)

    def said(address: str) -> None:
        print_json({"url": address}) if json else say(address)
        say(f"notebooks are in {root.resolve()}, files in {opened_store.url}; Ctrl-C ends it", err=True)

    opened_store = open_store(store)
    serve(
        root.absolute(), port=port, host=host, base_url=base_url, trust_proxy=trust_proxy, idle=seconds,
        store=opened_store, said=said, opened=None if no_open else opened,
    )  # fmt: skip
