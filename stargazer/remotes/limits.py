"""How much is believed of what comes from outside before it is known to be what was asked for."""

from __future__ import annotations

__all__ = [
    "ATTEMPTS",
    "MOST_BLOCK",
    "MOST_DEPTH",
    "MOST_LINKS",
    "MOST_NESTED",
    "MOST_REDIRECTS",
    "MOST_STRIKES",
    "TIMEOUT",
]

MOST_BLOCK = 2 << 20
"""Bytes of one block: what IPFS nodes pass to each other at most."""
MOST_LINKS = 1 << 15
"""Links of one node; a block of 2 MiB could hold more, and no tool makes it."""
MOST_DEPTH = 16
"""Nodes above a leaf of one file: 2 links at each would be 16 GiB of least chunks, 174 are beyond any file."""
MOST_NESTED = 256
"""Directories in directories."""
MOST_REDIRECTS = 5
TIMEOUT = 30.0
"""Seconds in which a block must come whole."""
ATTEMPTS = 4
"""How often something is tried that failed for reasons which pass."""
MOST_STRIKES = 3
"""Failures after which a remote is asked no more for what is being fetched."""
