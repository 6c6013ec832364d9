"""Make the golden store with the Stargazer that is installed: ``python tests/golden/make.py``.

It was run once, with version 0.1.0, and is kept to show how the store came about. Run again it refuses, for the point
of the store is that later versions did not make it; ``--force`` is for a store beside it, of a later version.
"""

from __future__ import annotations

import json
import platform
import sys
import tarfile
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import dask.config
import golden_tasks
from golden_store import ARCHIVE, AT_ONCE, EXPECTED, added_by_type, asset_told, flat, lineage_told, result_told

import stargazer as sg
from stargazer.bio.simulate import simulate_cohort
from stargazer.bio.simulate.cells import Population, simulate_cells
from stargazer.tasks import general, scrna

WORDS = "one\ntwo\nthree\n"
FASTA = ">chr1 first\nACGTACGTAC\n>chr2\nGGGTTTCCCA\n"


def main() -> None:
    """Make the archive and the JSON beside it."""
    if ARCHIVE.exists() and "--force" not in sys.argv:
        raise SystemExit(f"{ARCHIVE} is there: it stays as version 0.1.0 made it")
    platform.node = lambda: "golden"  # records name the host, which is nobody's affair
    with tempfile.TemporaryDirectory() as directory:
        here = Path(directory)
        settings = {"stargazer.cache": str(here / "cache"), "scheduler": "synchronous"}
        with dask.config.set(settings), sg.Store(here / "store") as store:
            told = fill(store, here)
            EXPECTED.write_text(json.dumps(told, indent=1, sort_keys=True, ensure_ascii=False) + "\n", "utf-8")
        pack(here / "store")


def fill(store: sg.Store, here: Path) -> dict[str, Any]:
    """Add, run, pin; what is in the store then."""
    inputs = user_inputs(store, here)
    typed = added_by_type(store, here, str(inputs["words"].cid))
    revised = store.update(typed["coverage"], mean_depth=9.5)
    calls = golden_tasks.wire(inputs)
    results = {name: call.compute() for name, call in calls.items()}
    with suppress(ValueError):
        golden_tasks.failing(inputs["words"]).compute()
    built_in = {**germline(store, here), **cells(store, here)}
    done = {name: call.compute() for name, call in built_in.items()}
    store.pin("paper", results["after the first"], results["directory"])
    store.pin("alignment", done["mark_duplicates"].alignment)
    return {
        "version": "0.1.0",
        "python": platform.python_version(),
        "inputs": {name: asset.id for name, asset in inputs.items()},
        "typed": {key: asset.id for key, asset in typed.items()},
        "revised": revised.id,
        "assets": {id: asset_told(asset) for id, asset in flat([typed["coverage"], *store.find()]).items()},
        "queries": queries_told(store),
        "calls": {name: call_told(store, call, results[name]) for name, call in calls.items()},
        "built_in": {name: call_told(store, call, done[name]) for name, call in built_in.items()},
        "records": records_told(here / "store", store),
        "lineage": {
            "up": lineage_told(sg.trace(results["after the second"])),
            "up, of a bare CID": lineage_told(sg.trace(results["after the first"].cid)),
            "up, built-in": lineage_told(sg.trace(done["find_markers"])),
            "down": lineage_told(sg.trace(inputs["words"], direction="down")),
            "down, built-in": lineage_told(sg.trace(done["bwa_mem"], direction="down")),
        },
        "pins": {name: [asset.id for asset in assets] for name, assets in store.pins().items()},
        "garbage": list(store.gc(grace=AT_ONCE, recent=AT_ONCE, dry_run=True).removed),
    }


def user_inputs(store: sg.Store, here: Path) -> dict[str, sg.Asset]:
    """What the user's tasks start from."""
    (here / "words.txt").write_text(WORDS)
    (here / "small.fa").write_text(FASTA)
    (here / "small.fa.fai").write_text("chr1\t10\t12\t10\t11\nchr2\t10\t29\t10\t11\n")
    (here / "s1_R1.fq").write_text("@a\nACGT\n+\nIIII\n")
    index = sg.ReferenceIndex(path=here / "small.fa.fai", build="tiny", tool="samtools")
    return {
        "words": store.add(here / "words.txt", sg.Asset(language="English", lines=3)),
        "fasta": store.add(here / "small.fa"),
        "reads": store.add(here / "s1_R1.fq", sg.R1(sample_id="s1", sequencing_platform="ILLUMINA")),
        "reference": store.add(here / "small.fa", sg.Reference(build="tiny"), companions=[index]),
    }


