"""The samtools and bcftools programs inside pysam, and the two that htslib brings along.

References
----------
samtools(1), bcftools(1), bgzip(1), tabix(1): https://www.htslib.org/doc/
"""

from __future__ import annotations

import sys
from functools import partial
from importlib import import_module
from importlib.util import find_spec, module_from_spec
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["TOOLS"]


def _programs() -> Any:
    """``pysam.libcutils``, which runs the programs, without what ``import pysam`` brings for Python.

    Those modules take a third of a tool's start, and a workflow starts a dozen tools a sample.
    """
    spec = None if "pysam" in sys.modules else find_spec("pysam")
    if spec is not None:
        sys.modules["pysam"] = module_from_spec(spec)  # where its parts are found; nothing of it has run
    try:
        return import_module("pysam.libcutils")
    finally:
        if spec is not None:
            del sys.modules["pysam"]  # who imports it later gets all of it


def _dispatch(collection: str, arguments: Sequence[str]) -> int:
    command, *rest = arguments or ["help"]
    # None lets what the program prints through; False would throw it away.
    code: int
    code, messages, _ = _programs()._pysam_dispatch(collection, command, rest, catch_stdout=None)
    sys.stderr.write(messages if isinstance(messages, str) else messages.decode("utf-8", "replace"))
    return code & 0xFF


def _bgzip(arguments: Sequence[str]) -> int:
    """``bgzip -c [FILE]``: compress FILE, or stdin, to stdout."""
    names = [argument for argument in arguments if argument != "-c"]
    if len(names) > 1 or any(name.startswith("-") for name in names):
        raise ValueError(f"only 'bgzip -c [FILE]' is there, not {' '.join(arguments)!r}")
    import pysam

    pysam.tabix_compress(names[0] if names else "/dev/stdin", "-", force=True)
    return 0


def _tabix(arguments: Sequence[str]) -> int:
    """``tabix -p gff|bed|sam|vcf FILE``: write FILE.tbi."""
    if len(arguments) != 3 or arguments[0] != "-p":
        raise ValueError(f"only 'tabix -p PRESET FILE' is there, not {' '.join(arguments)!r}")
    import pysam

    pysam.tabix_index(arguments[2], preset=arguments[1], force=True)  # type: ignore[arg-type]
    return 0


TOOLS: dict[str, Callable[[Sequence[str]], int]] = {
    "bcftools": partial(_dispatch, "bcftools"),
    "bgzip": _bgzip,
    "samtools": partial(_dispatch, "samtools"),
    "tabix": _tabix,
}
