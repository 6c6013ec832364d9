"""The mechanics of VQSR, on made-up variants; how well it filters is no matter here."""

from __future__ import annotations

import gzip
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from stargazer.assets import KnownSites, Variants, VQSRTranches
from stargazer.errors import AssetError, DataError
from stargazer.tasks import gatk as tasks
from stargazer.tasks.gatk.filtering import apply_command, resource_uses, train_command, varying


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
    [(use, path)] = resource_uses([hapmap])
    assert use == "hapmap,known=false,training=true,truth=true,prior=15.0"
    # One resource in two files: both count.
    assert [one.partition(",")[0] for one, _ in resource_uses([hapmap, hapmap])] == ["hapmap", "hapmap_2"]
    command = train_command(
        *(Path("c.vcf.gz"), Path("r.fa"), [(use, path)], Path("o.recal.vcf.gz"), Path("o.tranches")),
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
    with pytest.raises(DataError, match="nothing to train with"):
        tasks.filter_variants.body(new_work(), vcf, tp53.reference, [], method="vqsr")
    same, none = tasks.filter_variants.body(new_work(), vcf, tp53.reference, [], method="none")
    assert same == vcf
    assert (none.method, none.snv_sites) == ("none", 0)
