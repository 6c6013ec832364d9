"""Each task beside the same tool, run by hand with the same arguments in another directory."""

from __future__ import annotations

import gzip
import os
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pysam
import pytest

from stargazer.assets import Alignment, Asset, KnownSites, Variants, VQSRModel, VQSRTranches
from stargazer.tasks import gatk as tasks
from stargazer.tasks.gatk.alignments import undated
from stargazer.tasks.gatk.recalibration import PROGRAM
from stargazer.tools import Workdir
from stargazer.tools.install import gatk_command

pytestmark = pytest.mark.slow  # each runs GATK twice


@dataclass
class Data:
    """What tasks are tried with."""

    tp53: Any
    gvcfs: list[Variants]
    vcf: Variants
    indels: Variants
    where: Any
    sites: tuple[Variants, KnownSites]
    model: VQSRModel

    @property
    def ref(self) -> Path:
        path: Path = self.tp53.reference.path
        return path


@pytest.fixture(scope="module")
def data(
    tp53: Any, gvcfs: list[Variants], region: Callable[..., Any], sites: Any, tmp_path_factory: pytest.TempPathFactory
) -> Data:
    def new() -> Workdir:
        return Workdir(tmp_path_factory.mktemp("data"))

    where = region(new(), 5_000, 17_000)
    vcf = tasks.joint_call_gvcfs.body(new(), gvcfs, tp53.reference, where, cohort_id="trio")
    indels = tasks.select_variants.body(new(), vcf, tp53.reference, kind="INDEL")
    model = tasks.variant_recalibrator.body(new(), sites[0], tp53.reference, [sites[1]], **MODEL)
    return Data(tp53, gvcfs, vcf, indels, where, sites, model)


def first(made: Any) -> Asset:
    found: Asset = made[0] if isinstance(made, tuple) else made
    return found


MODEL: dict[str, Any] = {"annotations": ["QD", "FS", "SOR"], "max_gaussians": 2}

BODIES: dict[str, Callable[[Workdir, Data], Any]] = {
    "create_sequence_dictionary": lambda w, d: tasks.create_sequence_dictionary.body(w, d.tp53.reference),
    "sort_sam": lambda w, d: tasks.sort_sam.body(w, d.tp53.bam("merged"), sort_order="queryname"),
    "mark_duplicates": lambda w, d: tasks.mark_duplicates.body(w, d.tp53.bam("merged"), optical_distance=2500),
    "merge_bam_alignment": lambda w, d: tasks.merge_bam_alignment.body(
        w, d.tp53.bam("bwa_aligned"), d.tp53.bam("unmapped"), d.tp53.reference
    ),
    "index_feature_file": lambda w, d: tasks.index_feature_file.body(w, d.tp53.known),
    "base_recalibrator": lambda w, d: tasks.base_recalibrator.body(
        w, d.tp53.bam("markdup"), d.tp53.reference, [d.tp53.known], d.where
    ),
    "apply_bqsr": lambda w, d: tasks.apply_bqsr.body(w, d.tp53.bam("markdup"), d.tp53.reference, d.tp53.table),
    "gather_bqsr_reports": lambda w, d: tasks.gather_bqsr_reports.body(w, [d.tp53.table, d.tp53.table]),
    "haplotype_caller": lambda w, d: tasks.haplotype_caller.body(
        w, d.tp53.bam("recalibrated"), d.tp53.reference, d.where, ploidy=1
    ),
    "combine_gvcfs": lambda w, d: tasks.combine_gvcfs.body(w, d.gvcfs, d.tp53.reference, d.where),
    "genotype_gvcfs": lambda w, d: tasks.genotype_gvcfs.body(w, d.gvcfs[0], d.tp53.reference, d.where, d.tp53.known),
    "select_variants": lambda w, d: tasks.select_variants.body(
        w, d.vcf, d.tp53.reference, d.where, kind="SNP", samples=["NA1", "NA3"]
    ),
    "variant_filtration": lambda w, d: tasks.variant_filtration.body(w, d.indels, d.tp53.reference, mode="INDEL"),
    "gather_vcfs": lambda w, d: tasks.gather_vcfs.body(w, [d.vcf]),
    "joint_call_gvcfs": lambda w, d: tasks.joint_call_gvcfs.body(
        w, d.gvcfs[:2], d.tp53.reference, d.where, cohort_id="out"
    ),
    "variant_recalibrator": lambda w, d: tasks.variant_recalibrator.body(
        w, d.sites[0], d.tp53.reference, [d.sites[1]], **MODEL
    ),
    "apply_vqsr": lambda w, d: tasks.apply_vqsr.body(w, d.sites[0], d.tp53.reference, d.model),
}
"""How each task is called."""

