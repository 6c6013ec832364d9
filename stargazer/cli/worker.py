"""``stargazer worker serve``: runs cells that others send."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from stargazer.cli.options import JSON, examples, print_json, say

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Run cells that others send.")
TOKEN = "STARGAZER_WORKER_TOKEN"


@app.callback()
def worker() -> None:
    """Run cells that others send: an executor of protocol v1."""


@app.command(epilog=examples("worker serve", "worker serve --host 10.0.0.5 --port 8790 --memory '16 GiB' --at-once 4"))
def serve(
    host: Annotated[
        str, typer.Option(help="Where to listen. Others than this machine want TLS in front.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 for any that is free.")] = 8790,
    memory: Annotated[str, typer.Option(metavar="SIZE", help="Of one cell.")] = "4 GiB",
    seconds: Annotated[float, typer.Option(min=1, help="That one cell may take.")] = 3600.0,
    at_once: Annotated[int, typer.Option(min=1, help="Cells side by side.")] = 2,
    trust: Annotated[bool, typer.Option("--trust", help="Read and write pickles.")] = False,
    network: Annotated[bool, typer.Option("--network", help="Let cells use the network.")] = False,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(metavar="HOST", help="Of a private network, from which inputs may be fetched by signed URLs."),
    ] = None,
    json: JSON = False,
) -> None:
    """Run cells of others, each in a process of its own with limits on memory and time, and without a network.

    Prints its address first. A token is always asked for: that of STARGAZER_WORKER_TOKEN, else a new one, which is
    shown.
    """
    import secrets

    from dask.utils import parse_bytes

    from stargazer import config
    from stargazer.service.executor.worker import WorkerLimits, can_forbid_network, worker_application
    from stargazer.service.serving import serve as run

    try:
        limits = WorkerLimits(seconds, int(parse_bytes(memory)), at_once=at_once)
    except ValueError:
        raise typer.BadParameter(f"--memory {memory!r} is no size, as '4 GiB'") from None
    given = config.secret(TOKEN)
    token = given or f"sg_{secrets.token_urlsafe(32)}"
    application = worker_application(token, limits, trust=trust, network=network, allowed=allow_host or ())

    def told(url: str) -> None:
        if json:
            print_json({"url": url, **({} if given else {"token": token})})
        else:
            say(url)
        if not given and not json:
            say(f"token: {token}", err=True)
        if not network and not can_forbid_network():
            say("this system cannot forbid the network: cells may use it", err=True)
        sys.stdout.flush()

    run(application, host, port, told)
