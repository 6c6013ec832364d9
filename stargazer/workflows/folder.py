"""The folder that a cohort's results are put into: names of files are fixed, and a manifest has their CIDs."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import tempfile
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stargazer.api import trace
from stargazer.errors import StoreError, ToolError, ToolFailed
from stargazer.store import active_store
from stargazer.store.copies import put_down
from stargazer.tools import Workdir
from stargazer.visible import cell, visible
from stargazer.workflows.again import store_named
from stargazer.workflows.earlier import MANIFEST, clear_files, earlier_files, refuse_others

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from stargazer.assets import Alignment, Asset, FilterChoice, QCReport, Variants
    from stargazer.workflows.sheet import SampleSheet

__all__ = ["Results", "check_folder", "without_formulas", "write_folder"]

MARKS = ("cohort", "engine")
"""Fields by which a manifest is one of ours."""

MEASURES = (
    *(".stats.txt", ".flagstat.txt", ".idxstats.txt", ".aligned.coverage.tsv", ".markdup.metrics.txt"),
    *(".bcftools_stats.txt", ".fastp.json"),
)
"""Ends of the names of measures: what stands before them is the sample, whatever it looks like to MultiQC."""


@dataclass(frozen=True)
class Results:
    """What came of a cohort.

    Parameters
    ----------
    cohort_id, engine
        Its name, and what called it.
    samples
        Samples that were called, in the order of the sheet.
    vcf
        Joint calls; none where it ended before.
    choice
        How GATK's variants were filtered.
    report
        Measures of quality.
    alignments, gvcfs
        Of each sample.
    tables
        Consequential variants of each sample.
    left_out
        Why samples were left out.
    notes
        What a person should know.
    seconds, tasks_run
        What it took.
    command
        The command that does it again.
    out
        The folder.
    files
        Files in it, by their names, with the assets that they are.
    marks
        What is beyond a limit, by sample.
    """

    cohort_id: str
    engine: str
    samples: tuple[str, ...]
    vcf: Variants | None
    choice: FilterChoice | None
    report: QCReport
    alignments: Mapping[str, Alignment]
    gvcfs: Mapping[str, Variants]
    tables: tuple[Asset, ...] = ()
    left_out: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    seconds: float = 0.0
    tasks_run: int = 0
    command: str = ""
    out: Path = Path()
    files: Mapping[str, Asset] = field(default_factory=dict)
    marks: Mapping[str, list[str]] = field(default_factory=dict)


def check_folder(out: Path, sheet: SampleSheet, cohort_id: str, *, cram: bool) -> None:
    """Refuse a folder in which files of a person would be written over, reads that the sheet names among them.

    Raises
    ------
    DataError
        It has something of such names, and no manifest that says that an earlier run put it there.
    """
    if earlier_files(out, MARKS):
        return
    names = ["README.md", MANIFEST, f"samples{sheet.path.suffix}", f"{cohort_id}.vcf.gz", "multiqc", "ro-crate"]
    names.append(f"report/{cohort_id}.qc.html")
    ends = (".cram" if cram else ".bam", ".g.vcf.gz")
    names += [f"samples/{sample}/{sample}{end}" for sample in sheet.samples for end in ends]
    refuse_others(out, [name for name in names if (out / name).exists() and not (out / name).samefile(sheet.path)])


def write_folder(
    results: Results, out: Path, sheet: Path, *, inputs: Collection[Path] = (), links: bool = False
) -> Results:
    """Put results into a folder under their names; what an earlier run put there is replaced.

    Parameters
    ----------
    results
        What was made.
    out
        The folder, there or not.
    sheet
        The sheet, of which a copy is put there.
    inputs
        Files that were read; what is one of them stays, even if an earlier run put it there.
    links
        Whether large files are links into the store.

    Returns
    -------
    Results
        The same with the folder, its files, and the marks of the report.
    """
    out.mkdir(parents=True, exist_ok=True)
    earlier = earlier_files(out, MARKS)
    _begin(results, out, earlier)
    placed: dict[str, Asset] = {}
    for name, asset in _named(results):
        for path, one in _put(asset, out / name, links=links):
            placed[path.relative_to(out).as_posix()] = one
    clear_files(out, [name for name in earlier if name not in placed and not _is_read(out / name, inputs)])
    copied = out / f"samples{sheet.suffix}"
    if not (copied.exists() and copied.samefile(sheet)):
        shutil.copyfile(sheet, copied)
    told = next((one for one in results.report.companions if dict(one.declared).get("table") == "marks"), None)
    marks = json.loads(active_store().fetch(told).read_text("utf-8"))["marks"] if told is not None else {}
    found = replace(results, out=out, files=placed, marks=marks)
    _write_manifest(found)
    notes = [*_multiqc(out), *_crate(found)]
    (out / "README.md").write_text(visible(_readme(found, sheet, notes), lines=True), "utf-8")
    return found


def _is_read(file: Path, inputs: Collection[Path]) -> bool:
    """Whether a file was read, or is the index of one that was."""
    place = file.resolve()
    return any(path.resolve() in (place, place.with_suffix("")) for path in inputs)


def _named(results: Results) -> Iterator[tuple[str, Asset]]:
    """Each result and the name that its file gets below the folder."""
    if results.vcf is not None:
        yield f"{results.cohort_id}.vcf.gz", results.vcf
    for name, alignment in results.alignments.items():
        yield f"samples/{name}/{name}.{alignment.format}", alignment
    for name, gvcf in results.gvcfs.items():
        yield f"samples/{name}/{name}.g.vcf.gz", gvcf
    for table in results.tables:
        yield f"samples/{table.declared['sample_id']}/{table.name}", table
    yield f"report/{results.cohort_id}.qc.html", results.report


def _put(asset: Asset, target: Path, *, links: bool) -> Iterator[tuple[Path, Asset]]:
    """Put an asset and its companions under a name, those of its name under the new one."""
    target.parent.mkdir(parents=True, exist_ok=True)
    store = active_store()
    with tempfile.TemporaryDirectory(prefix=".stargazer-", dir=target.parent) as scratch:
        if links:
            first = store.fetch(asset)
            paths = [first, *(first.with_name(one.name) for one in asset.companions)]
        else:
            paths = put_down(store, asset, f"{scratch}/", force=True)
        family = [asset, *asset.companions]
        for path, one in zip(paths, family, strict=False):
            to = target.with_name(_renamed(path.name, asset.name, target.name))
            to.unlink(missing_ok=True)
            if to.suffix == ".tsv" and (safe := without_formulas(stored := path.read_bytes())) != stored:
                to.write_bytes(safe)  # ids of variants and names of genes are others' words
            elif links:
                to.symlink_to(path)
            else:
                os.replace(path, to)
            yield to, one


def without_formulas(table: bytes) -> bytes:
    """Return a table whose cells are between tabs, as it is stored, but no cell is one that a spreadsheet would run."""
    lines = table.decode("utf-8", "surrogateescape").split("\n")
    safe = "\n".join("\t".join(str(cell(each)) for each in line.split("\t")) for line in lines)
    return safe.encode("utf-8", "surrogateescape")


def _renamed(name: str, old: str, new: str) -> str:
    """The name of a companion beside a file that is called otherwise: ``x.bam.bai``, ``x.bai``."""
    if name == old or name.startswith(f"{old}."):
        return f"{new}{name.removeprefix(old)}"
    stem, _, suffix = name.rpartition(".")
    return f"{new.rpartition('.')[0]}.{suffix}" if stem and old.startswith(f"{stem}.") else name


def _begin(results: Results, out: Path, earlier: Sequence[str]) -> None:
    """Note what will be there before it is: what a run leaves that is killed meanwhile is the next one's to replace."""
    names = dict.fromkeys((*earlier, *(name for name, _ in _named(results))))
    told = {"cohort": results.cohort_id, "engine": results.engine, "files": [{"file": name} for name in names]}
    (out / MANIFEST).write_text(json.dumps(told, indent=1) + "\n", "utf-8")