HAND: dict[str, str] = {
    "create_sequence_dictionary": "CreateSequenceDictionary -R {ref} -O out --URI GRCh38_TP53.fa",
    "sort_sam": "SortSam -I {tp53}_merged.bam -O out.bam --SORT_ORDER queryname",
    "mark_duplicates": "MarkDuplicates -I {tp53}_merged.bam -O out.bam -M metrics --CREATE_INDEX true "
    "--OPTICAL_DUPLICATE_PIXEL_DISTANCE 2500 --PROGRAM_RECORD_ID null --ADD_PG_TAG_TO_READS false",
    "merge_bam_alignment": "MergeBamAlignment -R {ref} -ALIGNED {tp53}_bwa_aligned.bam -UNMAPPED {tp53}_unmapped.bam "
    "-O out.bam --SORT_ORDER coordinate --CREATE_INDEX true --ADD_MATE_CIGAR true --CLIP_ADAPTERS true "
    "--CLIP_OVERLAPPING_READS true --INCLUDE_SECONDARY_ALIGNMENTS true --MAX_INSERTIONS_OR_DELETIONS -1 "
    "--ADD_PG_TAG_TO_READS false",
    "index_feature_file": "IndexFeatureFile -I {known} -O out.idx",
    "base_recalibrator": "BaseRecalibrator -R {ref} -I {tp53}_markdup.bam -O out --known-sites {known} -L {where}",
    "apply_bqsr": "ApplyBQSR -R {ref} -I {tp53}_markdup.bam --bqsr-recal-file {tp53}_bqsr.table -O out.bam "
    "--add-output-sam-program-record false",
    "gather_bqsr_reports": "GatherBQSRReports -I {tp53}_bqsr.table -I {tp53}_bqsr.table -O out",
    "haplotype_caller": "HaplotypeCaller -R {ref} -I {tp53}_recalibrated.bam -O out.g.vcf.gz -ERC GVCF -ploidy 1 "
    "-L {where} --add-output-vcf-command-line false",
    "combine_gvcfs": "CombineGVCFs -R {ref} -V {gvcf0} -V {gvcf1} -V {gvcf2} -O out.g.vcf.gz -L {where} "
    "--add-output-vcf-command-line false",
    "genotype_gvcfs": "GenotypeGVCFs -R {ref} -V {gvcf0} -O out.vcf.gz -L {where} "
    "--only-output-calls-starting-in-intervals --dbsnp {known} --add-output-vcf-command-line false",
    "select_variants": "SelectVariants -R {ref} -V {vcf} -O out.vcf.gz --select-type-to-include SNP --sample-name NA1 "
    "--sample-name NA3 -L {where} --add-output-vcf-command-line false",
    "variant_filtration": "VariantFiltration -R {ref} -V {indels} -O out.vcf.gz --filter-expression QD@<@2.0 "
    "--filter-name QD2 --filter-expression QUAL@<@30.0 --filter-name QUAL30 --filter-expression FS@>@200.0 "
    "--filter-name FS200 --filter-expression ReadPosRankSum@<@-20.0 --filter-name ReadPosRankSum-20 "
    "--add-output-vcf-command-line false",
    "gather_vcfs": "GatherVcfs -I {vcf} -O out.vcf.gz",
    "joint_call_gvcfs": "GenomicsDBImport -V {gvcf0} -V {gvcf1} --genomicsdb-workspace-path db -L {where} "
    "--add-output-vcf-command-line false ; GenotypeGVCFs -R {ref} -V gendb://db -O out.vcf.gz -L {where} "
    "--only-output-calls-starting-in-intervals --add-output-vcf-command-line false",
    "variant_recalibrator": "VariantRecalibrator -R {ref} -V {calls} -O out.recal.vcf.gz --tranches-file tranches "
    "-mode SNP --resource:truth,known=false,training=true,truth=true,prior=15 {truth} -an QD -an FS -an SOR "
    "--max-gaussians 2 --add-output-vcf-command-line false",
    "apply_vqsr": "ApplyVQSR -R {ref} -V {calls} -O out.vcf.gz --recal-file {recal} --tranches-file {tranches} "
    "-mode SNP --truth-sensitivity-filter-level 99.5 --add-output-vcf-command-line false",
}
"""The same by hand, commands one after the other; ``@`` is a blank within an argument."""