def germline(store: sg.Store, here: Path) -> dict[str, sg.Call]:
    """From reads to genotypes with the embedded tools."""
    cohort = simulate_cohort(here / "cohort", samples=["s"], depth=4, length=4_000)
    ref = store.add(cohort.reference, sg.Reference(build="sim"))
    (r1, r2), *_ = cohort.reads["s"]
    reads = store.add(r1, sg.R1(sample_id="s")), store.add(r2, sg.R2(sample_id="s"))
    indices = [general.samtools_faidx(ref), general.create_sequence_dictionary(ref), general.bwa_index(ref)]
    whole = general.attach_indices(ref, indices)
    aligned = general.bwa_mem(whole, *reads)
    marked = general.mark_duplicates([aligned])
    gvcf = general.call_gvcf(whole, marked.alignment)
    return {
        "bwa_index": indices[2],
        "attach_indices": whole,
        "bwa_mem": aligned,
        "mark_duplicates": marked,
        "samtools_flagstat": general.samtools_flagstat(marked.alignment),
        "call_gvcf": gvcf,
        "joint_call": general.joint_call(whole, [gvcf], cohort_id="cohort"),
    }


def cells(store: sg.Store, here: Path) -> dict[str, sg.Call]:
    """From counts to marker genes."""
    population = Population(n_genes=60, n_types=2, n_markers=6, depth=300)
    counts = simulate_cells(here / "cells.zarr", 60, population)
    raw = store.add(counts, sg.AnnData(sample_id="cells", organism="human"))
    filtered = scrna.qc_filter(raw, min_genes=5, max_pct_mt=100.0, doublets=False)
    featured = scrna.select_features(scrna.normalize(filtered), n_top_genes=40)
    reduced = scrna.reduce_dimensions(featured, n_pcs=5, n_neighbors=5, umap=False)
    return {"qc_filter": filtered, "find_markers": scrna.find_markers(scrna.cluster(reduced))}


def call_told(store: sg.Store, call: sg.Call, result: Any) -> dict[str, Any]:
    """Keys, record and result of a call."""
    (record,) = store.records.get_keys([call.plan_key]).values()
    made = sg.Record.from_bytes(store.records.get(record.decode()) or b"", record.decode())
    assert made is not None
    return {
        "task": call.name,
        "plan_key": call.plan_key,
        "content_key": made.content_key,
        "record": made.id,
        "result": result_told(result),
    }


def records_told(root: Path, store: sg.Store) -> dict[str, Any]:
    """Every record by its id, all of it."""
    ids = sorted(path.name for path in (root / "records").rglob("*") if path.is_file())
    return {id: json.loads(store.records.get(id) or b"") for id in ids}


def queries_told(store: sg.Store) -> list[list[Any]]:
    """Questions, and ids of the answers."""
    asked: list[dict[str, Any]] = [
        {"asset": "r1"},
        {"asset": "reference", "build": "tiny"},
        {"sample_id": "s"},
        {"language": "English"},
        {"asset": ["r1", "r2"], "sample_id": ["s", "s1"]},
        {"asset": "anndata", "stage": "annotated"},
        {"asset": "golden_summits", "count": 1},
        {"name": "words.txt"},
    ]
    verbs: dict[str, Callable[..., list[sg.Asset]]] = {"find": store.find, "assemble": store.assemble}
    return [[verb, ask, [one.id for one in verbs[verb](**ask)]] for ask in asked for verb in verbs]


def pack(store: Path) -> None:
    """Write the archive, in order of name and without times and owners."""

    def bare(member: tarfile.TarInfo) -> tarfile.TarInfo:
        member.mtime, member.uid, member.gid, member.uname, member.gname = 1, 0, 0, "", ""
        return member

    with tarfile.open(ARCHIVE, "w:gz", compresslevel=9) as archive:
        for path in [store, *sorted(store.rglob("*"))]:
            archive.add(path, str(path.relative_to(store.parent)), recursive=False, filter=bare)


if __name__ == "__main__":
    main()
