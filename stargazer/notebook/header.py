"""The header of a notebook (PEP 723): what it needs, and what it is called; changed without touching the rest."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

from stargazer.errors import NotebookError
from stargazer.notebook.plaintext import read_plain

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from stargazer.notebook.document import Document

__all__ = ["Block", "find_block", "read_requirements", "with_dependencies", "with_script", "with_tile"]

BEGIN, END = "# /// script", "# ///"


class Block(NamedTuple):
    """The metadata of a script, as they stand in its text.

    Parameters
    ----------
    start, stop
        Of its first character, and of the one after its last line.
    lines
        What is in it, without the comment signs.
    """

    start: int
    stop: int
    lines: list[str]


def find_block(text: str) -> Block | None:
    """Return the first block of metadata in a script (PEP 723); None where there is none.

    Each line is looked at once: a pattern would begin anew at each line that looks like the first, and a notebook of a
    megabyte of such lines would take hours.
    """
    start, at = -1, 0
    lines: list[str] = []
    for line in text.split("\n"):
        bare = line.rstrip()
        if start < 0:
            start, lines = (at if bare == BEGIN else -1), []
        elif bare == END:
            return Block(start, min(at + len(line) + 1, len(text)), lines)
        elif bare == "#" or line.startswith("# "):
            lines.append(line.removesuffix("\r").removeprefix("#").removeprefix(" "))
        else:
            start = -1
        at += len(line) + 1
    return None


def with_script(document: Document, change: Callable[[Any], None]) -> str:
    """Return a notebook's text after a change of its header; comments in it stay.

    Parameters
    ----------
    document
        A ``.py`` notebook; one without a header gets one.
    change
        Is given the header as a document of tomlkit.

    Raises
    ------
    NotebookError
        The file has no place for a header, or what stands there is not TOML.
    """
    import tomlkit
    from tomlkit.exceptions import TOMLKitError

    if document.path.suffix != ".py":
        raise NotebookError(f"{document.path}: only .py notebooks have a header (PEP 723) that names packages")
    found = find_block(document.text)
    try:
        toml = tomlkit.parse("\n".join(found.lines if found else ()))
        change(toml)
    except (TOMLKitError, ValueError, RecursionError) as error:
        raise NotebookError(f"{document.path}: the header of the script is not TOML: {error}") from None
    content = "".join(f"# {line}".rstrip() + "\n" for line in tomlkit.dumps(toml).strip("\n").splitlines())
    block = f"# /// script\n{content}# ///\n"
    if found:
        return document.text[: found.start] + block + document.text[found.stop :]
    first = re.match(r"(#!.*\n)?(#.*coding[:=].*\n)?", document.text)
    at = first.end() if first else 0
    return f"{document.text[:at]}{block}{document.text[at:]}"


def with_dependencies(document: Document, add: Sequence[str] = (), remove: Sequence[str] = ()) -> str:
    """Return a notebook's text with other packages in its header; one that is there is replaced.

    Raises
    ------
    NotebookError
        A requirement cannot be read, or one that should go is not there.
    """
    import tomlkit

    wanted = {_name_of(text): text for text in add}
    gone = {_name_of(text) for text in remove}

    def change(toml: Any) -> None:
        there = [str(text) for text in toml.get("dependencies", [])]
        if missing := gone - {_name_of(text) for text in there}:
            raise NotebookError(f"{document.path}: {', '.join(sorted(missing))} is not in its header")
        kept = [wanted.pop(_name_of(text), text) for text in there if _name_of(text) not in gone]
        array = tomlkit.array()
        array.extend([*kept, *wanted.values()])
        toml["dependencies"] = array.multiline(len(array) > 1)
        toml.setdefault("requires-python", ">=3.11")

    return with_script(document, change)


def _name_of(text: str) -> str:
    from packaging.requirements import InvalidRequirement, Requirement
    from packaging.utils import canonicalize_name

    try:
        return canonicalize_name(Requirement(text).name)
    except InvalidRequirement as error:
        raise NotebookError(f"{text!r} is no requirement: {str(error).splitlines()[0]}") from None


def with_tile(document: Document, **told: Any) -> str:
    """Return a notebook's text with a title, a description and the like below ``[tool.stargazer]``."""

    def change(toml: Any) -> None:
        section = toml.setdefault("tool", {}).setdefault("stargazer", {})
        for name, value in told.items():
            section[name] = value

    return with_script(document, change)


def read_requirements(path: Path) -> list[str]:
    """Read what a ``requirements.txt`` or an ``environment.yml`` asks for.

    Raises
    ------
    NotebookError
        It cannot be read, or says what no header can: other files, packages of conda that are none of Python's.
    """
    try:
        text = read_plain(path)
    except (OSError, UnicodeDecodeError) as error:
        raise NotebookError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from None
    lines = _of_conda(text, path) if path.suffix in (".yml", ".yaml") else text.splitlines()
    found = [line.partition(" #")[0].strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]
    if options := [line for line in found if line.startswith("-")]:
        raise NotebookError(f"{path}: {options[0]!r} cannot stand in a header; name the packages")
    for line in found:
        _name_of(line)
    return found


def _of_conda(text: str, path: Path) -> list[str]:
    """Packages of an environment of conda, as pip names them; Python itself is left out."""
    import yaml

    try:
        listed = (yaml.safe_load(text) or {}).get("dependencies", [])
    except (yaml.YAMLError, AttributeError) as error:
        raise NotebookError(f"{path} is no environment of conda: {error}") from None
    found: list[str] = []
    for each in listed:
        if isinstance(each, dict):
            found += each.get("pip", [])
        elif not re.match(r"(python|pip)\b(?!-)", str(each)):
            found.append(_from_conda(str(each).rpartition("::")[2]))
    return found


def _from_conda(text: str) -> str:
    """``numpy=1.26=py311_0`` as pip has it: ``numpy==1.26.*``; what has an operator is as it is."""
    name, equal, version = text.partition("=")
    if not equal or name[-1:] in "<>!~":
        return text
    exact = version.startswith("=")
    return f"{name}=={version.lstrip('=').partition('=')[0]}{'' if exact else '.*'}"
