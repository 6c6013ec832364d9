from __future__ import annotations

import gzip
from dataclasses import replace
from pathlib import Path

import pysam
import pytest

from stargazer.assets import Variants, VariantsIndex
from stargazer.bio.simulate import simulate_cohort
from stargazer.errors import AssetError, DataError
from stargazer.tasks.general import call_gvcf, joint_call


def lines(variants: Variants) -> list[str]:
    return gzip.decompress(variants.path.read_bytes()).decode().splitlines()


def rows(variants: Variants) -> list[list[str]]:
    return [line.split("\t") for line in lines(variants) if not line.startswith("#")]


def test_gvcf_has_likelihoods_of_every_base_and_no_genotypes(sample, final, new_work, engine) -> None:
    gvcf = call_gvcf.body(new_work(), sample.reference, final, engine=engine)
    assert (gvcf.sample_id, gvcf.variant_type, gvcf.sample_count, gvcf.source_samples) == ("s", "gvcf", 1, ("s",))
    assert gvcf.caller == {"embedded": "bcftools (pysam)", "native": "bcftools"}[engine]
    assert gvcf.companion(VariantsIndex).path == Path(f"{gvcf.path}.tbi")
    records = rows(gvcf)
    assert all("PL" in fields[8].split(":") and "GT" not in fields[8].split(":") for fields in records)
    covered = sum(_length(fields) for fields in records if "INDEL" not in fields[7])
    assert covered > 0.97 * sum(contig.length - 500 for contig in sample.reference.contigs)


def _length(fields: list[str]) -> int:
    end = next((int(item[4:]) for item in fields[7].split(";") if item.startswith("END=")), int(fields[1]))
    return end - int(fields[1]) + 1


def test_genotypes_are_called_for_the_samples_in_the_order_given(sample, final, new_work, engine) -> None:
    gvcf = call_gvcf.body(new_work(), sample.reference, final, engine=engine)
    one = joint_call.body(new_work(), sample.reference, [gvcf], cohort_id="alone", engine=engine)
    assert (one.sample_id, one.variant_type, one.source_samples) == ("alone", "vcf", ("s",))
    assert len(rows(one)) > 30
    assert {"GT", "PL", "GQ", "AD"} <= set(rows(one)[0][8].split(":"))
    second = replace(gvcf, path=_renamed(gvcf, new_work().file("t.g.vcf.gz")), source_samples=("t",))
    index = VariantsIndex(path=Path(f"{second.path}.tbi"))
    second = replace(second, companions=(index,))
    both = joint_call.body(new_work(), sample.reference, [second, gvcf], cohort_id="pair", engine=engine)
    assert both.source_samples == ("t", "s")
    assert lines(both)[len(lines(both)) - len(rows(both)) - 1].split("\t")[9:] == ["t", "s"]
    assert all(fields[9].split(":")[0] == fields[10].split(":")[0] for fields in rows(both))


def _renamed(gvcf: Variants, path: Path) -> Path:
    text = gzip.decompress(gvcf.path.read_bytes()).replace(b"FORMAT\ts\n", b"FORMAT\tt\n")
    with pysam.BGZFile(str(path), "wb") as file:
        file.write(text)
    pysam.tabix_index(str(path), preset="vcf", force=True)
    return path


def test_outputs_hold_no_path_date_or_command(sample, final, new_work, engine) -> None:
    work = new_work()
    gvcf = call_gvcf.body(work, sample.reference, final, engine=engine)
    vcf = joint_call.body(new_work(), sample.reference, [gvcf], cohort_id="c", engine=engine)
    for made in (gvcf, vcf):
        header = "\n".join(line for line in lines(made) if line.startswith("##"))
        assert "Command" not in header
        assert "Date" not in header
        assert "Version=1" not in header
        assert str(work.path.parent) not in header
        assert str(sample.reference.path.parent) not in header
    again = call_gvcf.body(new_work(), sample.reference, final, engine=engine)
    assert again.path.read_bytes() == gvcf.path.read_bytes()


def test_another_reference_is_refused(sample, final, new_work, index, tmp_path: Path) -> None:
    other = index(simulate_cohort(tmp_path / "other", samples=["s"], depth=0.1, length=21_000, seed="o").reference)
    with pytest.raises(DataError, match=r"markdup\.bam does not belong to reference reference\.fa: chr1 \(\d+ bases\)"):
        call_gvcf.body(new_work(), other, final)
    gvcf = call_gvcf.body(new_work(), sample.reference, final)
    with pytest.raises(DataError, match=r"g\.vcf\.gz does not belong"):
        joint_call.body(new_work(), other, [gvcf], cohort_id="c")


def test_another_sample_is_refused(sample, final, new_work) -> None:
    with pytest.raises(DataError, match=r"\['s'\], but is said to be of 't'"):
        call_gvcf.body(new_work(), sample.reference, replace(final, sample_id="t"))


def test_a_sample_counts_once(sample, final, new_work) -> None:
    gvcf = call_gvcf.body(new_work(), sample.reference, final)
    for given in ([], [gvcf, gvcf]):
        with pytest.raises(DataError, match="wanted once"):
            joint_call.body(new_work(), sample.reference, given, cohort_id="c")


def test_missing_indices_are_named(sample, alignment, final, new_work) -> None:
    with pytest.raises(AssetError, match="AlignmentIndex"):
        call_gvcf.body(new_work(), sample.reference, alignment)
    with pytest.raises(AssetError, match="ReferenceIndex"):
        call_gvcf.body(new_work(), replace(sample.reference, companions=()), final)


def test_ambiguous_bases_of_a_reference_end_no_run(sample, final, new_work, engine) -> None:
    fasta = new_work().file("reference.fa")
    indels = [fields for fields in _called(sample.reference, final, new_work, engine) if len(fields[3]) > 4]
    middles = {(fields[0], int(fields[1]) - 1 + len(fields[3]) // 2) for fields in indels}
    fasta.write_text(_with_r(sample.reference.path.read_text(), middles))
    found = _called(replace(sample.reference, path=fasta), final, new_work, engine)
    assert len(found) > 30
    assert all(set(fields[3]) <= set("ACGTN") for fields in found)


def _called(reference, final, new_work, engine) -> list[list[str]]:
    gvcf = call_gvcf.body(new_work(), reference, final, engine=engine)
    return rows(joint_call.body(new_work(), reference, [gvcf], cohort_id="c", engine=engine))


def _with_r(fasta: str, places: set[tuple[str, int]]) -> str:
    """A FASTA with R at these places, counted from 0."""
    written = []
    for contig in fasta.split(">")[1:]:
        name, *lines = contig.splitlines()
        bases = enumerate("".join(lines))
        changed = "".join("R" if (name.split()[0], at) in places else base for at, base in bases)
        written += [f">{name}"] + [changed[at : at + 60] for at in range(0, len(changed), 60)]
    return "\n".join(written) + "\n"
