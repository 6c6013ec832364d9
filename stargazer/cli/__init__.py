"""The command ``stargazer``."""

from __future__ import annotations

__all__ = ["main"]


def main() -> None:
    """Run the command line; exits with 0, 1 if it failed, 2 if it was wrongly used."""
    import sys

    for stream in (sys.stdout, sys.stderr):
        # A terminal that lacks a character gets it escaped, rather than a traceback.
        if stream is not None:
            stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    if sys.argv[1:3] == ["nb", "run"]:
        from stargazer.cli.known import answer_known

        if answer_known(sys.argv[1:]):
            return

    from typer._completion_classes import completion_init

    from stargazer.cli.app import app

    completion_init()  # a shell that asks what may follow is answered in place of a command
    app(prog_name="stargazer")
