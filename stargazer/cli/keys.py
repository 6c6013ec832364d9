"""``stargazer keys``: the key that signs what this user runs, and the end of keys that were stolen."""

from __future__ import annotations

from typing import Annotated

import typer

from stargazer.cli.options import JSON, examples, print_json, say

__all__ = ["app"]

app = typer.Typer(
    no_args_is_help=True, rich_markup_mode=None, help="Make, show or revoke the key that signs your results."
)


@app.command(epilog=examples("keys make"))
def make(json: JSON = False) -> None:
    """Make your key; without this it is made when the first call runs. It signs what you run.

    The private key stays in a file that only you may read. Others believe what you signed if their settings name the
    public key that is printed.
    """
    from stargazer import config
    from stargazer.remotes.trust import make_key

    public = make_key()
    if json:
        print_json({"public": public, "file": str(config.key_file())})
        return
    say(public)
    say(f"the private key is in {config.key_file()}; others name the public one in stargazer.trust", err=True)


@app.command(epilog=examples("keys revoke", "keys revoke --since 2026-11-29T20:00:00Z"))
def revoke(
    key: Annotated[
        str, typer.Argument(metavar="[KEY]", help="A colleague's key, as `keys show` told it; your own by default.")
    ] = "",
    since: Annotated[str, typer.Option(metavar="TIME", help="Since when others may have it; now by default.")] = "",
    json: JSON = False,
) -> None:
    """Let what a key signed from some time on count as unsigned.

    Your own is put away, and a new one is made at the next use. Others learn of it by the line that is printed, which
    goes into their settings.
    """
    from datetime import UTC, datetime

    from stargazer.ledger.signatures import retire_key

    try:
        moment = datetime.fromisoformat(since) if since else datetime.now(UTC)
    except ValueError:
        raise typer.BadParameter(f"{since!r} is no time; write 2026-11-29T20:00:00Z", param_hint="--since") from None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    name = retire_key(key, moment)
    told = moment.isoformat(timespec="seconds")
    if json:
        print_json({"public": name, "since": told})
        return
    say(f"revoked: {{'{name}': '{told}'}}")
    say("others write that line into their settings, below stargazer", err=True)


@app.command(epilog=examples("keys show"))
def show(json: JSON = False) -> None:
    """Print your public key, for others to name in stargazer.trust."""
    from stargazer.remotes.trust import public_key

    public = public_key()
    print_json({"public": public}) if json else say(public)
