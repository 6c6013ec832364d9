"""``stargazer keys``: the key with which this user signs what is sent with its history."""

from __future__ import annotations

import typer

from stargazer.cli.options import JSON, examples, print_json, say

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Make or show the key that signs your results.")


@app.command(epilog=examples("keys make"))
def make(json: JSON = False) -> None:
    """Make your key. From then on `push --lineage` signs the records that it sends.

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


@app.command(epilog=examples("keys show"))
def show(json: JSON = False) -> None:
    """Print your public key, for others to name in stargazer.trust."""
    from stargazer.remotes.trust import public_key

    public = public_key()
    print_json({"public": public}) if json else say(public)
