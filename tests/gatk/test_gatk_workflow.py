"""The whole workflow with GATK on simulated cohorts whose truth is known."""

from __future__ import annotations

import gzip
import itertools
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import stargazer as sg
from stargazer.bio.simulate import Cohort, simulate_cohort
from stargazer.bio.simulate.genome import read_fasta
from stargazer.bio.variants import compare
from stargazer.errors import DataError
from stargazer.tasks import gatk as tasks
from stargazer.tasks.gatk.filters import Counts, choose, count_sites
from stargazer.tasks.regions import Region, bed_lines, overlapping
from stargazer.workflows import (
    GatkOptions,
    Lane,
    call_cohort,
    germline_short_variant_discovery,
    index_reference,
    prepare_reference,
)
from stargazer.workflows.gatk import SHARD, shards_of


@pytest.fixture
def tools(tool: Any, gatk: Path) -> None:
    """All that the workflow runs."""
    for name in ("bwa", "samtools", "bcftools", "java"):
        tool(name)


def fill(store: sg.Store, cohort: Cohort) -> tuple[sg.Asset, dict[str, list[Lane]]]:
    add = store.add
    samples = {
        sample: [Lane(add(one, sg.R1(sample_id=sample)), add(two, sg.R2(sample_id=sample))) for one, two in lanes]
        for sample, lanes in cohort.reads.items()
    }
    return add(cohort.reference, sg.Reference(build="sim")), samples


def sites(cohort: Cohort, folder: Path) -> Path:
    """The truth without genotypes, as known sites."""
    folder.mkdir(exist_ok=True)
    path = folder / "known.vcf"
    with cohort.truth.open("rb") as raw:
        packed = raw.read(2) == b"\x1f\x8b"
    with gzip.open(cohort.truth, "rt") if packed else cohort.truth.open() as lines, path.open("w") as out:
        for line in lines:
            fields = line.rstrip("\n").split("\t")
            if not line.startswith("##"):
                fields = fields[:8]
            if not line.startswith("#"):
                fields[2] = f"rs{fields[1]}"
            if not line.startswith("##FORMAT"):
                out.write("\t".join(fields) + "\n")
    return path


def test_from_reads_to_a_cohort(tools: None, store: sg.Store, tmp_path: Path) -> None:
    cohort = simulate_cohort(tmp_path / "cohort", samples=["s2", "s1", "s3"], depth=15, length=12_000, lanes=1)
    fill(store, cohort)
    store.add(sites(cohort, tmp_path / "known"), sg.KnownSites(build="sim", resource_name="dbsnp"))
    call = germline_short_variant_discovery("sim", ["s2", "s1"], "pair", engine="gatk")
    ran = sorted(planned.call.name for planned in sg.plan(call).to_run)
    assert ran.count("haplotype_caller") == ran.count("apply_bqsr") == ran.count("bwa_mem") == 2
    vcf = call.compute()
    assert (vcf.name, vcf.source_samples, vcf.caller) == ("pair.vcf.gz", ("s2", "s1"), "gatk")
    with gzip.open(vcf.fetch(), "rt") as file:
        lines = file.read().splitlines()
    assert next(line for line in lines if line.startswith("#CHROM")).split()[9:] == ["s2", "s1"]
    records = [line.split("\t") for line in lines if not line.startswith("#")]
    assert sum(one[2].startswith("rs") for one in records) > 0.9 * len(records) > 10
    assert {one[6] for one in records} >= {"PASS"}
    [choice] = store.assemble(asset="filter_choice")
    assert (choice.method, choice.samples) == ("hard", 2)
    assert choice.notes == ("Base qualities were recalibrated, by dbsnp.",)
    assert len(store.assemble(asset="alignment", bqsr_applied=True)) == 2

    more = germline_short_variant_discovery("sim", ["s2", "s1", "s3"], "pair", engine="gatk")
    names = sorted(planned.call.name for planned in sg.plan(more).to_run)
    assert names == [
        "apply_bqsr", "base_recalibrator", "bwa_mem", "filter_variants", "haplotype_caller", "joint_call_gvcfs",
        "mark_duplicates", "normalize_variants", "sort_sam",
    ]  # fmt: skip
    assert germline_short_variant_discovery("sim", ["s2", "s1"], "pair", engine="gatk").known() == (vcf,)