def by_hand(name: str, data: Data, gatk: Path, folder: Path) -> Path:
    places = {
        "ref": data.ref,
        "tp53": data.tp53.folder / "NA12829_TP53",
        "known": data.tp53.known.path,
        "where": data.where.path,
        "vcf": data.vcf.path,
        "indels": data.indels.path,
        "calls": data.sites[0].path,
        "truth": data.sites[1].path,
        "recal": data.model.path,
        "tranches": data.model.companion(VQSRTranches).path,
        **{f"gvcf{number}": gvcf.path for number, gvcf in enumerate(data.gvcfs)},
    }
    (folder / "tmp").mkdir(parents=True)
    for step in HAND[name].split(" ; "):
        words = [word.format(**places).replace("@", " ") for word in step.split()]
        command = [*gatk_command(gatk, heap=1 << 30, brief=False), *words]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0, done.stderr[-2000:]
    return next(path for path in sorted(folder.glob("out*")) if path.suffix not in (".bai", ".tbi"))


@pytest.mark.parametrize("name", HAND)
def test_the_same_as_by_hand(name: str, data: Data, gatk: Path, tmp_path: Path, new_work: Any) -> None:
    made = BODIES[name](new_work(), data)
    theirs = by_hand(name, data, gatk, tmp_path / "by" / "hand")
    ours = first(made).path
    if name == "index_feature_file":
        assert ours.stat().st_size < theirs.stat().st_size, "the path of the file is left out"
    elif name == "apply_bqsr":
        here, there = (pysam.view("-h", "--no-PG", str(each)) for each in (ours, theirs))
        assert PROGRAM in here, "that it was done stands in the header"
        assert here.replace(PROGRAM, "") == there
    elif ours.suffix == ".gz":
        assert gzip.decompress(ours.read_bytes()) == gzip.decompress(theirs.read_bytes())
    else:
        assert ours.read_bytes() == theirs.read_bytes()
    if name == "mark_duplicates":
        metrics = made.metrics.path.read_text().splitlines()[2:]
        assert metrics == undated((theirs.parent / "metrics").read_text()).splitlines()[2:]


@pytest.mark.parametrize("name", ["haplotype_caller", "index_feature_file", "mark_duplicates", "genotype_gvcfs"])
def test_no_place_and_no_thread_counts(name: str, data: Data, new_work: Any, tmp_path: Path) -> None:
    one, other = new_work(), Workdir(tmp_path / "elsewhere" / "deeper", cpus=2)
    other.path.mkdir(parents=True)
    made = [[*files(BODIES[name](work, data))] for work in (one, other)]
    assert [path.name for path in made[0]] == [path.name for path in made[1]]
    for here, there in zip(*made, strict=True):
        assert here.read_bytes() == there.read_bytes(), here.name


def files(made: Any) -> list[Path]:
    assets = list(made) if isinstance(made, tuple) else [made]
    return [path for asset in assets for path in (asset.path, *(one.path for one in asset.companions))]


def test_facts_and_links_are_kept(data: Data, new_work: Any) -> None:
    cid = "bafkreib6vj3os7l4lqqytaw5vju46iorcknttfiwfnlbizjcqn7xd5hrvy"
    bam: Alignment = replace(data.tp53.bam("merged"), r1_cid=cid, reference_cid=cid, duplicates_marked=True)
    made = tasks.sort_sam.body(new_work(), bam)
    assert (made.r1_cid, made.reference_cid, made.duplicates_marked, made.cid) == (cid, cid, True, None)
    assert data.vcf.source_samples == ("NA1", "NA2", "NA3")
    assert (data.vcf.caller, data.vcf.variant_type, data.vcf.sample_count) == ("gatk", "vcf", 3)
    with gzip.open(data.vcf.path, "rt") as lines:
        header = [line for line in lines if line.startswith("#")]
    assert header[-1].split()[9:] == ["NA1", "NA2", "NA3"]
    assert not any(os.fspath(data.vcf.path.parent) in line or "CommandLine" in line for line in header)


def test_a_workspace_is_a_directory_that_genotypes_come_from(data: Data, new_work: Any, variant_lines: Any) -> None:
    work = new_work()
    made = tasks.genomics_db_import.body(work, data.gvcfs, data.tp53.reference, data.where, cohort_id="trio")
    assert made.path.is_dir()
    assert (made.source_samples, made.caller) == (("NA1", "NA2", "NA3"), "gatk")
    vcf = tasks.genotype_gvcfs.body(work, made, data.tp53.reference, data.where, cohort_id="trio")
    assert list(variant_lines(vcf.path)) == list(variant_lines(data.vcf.path))
    assert len(list(variant_lines(vcf.path))) > 5
