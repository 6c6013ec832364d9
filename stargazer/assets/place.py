"""The same asset in another place."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from stargazer.assets.asset import Asset

if TYPE_CHECKING:
    from pathlib import Path

    from stargazer.assets.source import Source

__all__ = ["placed"]

A = TypeVar("A", bound=Asset)


def placed(asset: A, path: Path, source: Source | None, companions: tuple[Asset, ...]) -> A:
    """The same asset in another place; its facts are checked already, and its id stays.

    Parameters
    ----------
    asset
        A stored asset.
    path, source
        Where it is now.
    companions
        The companions that it has, there too.
    """
    same = object.__new__(type(asset))
    same.__dict__.update(asset.__dict__, path=path, source=source, companions=companions)
    if path is not None and not asset.name:
        return replace(same, name=path.name)
    return same