def test_without_known_sites_qualities_stay(tools: None, store: sg.Store, tmp_path: Path) -> None:
    cohort = simulate_cohort(tmp_path / "cohort", samples=["s1"], depth=4, length=6_000)
    reference, samples = fill(store, cohort)
    options = GatkOptions(shards=3, sexes={"s1": "XY"})
    indexed = index_reference(reference, engine="native")
    plan = sg.plan(call_cohort(indexed, samples, "c", engine="gatk", options=options))
    names = [planned.call.name for planned in plan.to_run]
    assert "apply_bqsr" not in names
    [told] = [planned.call for planned in plan.to_run if planned.call.name == "filter_variants"]
    assert told.parameters["notes"] == ["Base qualities were not recalibrated: no known sites were given."]
    assert names.count("haplotype_caller") == names.count("joint_call_gvcfs") == 3
    assert names.count("gather_vcfs") == names.count("gather_gvcfs") == 1
    assert names.count("scatter_intervals") == 2
    assert names.count("ploidy_of_sex") == 1
    with pytest.raises(DataError, match="XX or XY"):
        call_cohort(indexed, samples, "c", engine="gatk", options=GatkOptions(sexes={"s1": "male"}))
    with pytest.raises(DataError, match="XX or XY"):
        call_cohort(indexed, samples, "c", engine="gatk", options=GatkOptions(sexes={"s2": "XX"}))
    with pytest.raises(DataError, match="training=True"):
        call_cohort(indexed, samples, "c", engine="gatk", options=GatkOptions(filter="vqsr"))
    with pytest.raises(DataError, match="options of GATK"):
        call_cohort(indexed, samples, "c", options=GatkOptions())


def test_parts_depend_on_the_reference_alone(store: sg.Store, tmp_path: Path) -> None:
    fasta = tmp_path / "big.fa"
    with fasta.open("wb") as file:
        file.write(b">a\n")
        file.truncate(3 * SHARD)
    assert shards_of(sg.Reference(path=fasta)) == 3
    small = tmp_path / "small.fa"
    small.write_text(">a\nACGT\n")
    store.add(small, sg.Reference(build="b"))
    assert shards_of(prepare_reference("b", engine="embedded")) == 1


def lines_of(path: Path) -> Iterator[list[str]]:
    with gzip.open(path, "rt") as lines:
        yield from (line.rstrip("\n").split("\t") for line in lines if not line.startswith("#"))


def blocks(path: Path) -> dict[tuple[str, int], str]:
    """Of each base without a variant, its genotype as the gVCF has it."""
    return {at: fields[9].split(":")[0] for fields in lines_of(path) for at in covered(fields)}


def covered(fields: list[str]) -> list[tuple[str, int]]:
    """Bases of a block of reference bases."""
    if fields[4] != "<NON_REF>":
        return []
    return [(fields[0], at) for at in range(int(fields[1]), int(fields[7].removeprefix("END=")) + 1)]


def variants(path: Path, *, info: bool = True) -> list[list[str]]:
    """Records with alternate alleles; QD is jittered by a generator that goes on from site to site."""
    found = [fields for fields in lines_of(path) if fields[4] != "<NON_REF>"]
    return [fields if info else [*fields[:7], *fields[8:]] for fields in found]


