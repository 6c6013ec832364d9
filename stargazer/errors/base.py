"""The root of the tree, settings and input data."""

from __future__ import annotations

__all__ = ["ConfigError", "DataError", "StargazerError"]


class StargazerError(Exception):
    """Base of all errors raised on purpose."""


class ConfigError(StargazerError):
    """A setting is missing or malformed."""


class DataError(StargazerError, ValueError):
    """Input data is malformed."""
