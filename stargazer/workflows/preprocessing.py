"""From a FASTA and raw reads to what variant callers want.

Each workflow comes in two forms. `index_reference` and `align_sample` are functions of assets, or of the calls that
make them. `prepare_reference` and `preprocess_sample` find the assets by their facts in the active store. All return
calls: nothing runs until they are computed.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from stargazer.assets import Reference
from stargazer.errors import AssetError, NotFound
from stargazer.store import active_store
from stargazer.tasks.general import (
    attach_indices,
    bwa_index,
    bwa_mem,
    convert_alignment,
    create_sequence_dictionary,
    mark_duplicates,
    samtools_faidx,
)
from stargazer.workflows.gatk import other_tools
from stargazer.workflows.lanes import Lane, Versions, find_lanes, name_lanes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stargazer.calls import Call
    from stargazer.tasks.engines import Engine
    from stargazer.workflows.gatk import GermlineEngine

__all__ = ["align_sample", "index_reference", "prepare_reference", "preprocess_sample"]


def index_reference(reference: Reference | Call, *, engine: GermlineEngine = "embedded") -> Call:
    """Make all that aligners and callers want beside a reference.

    Parameters
    ----------
    reference
        FASTA.
    engine
        Where bwa and samtools come from; for ``"gatk"`` from PATH.

    Returns
    -------
    Call
        Of the `Reference` with a ReferenceIndex, a SequenceDict and bwa's AlignerIndex as companions.
    """
    source = other_tools(engine)
    indices = [task(reference, engine=source) for task in (samtools_faidx, create_sequence_dictionary, bwa_index)]
    return attach_indices(reference, indices)


def align_sample(reference: Reference | Call, lanes: Sequence[Lane], *, engine: Engine = "embedded") -> Call:
    """Align the reads of a sample, lane by lane, and mark duplicates within its libraries.

    Parameters
    ----------
    reference
        FASTA with bwa's index, as `index_reference` gives it.
    lanes
        Reads of the sample.
    engine
        Where bwa and samtools come from.

    Returns
    -------
    Call
        Of `Marked`: ``call.alignment`` is sorted by coordinate and has its index, ``call.metrics`` counts duplicates.

    Raises
    ------
    DataError
        No lanes, or two of one name.
    """
    alignments = [_aligned(reference, lane, engine) for lane in name_lanes(lanes)]
    return mark_duplicates(alignments, engine=engine)


def _aligned(reference: Reference | Call, lane: Lane, engine: Engine) -> Call:
    if lane.aligned is not None:
        return convert_alignment(lane.aligned, reference, to="bam", unmark=True, engine=engine)
    return bwa_mem(
        reference,
        lane.r1,
        lane.r2,
        lane=lane.name,
        library=lane.library,
        platform_unit=lane.platform_unit,
        engine=engine,
    )


def prepare_reference(build: str, *, engine: GermlineEngine = "embedded") -> Call:
    """`index_reference` of the reference with that build in the active store.

    Parameters
    ----------
    build
        Name of the assembly.
    engine
        Where bwa and samtools come from: ``"embedded"``, ``"native"``, or ``"gatk"``, beside which they are native.

    Raises
    ------
    NotFound
        There is none.
    AssetError
        There are several.
    """
    store = active_store()
    found = [
        one for one in store.assemble(asset="reference", build=build, missing="skip") if isinstance(one, Reference)
    ]
    if not found:
        raise NotFound(f"{store.url} has no reference {build!r}; add it: sg.add(path, sg.Reference(build={build!r}))")
    if len(found) > 1:
        raise AssetError(
            f"{len(found)} references are called {build!r}: {', '.join(map(repr, found))}; delete all but one"
        )
    # Indices that were stored since must not change what is asked for.
    return index_reference(replace(found[0], companions=()), engine=engine)


def preprocess_sample(
    build: str, sample_id: str, *, engine: Engine = "embedded", versions: Versions = "refuse"
) -> Call:
    """`align_sample` of all reads of a sample in the active store.

    Parameters
    ----------
    build
        Name of the assembly.
    sample_id
        The sample.
    engine
        Where the tools come from.
    versions
        ``"newest"`` takes the file that was added last where the store has several versions of one.

    Returns
    -------
    Call
        Of `Marked`.

    Raises
    ------
    NotFound
        No such reference, or no reads of that sample.
    DataError
        Which R2 belongs to which R1 is not clear, or a file has several versions.
    """
    return align_sample(prepare_reference(build, engine=engine), find_lanes(sample_id, versions), engine=engine)