@pytest.mark.slow
def test_scattered_is_the_same_as_whole(tools: None, store: sg.Store, tmp_path: Path, new_work: Any) -> None:
    """Parts whose borders lie inside deletions and between them."""
    cohort = simulate_cohort(tmp_path / "cohort", samples=["s1", "s2"], depth=25, length=16_000)
    reference, samples = fill(store, cohort)
    indexed = index_reference(reference, engine="native")
    call_cohort(indexed, samples, "c", engine="gatk").compute()
    ready = store.fetch(indexed.compute())
    stored = indexed.compute()
    local = replace(
        stored, path=ready, companions=tuple(replace(c, path=ready.parent / c.name) for c in stored.companions)
    )
    whole = [local_copy(one) for one in store.assemble(asset="variants", variant_type="gvcf")]
    deletions = [fields for gvcf in whole for fields in variants(gvcf.path) if len(fields[3]) > 2]
    assert deletions
    cuts = {(fields[0], int(fields[1]) + len(fields[3]) // 2) for fields in deletions}
    regions = list(cut_at(dict(local.contigs), sorted(cuts)[:4]))
    assert len(regions) > 3
    gathered, apart = [], []
    for gvcf in whole:
        [bam] = store.assemble(asset="alignment", sample_id=gvcf.sample_id, duplicates_marked=True, tool="gatk")
        alignment = local_copy(bam)
        for overlap, made in ((300, gathered), (0, apart)):
            where = as_parts(new_work(), regions, overlap)
            called = [tasks.haplotype_caller.body(new_work(), alignment, local, part) for part in where]
            made.append(tasks.gather_gvcfs.body(new_work(), called, local))
        assert list(lines_of(gathered[-1].path)) == list(lines_of(gvcf.path))
        # Parts that do not overlap have blocks of their own.
        assert variants(apart[-1].path) == variants(gvcf.path)
        assert blocks(apart[-1].path) == blocks(gvcf.path)
        told = [at for fields in lines_of(apart[-1].path) for at in covered(fields)]
        assert len(told) == len(set(told)), "a base is told of twice"
    at_once = tasks.joint_call_gvcfs.body(new_work(), whole, local, cohort_id="c")
    parts = as_parts(new_work(), regions, 0)
    scattered = [tasks.joint_call_gvcfs.body(new_work(), gathered, local, part, cohort_id="c") for part in parts]
    together = tasks.gather_vcfs.body(new_work(), scattered)
    assert variants(together.path, info=False) == variants(at_once.path, info=False)
    places = [(fields[0], fields[1], fields[3], fields[4]) for fields in variants(together.path)]
    assert len(places) == len(set(places)) > 10


def local_copy(asset: Any) -> Any:
    path = asset.fetch()
    return replace(asset, path=path, companions=tuple(replace(c, path=path.parent / c.name) for c in asset.companions))


def cut_at(lengths: dict[str, int], cuts: list[tuple[str, int]]) -> Iterator[list[Region]]:
    for name, length in lengths.items():
        edges = [0, *(at for contig, at in cuts if contig == name), length]
        yield from ([Region(name, start, end)] for start, end in itertools.pairwise(edges))


def as_parts(work: sg.Workdir, regions: list[list[Region]], overlap: int) -> list[sg.Intervals]:
    beds = [work.file(f"{number}.bed") for number in range(len(regions))]
    for bed, part in zip(beds, overlapping(regions, overlap), strict=True):
        bed.write_text(bed_lines(part))
    return [sg.Intervals(path=bed) for bed in beds]


@pytest.mark.slow
def test_five_samples_at_30x_are_called_right(tools: None, store: sg.Store, tmp_path: Path, short: bool) -> None:
    names = [f"s{number}" for number in range(5)]
    cohort = simulate_cohort(tmp_path / "cohort", samples=names, depth=30, length=40_000 if short else 120_000)
    reference, samples = fill(store, cohort)
    indexed = index_reference(reference, engine="native")
    vcf = call_cohort(indexed, samples, "five", engine="gatk", options=GatkOptions(shards=2)).compute()
    result = compare(read_fasta(cohort.reference), cohort.truth, vcf.fetch())
    assert result.snv.f1 >= 0.995, result
    assert result.indel.f1 >= 0.99, result


def test_the_filter_is_chosen_by_what_there_is() -> None:
    few, many = Counts(5, 4000, {"SNP": 3000, "INDEL": 40}), Counts(30, 90_000, {"SNP": 10_000, "INDEL": 40})
    genome = Counts(1, 3_500_000, {"SNP": 0, "INDEL": 2_000})
    assert choose("auto", few)[0] == "hard"
    assert choose("auto", many)[0] == choose("auto", genome)[0] == "vqsr"
    assert choose("auto", many._replace(samples=29))[0] == "hard"
    assert choose("auto", many._replace(sites={"SNP": 9_999, "INDEL": 1_999}))[0] == "hard"
    assert choose("hard", many)[0] == "hard"
    assert choose("none", few)[0] == "none"
    method, why = choose("vqsr", few)
    assert (method, why.startswith("WARNING")) == ("vqsr", True)
    assert "5 samples, 3,000 SNV" in why
    assert not choose("vqsr", many)[1].startswith("WARNING")
    calls = ["#x\n", "a\t1\t.\tA\tC,*\t9\t.\tx\n", "a\t5\t.\tAT\tA\t9\t.\tx\n", "a\t7\t.\tG\tT\t9\t.\tx\n"]
    assert count_sites(calls, [["#y\n", "a\t1\t.\tA\tC\t9\t.\tx\n"], ["a\t5\t.\tAT\tA\t9\t.\tx\n"]], 2) == Counts(
        2, 2, {"SNP": 1, "INDEL": 1}
    )
