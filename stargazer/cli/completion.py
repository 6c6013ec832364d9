"""``stargazer completion``: what shells need to complete commands and options."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from stargazer.cli.options import JSON, print_json, say

__all__ = ["completion"]

HOW = {
    "bash": "stargazer completion bash > ~/.local/share/bash-completion/completions/stargazer",
    "zsh": "stargazer completion zsh > ~/.zfunc/_stargazer, and fpath+=~/.zfunc before compinit in ~/.zshrc",
    "fish": "stargazer completion fish > ~/.config/fish/completions/stargazer.fish",
}


def completion(
    shell: Annotated[Literal["bash", "zsh", "fish"], typer.Argument(metavar="SHELL", help="bash, zsh or fish.")],
    json: JSON = False,
) -> None:
    """Print the script that completes commands and options in a shell."""
    from typer._completion_shared import get_completion_script

    script = get_completion_script(prog_name="stargazer", complete_var="_STARGAZER_COMPLETE", shell=shell)
    if json:
        print_json({"shell": shell, "script": script, "how": HOW[shell]})
        return
    say(script)
    say(f"to keep it: {HOW[shell]}", err=True)
