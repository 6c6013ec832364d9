"""The packages that a notebook's header asks for (PEP 723): its cells are only run where they are."""

from __future__ import annotations

import importlib.metadata
import platform
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from packaging.specifiers import SpecifierSet

    from stargazer.notebook.document import Document

__all__ = ["missing_packages"]


def missing_packages(document: Document) -> list[str]:
    """Say what the header asks for and this environment lacks, each with what is here in its place.

    Parameters
    ----------
    document
        A notebook; one without such a header lacks nothing.
    """
    from packaging.requirements import InvalidRequirement, Requirement
    from packaging.specifiers import InvalidSpecifier, SpecifierSet

    script = document.script
    wrong: list[str] = []
    try:
        if not SpecifierSet(str(script.get("requires-python", ""))).contains(platform.python_version()):
            wrong.append(f"Python {script['requires-python']} (this is {platform.python_version()})")
    except InvalidSpecifier as error:
        wrong.append(str(error))
    for text in script.get("dependencies", ()):
        try:
            wanted = Requirement(str(text))
        except InvalidRequirement as error:
            wrong.append(f"{text} ({error})")
            continue
        if wanted.marker is None or wanted.marker.evaluate():
            wrong += _lacking(wanted.name, str(text), wanted.specifier)
    return wrong


def _lacking(name: str, text: str, specifier: SpecifierSet) -> list[str]:
    try:
        version = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return [f"{text} (not installed)"]
    return [] if specifier.contains(version, prereleases=True) else [f"{text} (here: {version})"]