def _write_manifest(results: Results) -> None:
    rows = [
        {"file": name, "cid": asset.cid, "type": asset.asset_key, "sample": dict(asset.declared).get("sample_id", "")}
        for name, asset in sorted(results.files.items())
    ]
    told: dict[str, Any] = {"cohort": results.cohort_id, "engine": results.engine, "samples": list(results.samples)}
    told |= {"left_out": dict(results.left_out), "marks": dict(results.marks), "notes": list(results.notes)}
    (results.out / MANIFEST).write_text(json.dumps({**told, "files": rows}, indent=1) + "\n", "utf-8")


def _multiqc(out: Path) -> list[str]:
    """MultiQC's report of the measures, where it is installed; names of samples stay what they are."""
    if (out / "multiqc").is_dir():
        shutil.rmtree(out / "multiqc")
    if shutil.which("multiqc") is None:
        return []
    with tempfile.TemporaryDirectory(prefix="stargazer-multiqc-") as scratch:
        work = Workdir(scratch)
        settings = work.file("names.yaml")
        lines = "".join(f"  - {json.dumps(end)}\n" for end in MEASURES)
        settings.write_text(f"fn_clean_exts:\n{lines}fn_clean_trim: []\nextra_fn_clean_exts: []\n", "utf-8")
        target = (out / "multiqc").resolve()
        command = ["multiqc", "--force", "--quiet", "--no-version-check", "-c", str(settings), "-o", str(target)]
        try:
            work.run([*command, (out / "report").resolve()])
        except ToolFailed as error:
            last = error.tail.strip().rpartition("\n")[2]
            return [f"There is no report of MultiQC, which failed with exit code {error.code}: {last}"]
    return []


