"""``materialize(inputs, transform)``: the artifact, known or made now."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stargazer import api
from stargazer.errors import ArgumentError, OutputError
from stargazer.ledger import Ledger, walk_assets
from stargazer.ledger.chosen import above, chosen
from stargazer.runs import run
from stargazer.runs.makeable import not_makeable
from stargazer.runs.planner import plan
from stargazer.service.artifact import Artifact
from stargazer.service.wanted import bind
from stargazer.store import active_store
from stargazer.store.names import place_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from stargazer.assets import Asset
    from stargazer.ledger.lineage import Direction, Lineage
    from stargazer.service.wanted import Wanted
    from stargazer.store import Store
    from stargazer.store.names import Version

__all__ = ["Here", "finished", "is_stale", "materialize"]


class Here:
    """Artifacts of a store of this process.

    Parameters
    ----------
    store
        The store.
    """

    def __init__(self, store: Store) -> None:
        self.store = store

    def fetch_file(self, asset: Asset) -> Path:
        """A real path of an asset, its companions beside it."""
        return api.fetch(asset, store=self.store, progress=False)

    def trace(self, asset: Asset, direction: Direction) -> Lineage:
        """Where it came from, or what was made of it."""
        return api.trace(asset, direction=direction, store=self.store)


def materialize(
    inputs: Sequence[Any] = (),
    transform: Mapping[str, Any] | str = "",
    name: str | None = None,
    refresh: bool = False,
    *,
    store: Store | None = None,
) -> Artifact:
    """Return what a transform makes of its inputs: known, or made now.

    Parameters
    ----------
    inputs
        Stored assets, calls that make them, CIDs, ids, ``stargazer://asset/…``, ``stargazer://name/NAME@3``, or URIs of
        tables. By position: swapped inputs are another artifact.
    transform
        ``{"executor": name, "params": {…}}``, or the name alone: of the catalog, ``module:task``, or what
        `stargazer.transform` registered; ``scan@v1`` reads tables.
    name
        Name that the result gets: the next version of it.
    refresh
        Run what is known once more.
    store
        Where; the active store by default.

    Raises
    ------
    ArgumentError
        Inputs or parameters do not fit.
    UnknownName
        There is no such transform.
    StoreError
        The name is none.
    RunFailed
        It was not known, and could not be made.

    Examples
    --------
    >>> import stargazer as sg
    >>> reference = sg.add("ref.fa", sg.Reference(build="b37"))
    >>> made = sg.materialize(inputs=[reference], transform={"executor": "samtools_faidx"}, name="b37/index")
    >>> made.asset.name, made.version, made.hit
    ('ref.fa.fai', 1, False)
    >>> sg.materialize([reference.id], "samtools_faidx").hit
    True
    """
    where = store or active_store()
    if name is not None:
        place_of(name)  # a wrong name is told before anything runs
    wanted = bind(inputs, transform, where)
    known = None if refresh else wanted.known()
    if known is None:
        wanted.note_origins()
    result = run(wanted.wired, again=True if refresh else None, name=wanted.ref).result() if known is None else known[0]
    return finished(wanted, result, hit=known is not None, name=name)


def finished(wanted: Wanted, result: Any, *, hit: bool, name: str | None = None, user: str | None = None) -> Artifact:
    """Return the artifact of a result; it gets its name here.

    Parameters
    ----------
    wanted
        What was asked for.
    result
        What its calls gave.
    hit
        Whether nothing ran.
    name
        That it shall have.
    user
        Who gives it that name; by default the user of this process.

    Raises
    ------
    OutputError
        There is no asset in it.
    """
    assets = list(walk_assets(result))
    if not assets:
        raise OutputError(f"{wanted.ref} gave {result!r:.80}, and no asset: an artifact has bytes")
    first = assets[0]
    version = named(wanted, first, name, user).version if name else None
    record = first.source.record if first.source is not None else None
    return Artifact(first, record, version, hit, wanted.key, tuple(assets[1:]), home=Here(wanted.store))


def named(wanted: Wanted, asset: Asset, name: str, user: str | None) -> Version:
    """Give the result of a request its name; what was asked for stands beside it."""
    can_be_asked_again = None not in wanted.request["inputs"]
    return wanted.store.names.set(name, asset, user=user, made=wanted.request if can_be_asked_again else None)


def is_stale(name: str, *, store: Store | None = None, own_code: bool = True) -> bool:
    """Say whether making what a name stands for again would run anything.

    What was asked for is asked for again, as of now: with the code that is here, the newest versions of names that were
    given without a number, and tables as they are. Of a name that was given by hand, whether the code that made it is
    still here.

    Parameters
    ----------
    name
        Of an artifact; its newest version counts.
    store
        Where; the active store by default.
    own_code
        Whether the request may name any module.

    Raises
    ------
    NotFound
        There is no such name, or an input of the request is gone.

    Examples
    --------
    >>> import stargazer as sg
    >>> reference = sg.add("ref.fa", sg.Reference(build="b37"))
    >>> made = sg.materialize([reference], "samtools_faidx", name="b37/faidx")
    >>> sg.is_stale("b37/faidx")
    False
    """
    where = store or active_store()
    version = where.names.get_version(name)
    if version.made is not None:
        wanted = bind(version.made["inputs"], version.made["transform"], where, own_code=own_code)
        return wanted.known() is None and bool(plan(wanted.wired).to_run)
    return _has_other_code(where, version)


def _has_other_code(store: Store, version: Version) -> bool:
    ledger = Ledger(store.records)
    producers = ledger.producers(version.asset.cid)
    if not producers:
        raise ArgumentError(f"{version} was added by a person: nothing says how it would be made again")
    records = above(ledger, chosen(ledger, version.asset))
    return bool(not_makeable(store, [record.id for record in records]))
