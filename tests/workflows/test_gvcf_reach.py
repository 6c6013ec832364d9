"""gVCFs of others: how far they reach, and where their samples stand."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import pysam
import pytest

import stargazer as sg
from stargazer.errors import DataError
from stargazer.workflows import read_sheet
from stargazer.workflows.calling import call_alignments
from stargazer.workflows.gatk import GatkOptions, call_alignments_with_gatk
from stargazer.workflows.gvcf_reach import unreached
from stargazer.workflows.inputs import Contigs, check_against

LENGTHS = {"chr1": 8000, "chr2": 5000, "chrX": 3000, "chrY": 2000, "chrM": 400, "decoy": 10}
HEAD = "##fileformat=VCFv4.2\n##ALT=<ID=*,Description=any>\n" + "".join(
    f"##contig=<ID={name},length={length}>\n" for name, length in LENGTHS.items()
)
HEAD += (
    '##INFO=<ID=END,Number=1,Type=Integer,Description="e">\n##FORMAT=<ID=PL,Number=G,Type=Integer,Description="l">\n'
)
HEAD += "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\ts1\n"


def gvcf(path: Path, *names: str, each: int = 3, form: str = "bgzip") -> Path:
    """Records of some contigs, from their first base to their last; many of them fill several blocks of BGZF."""
    records = "".join(
        f"{name}\t{at}\t.\tA\t<*>\t0\t.\tEND={at if at < each - 1 else LENGTHS.get(name, at)}\tPL\t0,3,60\n"
        for name in names
        for at in range(1, each)
    )
    if form == "bgzip":
        with pysam.BGZFile(str(path), "w") as file:
            file.write((HEAD + records).encode())
    else:
        path.write_bytes(gzip.compress((HEAD + records).encode()) if form == "gzip" else (HEAD + records).encode())
    return path


@pytest.mark.parametrize("form", ["bgzip", "plain"])
@pytest.mark.parametrize("each", [3, 3000])
def test_what_a_gvcf_does_not_reach(tmp_path: Path, form: str, each: int) -> None:
    def of(*names: str, target: tuple[str, ...] = ()) -> list[str]:
        return unreached(gvcf(tmp_path / f"{form}.g.vcf.gz", *names, each=each, form=form), LENGTHS, target)[0]

    assert of("chr1", "chr2", "chrX") == []
    assert of(*LENGTHS) == []
    assert of("chr1") == ["chr2", "chrX"]
    assert of("chr2", "chrX", "chrM") == ["chr1"]
    assert of("chr2", target=("chr2",)) == []
    assert of("chr2", target=("chr2", "chrY")) == ["chrY"]
    assert of("elsewhere") == of() == []


def test_a_part_of_a_gvcf_is_told_before_anything_runs(tmp_path: Path) -> None:
    gvcf(tmp_path / "part.g.vcf.gz", "chr2")
    (tmp_path / "samples.csv").write_text("sample,gvcf\ns1,part.g.vcf.gz\n")
    contigs, sheet = Contigs("ref.fa", LENGTHS, {}), read_sheet(tmp_path / "samples.csv")
    [note] = check_against(contigs, sheet)
    assert note == (
        "line 2: part.g.vcf.gz has records of chr2 alone, and the genotypes of its sample are unknown on chr1, chrX: "
        "is it one of several parts?"
    )
    (tmp_path / "t.bed").write_text("chr2\t10\t90\n")
    assert check_against(contigs, sheet, target=sg.Intervals(path=tmp_path / "t.bed")) == []


def test_a_bcf_is_told_by_name(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with (
        pysam.VariantFile(str(gvcf(tmp_path / "a.g.vcf.gz", "chr1"))) as given,
        pysam.VariantFile(str(tmp_path / "a.bcf"), "wb", header=given.header) as out,
    ):
        for record in given:
            out.write(record)
    capfd.readouterr()
    (tmp_path / "samples.csv").write_text("sample,gvcf\ns1,a.bcf\n")
    with pytest.raises(DataError, match=r"line 2: .*a\.bcf is a BCF; bcftools view -Oz makes a gVCF of it"):
        read_sheet(tmp_path / "samples.csv")
    (tmp_path / "samples.csv").write_text("sample,gvcf\ns1,a.g.vcf.gz\n")
    read_sheet(tmp_path / "samples.csv")
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("engine", ["embedded", "gatk"])
def test_samples_stand_in_the_order_of_the_sheet(store: sg.Store, tmp_path: Path, engine: str) -> None:
    """Those of gVCFs stood last, whatever the sheet said."""
    (tmp_path / "ref.fa").write_text(">chr1\nACGT\n")
    given: Any = sg.add(tmp_path / "ref.fa", sg.Reference(build="b"))
    added: dict[str, Any] = {}
    for name in "abcd":
        (tmp_path / name).write_text(name)
        kinds = {"a": sg.Alignment(sample_id=name), "c": sg.Alignment(sample_id=name)}
        added[name] = sg.add(tmp_path / name, kinds.get(name, sg.Variants(sample_id=name, variant_type="gvcf")))
    reads, gvcfs = ({name: added[name] for name in names} for names in ("ac", "bd"))
    for order, wanted in ((["d", "a", "b", "c"], "dabc"), ([], "acbd"), (["b"], "bacd")):
        if engine == "gatk":
            options = GatkOptions(known_sites=[], filter="none")
            made = call_alignments_with_gatk(given, reads, "x", options, gvcfs=gvcfs, order=order).gvcfs
        else:
            made = call_alignments(given, reads, "x", gvcfs=gvcfs, order=order)[1]
        assert "".join(made) == wanted
