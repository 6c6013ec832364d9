"""From a FASTA and raw reads to what variant callers want.

Each workflow comes in two forms. `index_reference` and `align_sample` are functions of assets, or of the calls that
make them. `prepare_reference` and `preprocess_sample` find the assets by their facts in the active store. All return
calls: nothing runs until they are computed.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from stargazer.assets import Reference
from stargazer.errors import AssetError, DataError, NotFound
from stargazer.store import active_store
from stargazer.tasks.general import (
    attach_indices,
    bwa_index,
    bwa_mem2_index,
    create_sequence_dictionary,
    mark_duplicates,
    samtools_faidx,
    unpack_reference,
)
from stargazer.workflows.aligning import PLAIN, ReadOptions, align_lane
from stargazer.workflows.gatk import GatkOptions, align_with_gatk, other_tools, parts_to_recalibrate, with_known_sites
from stargazer.workflows.lanes import Lane, check_lanes, find_lanes, name_lanes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stargazer.calls import Call
    from stargazer.tasks.engines import Engine
    from stargazer.workflows.aligning import Aligner
    from stargazer.workflows.gatk import GermlineEngine

__all__ = ["align_sample", "index_reference", "prepare_reference", "preprocess_sample", "unpacked"]

PACKED = (".gz", ".bgz")


def index_reference(
    reference: Reference | Call, *, engine: GermlineEngine = "embedded", aligner: Aligner = "bwa"
) -> Call:
    """Make all that aligners and callers want beside a reference.

    Parameters
    ----------
    reference
        FASTA; one that is compressed is unpacked first.
    engine
        Where bwa and samtools come from; for ``"gatk"`` from PATH.
    aligner
        The aligner whose index is made.

    Returns
    -------
    Call
        Of the `Reference` with a ReferenceIndex, a SequenceDict and the aligner's AlignerIndex as companions.
    """
    source, fasta = other_tools(engine), unpacked(reference)
    indices: list[Any] = [task(fasta, engine=source) for task in (samtools_faidx, create_sequence_dictionary)]
    indices.append(bwa_mem2_index(fasta) if aligner == "bwa-mem2" else bwa_index(fasta, engine=source))
    return attach_indices(fasta, indices)


def unpacked(reference: Reference | Call) -> Reference | Call:
    """The reference, or a call that unpacks it, where the name of its file says that it is compressed."""
    if isinstance(reference, Reference) and reference.name.endswith(PACKED):
        return unpack_reference(reference)
    return reference


def align_sample(
    reference: Reference | Call, lanes: Sequence[Lane], *, engine: Engine = "embedded", reads: ReadOptions = PLAIN
) -> Call:
    """Align the reads of a sample, lane by lane, and mark duplicates within its libraries.

    Parameters
    ----------
    reference
        FASTA with bwa's index, as `index_reference` gives it.
    lanes
        Reads of the sample.
    engine
        Where bwa and samtools come from.
    reads
        Whether reads are trimmed, and what aligns them.

    Returns
    -------
    Call
        Of `Marked`: ``call.alignment`` is sorted by coordinate and has its index, ``call.metrics`` counts duplicates.

    Raises
    ------
    DataError
        No lanes, or two of one name.
    """
    named = name_lanes(lanes)
    alignments = [align_lane(reference, lane, engine, reads) for lane in named]
    return mark_duplicates(alignments, optical_distance=reads.optical(named).distance, engine=engine)


def prepare_reference(build: str, *, engine: GermlineEngine = "embedded", aligner: Aligner = "bwa") -> Call:
    """`index_reference` of the reference with that build in the active store.

    Parameters
    ----------
    build
        Name of the assembly.
    engine
        Where bwa and samtools come from: ``"embedded"``, ``"native"``, or ``"gatk"``, beside which they are native.
    aligner
        What the index is for: ``"bwa"`` or ``"bwa-mem2"``.

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
    return index_reference(replace(found[0], companions=()), engine=engine, aligner=aligner)


def preprocess_sample(
    build: str,
    sample_id: str,
    *,
    engine: GermlineEngine = "embedded",
    options: GatkOptions | None = None,
    reads: ReadOptions = PLAIN,
    all_lanes: bool = False,
) -> Any:
    """`align_sample` of all reads of a sample in the active store; with GATK, base qualities are recalibrated.

    Parameters
    ----------
    build
        Name of the assembly.
    sample_id
        The sample.
    engine
        Where the tools come from.
    options
        How GATK works, of which the known sites count here; by default all of that build in the active store.
    reads
        Whether reads are trimmed, and what aligns them.
    all_lanes
        Whether reads whose names are not those of lanes of one library are lanes all the same.

    Returns
    -------
    Call or Preprocessed
        Of `Marked`; with GATK a `Preprocessed` of two calls, with the same names: ``alignment`` and ``metrics``.

    Raises
    ------
    NotFound
        No such reference, or no reads of that sample.
    DataError
        Which R2 belongs to which R1 is not clear, or options of GATK for another engine.
    """
    reference = prepare_reference(build, engine=engine, aligner=reads.aligner)
    lanes = find_lanes(sample_id, all_lanes=all_lanes)
    check_lanes({sample_id: lanes})
    if engine != "gatk":
        if options is not None:
            raise DataError(f"these are options of GATK, and the engine is {engine!r}; choose engine='gatk'")
        return align_sample(reference, lanes, engine=engine, reads=reads)
    chosen = with_known_sites(options, build)
    return align_with_gatk(reference, lanes, chosen, parts_to_recalibrate(reference, chosen), reads)
