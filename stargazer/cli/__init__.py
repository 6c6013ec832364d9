"""The command ``stargazer``."""

from __future__ import annotations

__all__ = ["main"]


def main() -> None:
    """Run the command line; exits with 0, 1 if it failed, 2 if it was wrongly used."""
    from stargazer.cli.app import app

    app()
