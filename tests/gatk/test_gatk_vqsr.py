"""The mechanics of VQSR, on made-up variants; how well it filters is no matter here."""

from __future__ import annotations

import gzip
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from stargazer.assets import KnownSites, Variants, VariantsIndex, VQSRTranches
from stargazer.errors import AssetError, DataError
from stargazer.tasks import gatk as tasks
from stargazer.tasks.vqsr import apply_command, resource_use, train_command, varying

HEADER = """##fileformat=VCFv4.2
##FILTER=<ID=PASS,Description="All filters passed">
##INFO=<ID=QD,Number=1,Type=Float,Description="d">
##INFO=<ID=MQ,Number=1,Type=Float,Description="d">
##INFO=<ID=FS,Number=1,Type=Float,Description="d">
##INFO=<ID=SOR,Number=1,Type=Float,Description="d">
##contig=<ID={contig},length=39070>
#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO
"""


def write_sites(path: Path, fasta: Path, *, every: int) -> Path:
    """SNVs of which one in six looks wrong; only every other true one where `every` is 2. MQ is always 60."""
    contig, *sequence = fasta.read_text().split("\n")
    bases = "".join(sequence).upper()
    draw = random.Random(7)
    lines = []
    for number, at in enumerate(range(200, 39_000, 50)):
        wrong = number % 6 == 5
        values = draw.gauss(9, 2) if wrong else draw.gauss(22, 3), abs(draw.gauss(13 if wrong else 4, 2))
        info = f"QD={values[0]:.2f};MQ=60.00;FS={values[1]:.2f};SOR={abs(draw.gauss(2.2 if wrong else 1, 0.3)):.2f}"
        alt = "ACGT"["CGTA".index(bases[at])]
        if every == 1 or (not wrong and number % every == 0):
            lines.append(f"{contig[1:].split()[0]}\t{at + 1}\t.\t{bases[at]}\t{alt}\t500\t.\t{info}\n")
    path.write_text(HEADER.format(contig=contig[1:].split()[0]) + "".join(lines))
    return path


@pytest.fixture
def sites(tp53: Any, new_work: Any) -> tuple[Variants, KnownSites]:
    work = new_work()
    calls = write_sites(work.file("calls.vcf"), tp53.reference.path, every=1)
    truth = KnownSites(
        path=write_sites(work.file("truth.vcf"), tp53.reference.path, every=2),
        resource_name="truth",
        training=True,
        truth=True,
        prior=15,
    )
    index = tasks.index_feature_file.body(work, replace(truth, path=calls))
    beside = VariantsIndex(path=index.path)
    own = tasks.index_feature_file.body(work, truth)
    vcf = Variants(path=calls, companions=(beside,), sample_id="c", variant_type="vcf", caller="gatk")
    return vcf, replace(truth, companions=(own,))


def test_a_model_is_learned_and_applied(tp53: Any, new_work: Any, sites: tuple[Variants, KnownSites]) -> None:
    vcf, truth = sites
    model = tasks.variant_recalibrator.body(
        new_work(), vcf, tp53.reference, [truth], annotations=["QD", "MQ", "FS", "SOR"], max_gaussians=2
    )
    tranches = model.companion(VQSRTranches)
    assert (tranches.annotations, tranches.left_out) == (("QD", "FS", "SOR"), ("MQ",))
    assert (model.mode, model.path.name, tranches.path.name) == ("SNP", "c.snp.recal.vcf.gz", "c.snp.tranches")
    made = tasks.apply_vqsr.body(new_work(), vcf, tp53.reference, model)
    with gzip.open(made.path, "rt") as lines:
        filters = [line.split("\t")[6] for line in lines if not line.startswith("#")]
    wrong = [number % 6 == 5 for number in range(len(filters))]
    assert sum(one != "PASS" for one, bad in zip(filters, wrong, strict=True) if bad) > 0.9 * sum(wrong)
    assert sum(one == "PASS" for one, bad in zip(filters, wrong, strict=True) if not bad) > 0.9 * wrong.count(False)
    assert (made.vqsr_mode, made.companions[0].path.suffix) == ("SNP", ".tbi")
    with pytest.raises(AssetError, match="VQSRTranches"):
        tasks.apply_vqsr.body(new_work(), vcf, tp53.reference, replace(model, companions=()))


