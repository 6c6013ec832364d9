"""Where a tool comes from: a pip package (embedded) or PATH (native); and the pipe that several tasks make of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias

from stargazer.tools import EMBEDDED

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    Argument = str | int | Path

__all__ = ["Engine", "command", "label", "norm_commands", "tools"]

Engine: TypeAlias = Literal["embedded", "native"]
"""``"embedded"``: the tool inside a Python package, installed with Stargazer; ``"native"``: the binary on PATH."""

PACKAGES = {"bwa": "pybwa", "samtools": "pysam", "bcftools": "pysam"}
"""Python package that holds each embedded tool."""


def command(tool: str, engine: Engine) -> tuple[str, ...]:
    """Start of a tool's argument list."""
    return (*EMBEDDED, tool) if engine == "embedded" else (tool,)


def tools(*names: str) -> Callable[..., list[str]]:
    """The ``tools=`` of a task that runs these tools from the engine it is called with."""

    def of_engine(engine: Engine) -> list[str]:
        return sorted({PACKAGES[name] for name in names}) if engine == "embedded" else list(names)

    return of_engine


def label(tool: str, engine: Engine) -> str:
    """How facts name what made a file: ``"bwa"`` for the binary, ``"bwa (pybwa)"`` for the embedded one."""
    return f"{tool} ({PACKAGES[tool]})" if engine == "embedded" else tool


def norm_commands(engine: Engine, given: Sequence[Argument], view: Sequence[Argument]) -> list[list[Argument]]:
    """Stages of a pipe that left-aligns and trims alleles, writes them in upper case, and compresses the VCF."""
    bcftools = [*command("bcftools", engine)]
    return [
        [*bcftools, "norm", "--no-version", "-Ov", *given],
        [*EMBEDDED, "vcf"],
        [*bcftools, "view", "--no-version", "-Oz", *view],
    ]
