"""Refusals of batch systems, read: which are limits of the site, that end by themselves when a job ends."""

from __future__ import annotations

import re

__all__ = ["is_limit", "limited_to", "said"]

LIMIT = re.compile(
    r"QOS\w*(Max|Grp|Min)\w*|Assoc\w*(Max|Grp)\w*|Max\w*(Submit|Jobs?)\w*|job submit limit"
    r"|user's size and/or time limits|(job|queue|user)\w* limit|would exceed|too many (jobs|queued)"
    r"|maximum number of (jobs|queued)|exceeds? .*limit|only \d+ jobs are allowed|job threshold reached",
    re.IGNORECASE,
)
"""As SLURM, PBS, LSF and Grid Engine say that somebody has as many jobs as he may have."""

NUMBER = re.compile(
    r"(?:limit(?:ed)?(?: is| of| to)?|maximum of|at most|only(?= \d+ jobs are allowed))\s*[:=]?\s*(\d+)", re.IGNORECASE
)


def is_limit(why: str) -> bool:
    """Whether a refusal says that there are as many jobs as there may be."""
    return bool(LIMIT.search(why))


def limited_to(why: str) -> int | None:
    """The number that a refusal names as the limit, if it does."""
    found = NUMBER.search(why)
    return int(found[1]) if found and int(found[1]) else None


def said(text: str) -> str:
    """What a command of a batch system said, without what only its authors understand."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    chosen = [line for line in lines if re.search(r"\b(error|failure|failed)\b:?", line, re.IGNORECASE)] or lines[-3:]
    return "; ".join(dict.fromkeys(re.sub(r"^\w+: (error: )?", "", line) for line in chosen)) or "without a word"