def test_what_no_model_is_made_of(tp53: Any, new_work: Any, sites: tuple[Variants, KnownSites]) -> None:
    vcf, truth = sites
    train = tasks.variant_recalibrator.body
    with pytest.raises(DataError, match="must be SNP or INDEL"):
        train(new_work(), vcf, tp53.reference, [truth], mode="BOTH")
    with pytest.raises(DataError, match="needs resources"):
        train(new_work(), vcf, tp53.reference, [], mode="INDEL")
    with pytest.raises(DataError, match="truth=True"):
        train(new_work(), vcf, tp53.reference, [replace(truth, truth=False)])
    with pytest.raises(DataError, match="MQ varies"):
        train(new_work(), vcf, tp53.reference, [truth], annotations=["MQ"])
    with pytest.raises(AssetError, match="KnownSitesIndex"):
        train(new_work(), vcf, tp53.reference, [replace(truth, companions=())])


def test_arguments() -> None:
    hapmap = KnownSites(path="hapmap.vcf.gz", resource_name="hapmap", training=True, truth=True, prior=15)
    use = resource_use(hapmap)
    assert use == "hapmap,known=false,training=true,truth=true,prior=15.0"
    command = train_command(
        *(Path("c.vcf.gz"), Path("r.fa"), {use: Path("hapmap.vcf.gz")}, Path("o.recal.vcf.gz"), Path("o.tranches")),
        mode="SNP", annotations=["QD", "FS"], max_gaussians=6,
    )  # fmt: skip
    assert " ".join(map(str, command)) == (
        "gatk VariantRecalibrator -R r.fa -V c.vcf.gz -O o.recal.vcf.gz --tranches-file o.tranches "
        f"--resource:{use} hapmap.vcf.gz -an QD -an FS -mode SNP --max-gaussians 6 "
        "--add-output-vcf-command-line false"
    )
    paths = (Path(name) for name in ("c.vcf.gz", "r.fa", "m.recal.vcf.gz", "m.tranches", "o.vcf.gz"))
    assert " ".join(map(str, apply_command(*paths, mode="INDEL", level=99.0))) == (
        "gatk ApplyVQSR -R r.fa -V c.vcf.gz -O o.vcf.gz --recal-file m.recal.vcf.gz --tranches-file m.tranches "
        "--truth-sensitivity-filter-level 99.0 -mode INDEL --create-output-variant-index true "
        "--add-output-vcf-command-line false"
    )
    lines = ["#x\n", "c\t1\t.\tA\tC\t9\t.\tQD=1;MQ=60;DB\n", "c\t2\t.\tA\tC\t9\t.\tQD=2;MQ=60\n"]
    assert varying(lines, ["QD", "MQ", "FS"]) == ["QD"]


def test_a_model_for_snvs_and_limits_for_the_rest(tp53: Any, new_work: Any, sites: tuple[Variants, KnownSites]) -> None:
    vcf, truth = sites
    with pytest.warns(UserWarning, match="cannot be trusted"):
        made, choice = tasks.filter_variants.body(
            *(new_work(), replace(vcf, source_samples=("s",)), tp53.reference, [truth]),
            method="vqsr",
            max_gaussians=2,
            annotations={"SNP": ["QD", "MQ", "FS", "SOR"]},
        )
    assert (choice.method, choice.samples, choice.indel_sites) == ("vqsr", 1, 0)
    assert choice.snv_sites > 300
    assert choice.notes == (
        "SNP: MQ is the same everywhere and left out",
        "INDEL: hard filters, for too few training sites",
    )
    assert made.vqsr_mode == "SNP"
    with gzip.open(made.path, "rt") as lines:
        filters = {line.split("\t")[6] for line in lines if not line.startswith("#")}
    assert "PASS" in filters
    assert any(one.startswith("VQSRTranche") for one in filters)
    same, none = tasks.filter_variants.body(new_work(), vcf, tp53.reference, [], method="none")
    assert same == vcf
    assert (none.method, none.snv_sites) == ("none", 0)
