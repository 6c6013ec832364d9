"""Kinds of profiles that other installed packages bring."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from stargazer import plugins
from stargazer.errors import PluginError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from stargazer.profiles.profile import Profile

__all__ = ["ProfileKind", "find_kind", "kind_names"]


@dataclass(frozen=True)
class ProfileKind:
    """How profiles of one kind become a client.

    Parameters
    ----------
    connect
        Makes a `distributed.Client` of a profile. Workers should have the resources that `Profile.resources` tells.
    options
        Options of its own beside those of all workers (``workers``, ``cpus``, ``memory``, …), each with what makes a
        value of what stands in the settings: it raises `ValueError`, in words that say what must stand there, of what
        is none. They arrive in `Profile.options`.
    """

    connect: Callable[[Profile], Any]
    options: Mapping[str, Callable[[Any], Any]] = field(default_factory=dict)


def find_kind(name: str) -> ProfileKind | None:
    """The kind that an installed package offers under a name; None where none does.

    Raises
    ------
    PluginError
        It is no kind of profile, or cannot be imported.
    """
    found = plugins.find(plugins.PROFILES, name)
    if found is not None and not isinstance(found, ProfileKind):
        raise PluginError(f"what is offered as the profile kind {name!r} is {found!r}, and no ProfileKind")
    return found


def kind_names() -> list[str]:
    """Names of the kinds that installed packages offer; none is imported."""
    return [each.name for each in plugins.plugins(plugins.PROFILES)]
