"""Start an embedded tool: ``python -m stargazer.embedded samtools sort -o sorted.bam unsorted.bam``."""

from __future__ import annotations

import signal
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

USAGE = "usage: python -m stargazer.embedded {bgzip,bcftools,bwa,fastq,samtools,sam,tabix,vcf} ARGUMENTS"


def _bwa(arguments: Sequence[str]) -> int:
    from stargazer.embedded import bwa

    return bwa.main(arguments)


def _fastq(arguments: Sequence[str]) -> int:
    from stargazer.embedded import fastq

    return fastq.main(arguments)


def _sam(arguments: Sequence[str]) -> int:
    from stargazer.embedded import sam

    return sam.main(arguments)


def _vcf(arguments: Sequence[str]) -> int:
    from stargazer.embedded import vcf

    return vcf.main(arguments)


def _from_pysam(name: str) -> Callable[[Sequence[str]], int]:
    def run(arguments: Sequence[str]) -> int:
        from stargazer.embedded import htslib

        return htslib.TOOLS[name](arguments)

    return run


TOOLS: dict[str, Callable[[Sequence[str]], int]] = {
    "bwa": _bwa,
    "fastq": _fastq,
    "sam": _sam,
    "vcf": _vcf,
    **{name: _from_pysam(name) for name in ("bcftools", "bgzip", "samtools", "tabix")},
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one embedded tool.

    Parameters
    ----------
    argv
        The tool's name and its arguments; the process's own by default.

    Returns
    -------
    int
        The tool's exit code; 2 where there is no such tool.
    """
    # A tool whose reader has gone ends by SIGPIPE, as its binary does.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    tool, *arguments = argv if argv is not None else sys.argv[1:] or [""]
    if tool not in TOOLS:
        print(f"no embedded tool is called {tool!r}\n{USAGE}", file=sys.stderr)
        return 2
    try:
        return TOOLS[tool](arguments)
    except (OSError, ValueError, EOFError) as error:
        print(f"{' '.join([tool, *arguments[:1]])}: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
