"""The catalog: which tasks and workflows there are, what they take, and calls of them from plain values."""

from __future__ import annotations

from builtins import list as List
from typing import TYPE_CHECKING, Any, NamedTuple

from stargazer.assets.fields import did_you_mean
from stargazer.calls import Call, Task
from stargazer.calls.arguments import bind as bind_arguments
from stargazer.catalog.given import Finder
from stargazer.catalog.kinds import Unfit
from stargazer.catalog.sources import all_entries
from stargazer.errors import ArgumentError, UnknownName
from stargazer.store import active_store

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stargazer.catalog.entries import Category, Entry
    from stargazer.store import Store

__all__ = ["Bound", "bind", "bind_entry", "get", "list", "schema", "words_of"]


class Bound(NamedTuple):
    """A task or workflow with its arguments: checked, and not called yet.

    Parameters
    ----------
    entry
        What is called.
    arguments
        By name, as Python takes them.
    store
        Where their assets are.
    """

    entry: Entry
    arguments: dict[str, Any]
    store: Store

    def wire(self) -> Any:
        """Return the calls that it makes in that store; nothing runs."""
        assert self.entry.function is not None
        with self.store:
            return self.entry.function(**self.arguments)


def list(category: Category | None = None, word: str | None = None) -> List[Entry]:
    """List tasks and workflows, by category and name.

    Parameters
    ----------
    category
        ``"task"`` or ``"workflow"``; both by default.
    word
        Only those that have it in their name, first line, parameters, outputs or tools; in any case of letters.

    Returns
    -------
    list of Entry
        Those too that cannot be imported here: their `how` says how to get what they need.

    Examples
    --------
    >>> [entry.name for entry in list(word="mark_dup")]
    ['gatk.mark_duplicates', 'general.mark_duplicates']
    """
    found = [entry for entry in all_entries() if category in (None, entry.category)]
    return found if not word else [entry for entry in found if word.lower() in words_of(entry)]


def words_of(entry: Entry) -> str:
    """What a search for a word looks in."""
    parts = [entry.name, entry.group, entry.summary]
    parts += [part for param in entry.params for part in (param.name, param.type)]
    parts += [part for output in entry.outputs for part in output]
    return "\n".join([*parts, *(tool.name for tool in entry.tools)]).lower()


def get(name: str) -> Entry:
    """Return an entry by its name, with or without its group.

    Raises
    ------
    UnknownName
        There is none of that name, or there are several; or it cannot be imported, and the message says what to do.

    Examples
    --------
    >>> get("gatk.mark_duplicates").outputs
    (Output(name='alignment', type='Alignment'), Output(name='metrics', type='DuplicateMetrics'))
    """
    entries = all_entries()
    found = [entry for entry in entries if name in (entry.name, entry.qualified)]
    found = found or [entry for entry in entries if name == entry.bare]
    if len(found) > 1:
        raise UnknownName(f"there are several of {name!r}: {', '.join(sorted(entry.name for entry in found))}")
    if not found:
        guess = did_you_mean(name, [*(entry.name for entry in entries), *(entry.bare for entry in entries)])
        raise UnknownName(f"no task or workflow is named {name!r}.{guess} `stargazer tasks` lists them")
    if found[0].function is None:
        raise UnknownName(f"{name} cannot be imported here: {found[0].how}")
    return found[0]


def schema(name: str) -> dict[str, Any]:
    """Return what a task or workflow takes, as JSON Schema 2020-12.

    Raises
    ------
    UnknownName
        As `get`.

    Examples
    --------
    >>> schema("samtools_sort")["properties"]["order"]["enum"]
    ['coordinate', 'queryname']
    """
    return get(name).schema()


def bind(name: str, values: Mapping[str, Any], *, store: Store | None = None) -> Bound:
    """Fit JSON values to what a task or workflow takes; `Bound.wire` makes the calls.

    Parameters
    ----------
    name
        As for `get`.
    values
        By name: as its schema says. Assets are CIDs, ids, URIs, the JSON of an asset, or objects of facts; from Python
        also assets themselves, and calls that make them.
    store
        Where assets are found; the active one by default.

    Raises
    ------
    UnknownName
        As `get`.
    ArgumentError
        Every value that does not fit, each with its place.
    """
    return bind_entry(get(name), values, store=store)


def bind_entry(entry: Entry, values: Mapping[str, Any], *, store: Store | None = None) -> Bound:
    """As `bind`, of an entry that is no part of the catalog, such as that of a function in a file."""
    where = active_store() if store is None else store
    finder, problems, arguments = Finder(where), List[str](), dict[str, Any]()
    known = {param.name: param for param in entry.params}
    for name in values:
        if name not in known:
            problems.append(f"no parameter {name!r}.{did_you_mean(str(name), known)}")
    lacking = [name for name, param in known.items() if param.required and name not in values]
    problems += [f"{', '.join(lacking)} missing"] if lacking else []
    for name in [name for name in known if name in values]:
        try:
            arguments[name] = known[name].kind.read(values[name], name, finder)
        except Unfit as error:
            problems.append(str(error))
    if problems:
        raise ArgumentError(f"{entry.name}: {'; '.join(problems)}; {usage(entry)}")
    if isinstance(entry.function, Task):
        bind_arguments(entry.name, entry.function.signature, Call, (), dict(arguments))
    return Bound(entry, arguments, where)


def usage(entry: Entry) -> str:
    """Say what an entry takes; what may be left out stands in brackets."""
    shown = ", ".join(param.name if param.required else f"[{param.name}]" for param in entry.params)
    return f"{entry.name} takes {shown or 'nothing'}"
