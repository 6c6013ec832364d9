from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

import stargazer as sg
from stargazer.bio.simulate import Cohort, simulate_cohort
from stargazer.errors import AssetError, DataError, NotFound
from stargazer.workflows import (
    Lane,
    align_sample,
    germline_short_variant_discovery,
    index_reference,
    prepare_reference,
    preprocess_sample,
)
from stargazer.workflows.lanes import find_lanes, name_lanes


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    """Two samples at 8x, each on two lanes."""
    folder = tmp_path_factory.mktemp("cohort")
    return simulate_cohort(folder, samples=["s1", "s2"], depth=8, length=21_000, lanes=2)


def fill(store: sg.Store, cohort: Cohort, build: str = "sim") -> sg.Asset:
    """Add a cohort to a store: the mates of one sample linked by CID, those of the other by their names."""
    for sample, lanes in cohort.reads.items():
        for r1, r2 in lanes:
            second = store.add(r2, sg.R2(sample_id=sample))
            store.add(r1, sg.R1(sample_id=sample, mate_cid=second.cid or "" if sample == "s1" else ""))
    return store.add(cohort.reference, sg.Reference(build=build))


def test_from_reads_to_a_cohort_and_nothing_twice(cohort: Cohort, store: sg.Store) -> None:
    reference = fill(store, cohort)
    vcf = germline_short_variant_discovery("sim", ["s2", "s1"], "pair").compute()
    assert (vcf.name, vcf.source_samples, vcf.build) == ("pair.vcf.gz", ("s2", "s1"), "sim")
    path = vcf.fetch()
    assert Path(f"{path}.tbi").exists()
    [final] = store.assemble(asset="alignment", sample_id="s1", duplicates_marked=True)
    assert final.companions
    assert [a.name for a in store.assemble(asset="alignment", sample_id="s1", duplicates_marked=False)] == [
        "s1.L001.bam",
        "s1.L002.bam",
    ]
    # The store knows more now: indices that name the reference, a reference with companions. The answer stands.
    assert store.assemble(asset="reference", build="sim")[0] != reference
    assert germline_short_variant_discovery("sim", ["s2", "s1"], "pair").known() == (vcf,)


def test_one_sample_more_runs_that_sample_alone(cohort: Cohort, store: sg.Store) -> None:
    fill(store, cohort)
    germline_short_variant_discovery("sim", ["s1"], "trio").compute()
    plan = sg.plan(germline_short_variant_discovery("sim", ["s1", "s2"], "trio"))
    assert sorted(planned.call.name for planned in plan.to_run) == [
        "bwa_mem", "bwa_mem", "call_gvcf", "joint_call", "mark_duplicates",
    ]  # fmt: skip


def test_two_stores_hold_the_same_cids(cohort: Cohort, tmp_path: Path) -> None:
    cids = []
    for name in ("one", "two"):
        with sg.Store(str(tmp_path / name)) as store:
            fill(store, cohort)
            call = germline_short_variant_discovery("sim", ["s1", "s2"])
            cids.append([asset.cid for asset in (call.compute(), prepare_reference("sim").compute())])
    assert cids[0] == cids[1]


@pytest.mark.slow
def test_one_worker_and_four_make_the_same_cids(cohort: Cohort, tmp_path: Path) -> None:
    cids = []
    for workers in (1, 4):
        with sg.Store(str(tmp_path / str(workers))) as store, sg.connect(workers=workers):
            fill(store, cohort)
            vcf = germline_short_variant_discovery("sim", ["s1", "s2"]).compute()
            cids.append([vcf.cid, *sorted(str(one.cid) for one in store.assemble(asset="alignment"))])
    assert cids[0] == cids[1]


def test_a_prepared_reference_has_its_indices(cohort: Cohort, store: sg.Store) -> None:
    fill(store, cohort)
    reference = prepare_reference("sim").compute()
    assert {type(one) for one in reference.companions} == {sg.ReferenceIndex, sg.SequenceDict, sg.AlignerIndex}
    assert [contig.name for contig in reference.contigs] == ["chr1", "chr2"]
    path = reference.fetch()
    assert sorted(file.name for file in path.parent.iterdir()) == [
        "reference.dict", "reference.fa", "reference.fa.bwa", "reference.fa.fai",
    ]  # fmt: skip


def test_equal_file_names_of_two_samples_do_not_meet(cohort: Cohort, store: sg.Store) -> None:
    reference = fill(store, cohort)
    lanes = {}
    for sample in ("s1", "s2"):
        first, second = cohort.reads[sample][0]
        r1 = store.add(first, sg.R1(sample_id=sample), name="R1.fq.gz")
        r2 = store.add(second, sg.R2(sample_id=sample), name="R2.fq.gz")
        lanes[sample] = [Lane(r1, r2)]
    indexed = index_reference(reference)
    first, second = (align_sample(indexed, lanes[sample]).alignment.compute() for sample in ("s1", "s2"))
    assert first.cid != second.cid
    assert (first.sample_id, second.sample_id) == ("s1", "s2")


def test_what_is_not_there_is_named(cohort: Cohort, store: sg.Store) -> None:
    with pytest.raises(NotFound, match="no reference 'sim'"):
        prepare_reference("sim")
    fill(store, cohort)
    with pytest.raises(NotFound, match="no reads of sample 's3'"):
        germline_short_variant_discovery("sim", ["s1", "s3"])
    with pytest.raises(DataError, match="each sample once"):
        germline_short_variant_discovery("sim", ["s1", "s1"])
    with pytest.raises(DataError, match="a list"):
        germline_short_variant_discovery("sim", "s1")
    with pytest.raises(DataError, match="at least one"):
        germline_short_variant_discovery("sim", [])
    store.add(cohort.truth, sg.Reference(build="sim"))
    with pytest.raises(AssetError, match="2 references"):
        preprocess_sample("sim", "s1")


def test_lanes_find_their_mates_by_link_or_name(cohort: Cohort, store: sg.Store) -> None:
    fill(store, cohort)
    for sample in ("s1", "s2"):
        lanes = find_lanes(sample)
        assert [(lane.r1.name, lane.r2.name) for lane in lanes] == [
            tuple(path.name for path in pair) for pair in cohort.reads[sample]
        ]
        assert [lane.name for lane in name_lanes(lanes)] == ["L001", "L002"]
    store.add(cohort.reads["s1"][0][0], sg.R1(sample_id="single"))
    [alone] = find_lanes("single")
    assert alone.r2 is None
    store.add(cohort.reads["s1"][1][1], sg.R2(sample_id="single"))
    with pytest.raises(DataError, match="mate_cid"):
        find_lanes("single")


def test_lanes_of_one_name_are_refused(cohort: Cohort) -> None:
    r1 = sg.R1(path=cohort.reads["s1"][0][0], sample_id="s1")
    plain = replace(r1, name="reads_1.fq.gz")
    assert [lane.name for lane in name_lanes([Lane(plain), Lane(plain), Lane(r1)])] == ["1", "2", "L001"]
    # The same lane of two runs, and a name that was given.
    assert [lane.name for lane in name_lanes([Lane(r1), Lane(r1), Lane(plain, name="3")])] == ["L001", "L001.2", "3"]
    for wrong in ([Lane(r1, name="a"), Lane(r1, name="a")], []):
        with pytest.raises(DataError):
            name_lanes(wrong)