def _crate(results: Results) -> list[str]:
    """A Workflow Run RO-Crate of the joint calls, where the library is installed."""
    target = results.out / "ro-crate"
    if target.is_dir():
        shutil.rmtree(target)
    if results.vcf is None:
        return []
    try:
        trace(results.vcf).to_rocrate(target, files="none")
    except (ToolError, StoreError) as error:
        return [f"There is no RO-Crate: {error}"]
    return []


def _readme(results: Results, sheet: Path, notes: list[str]) -> str:
    from stargazer import __version__

    ended = results.vcf is not None
    what = "Germline variants" if ended else "Alignments that are ready for calling"
    lines = [f"# {results.cohort_id}", "", f"{what} of {', '.join(results.samples)}; engine {results.engine}.", ""]
    if results.marks:
        lines += ["## Samples to look at", ""]
        lines += [f"- **{name}**: {'; '.join(marks)}" for name, marks in results.marks.items()] + [""]
    lines += [*(f"- {note}" for note in (*results.notes, *notes)), ""] if (*results.notes, *notes) else []
    lines += ["## Files", "", "| file | |", "|---|---|"]
    told: dict[str, Any] = {
        f"{results.cohort_id}.vcf.gz": "joint calls, an index beside them" if ended else "",
        "samples/NAME/": f"alignment{' and gVCF' if ended else ''} of a sample, indices beside them",
        "samples/NAME/NAME.consequences.tsv": "its variants that change a protein" if results.tables else "",
        f"report/{results.cohort_id}.qc.html": "measures of quality, their files beside it, and who is to be looked at",
        "multiqc/": "MultiQC's report of the same, where MultiQC is installed",
        "ro-crate/": "how the joint calls were made, for other programs" if ended else "",
        "manifest.json": "the CID of every file, marks and notes",
        f"samples{sheet.suffix}": "the sample sheet",
    }
    lines += [f"| `{name}` | {what} |" for name, what in told.items() if what]
    lines += ["", "## Again", "", f"With stargazer {__version__}, from the folder where it was run:", "", "```sh"]
    lines += [results.command, "```", ""]
    made = results.vcf or next(iter(results.alignments.values()), results.report)
    where = store_named(active_store().url)
    words = shlex.join(["stargazer", "trace", str(made.cid), *(["--store", where] if where else [])])
    lines += [f"What the store knows is not run again. `{words}` shows every step.", ""]
    return "\n".join(lines)
