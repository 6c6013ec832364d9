from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from stargazer.errors import DataError
from stargazer.simulate.compare import Accuracy, Comparison, compare, read_genotypes

#                  0         1         2         3         4         5         6         7
#                  0123456789012345678901234567890123456789012345678901234567890123456789012345
GENOME = {"c": "ACGTACGGTTTTTCAGCATCATCATGGACCTGAAGTCCGATTAGCCATGCAATTGCCGGATACGTTAGCACGTATTGC"}


def vcf(path: Path, *records: str, samples: str = "s") -> Path:
    lines = ["##fileformat=VCFv4.2", "#CHROM POS ID REF ALT QUAL FILTER INFO FORMAT " + samples]
    lines += [f"c {at} . {ref} {alt} . {status} . GT:DP {gt}" for at, ref, alt, status, gt in map(_fields, records)]
    text = "\n".join(line if line.startswith("##") else "\t".join(line.split(" ")) for line in lines) + "\n"
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


def _fields(record: str) -> tuple[str, str, str, str, str]:
    at, ref, alt, *genotypes = record.split(" ")
    status = genotypes.pop(0) if not genotypes[0][0].isdigit() and genotypes[0][0] != "." else "PASS"
    return at, ref, alt, status, " ".join(f"{genotype}:9" for genotype in genotypes)


def compared(tmp_path: Path, truth: list[str], calls: list[str], genotypes: bool = True) -> Comparison:
    sides = (vcf(tmp_path / f"{name}.vcf", *records) for name, records in (("truth", truth), ("calls", calls)))
    return compare(GENOME, *(read_genotypes(path, GENOME) for path in sides), genotypes=genotypes)


SNV, INS, DEL = "15 A G 0|1", "9 T TT 1|1", "28 AC A 0|1"


def test_equal_calls_are_all_found(tmp_path: Path) -> None:
    result = compared(tmp_path, [INS, SNV, DEL], [INS, SNV, DEL])
    assert result == Comparison(snv=Accuracy(found=1), indel=Accuracy(found=2))
    assert result.total.f1 == result.total.precision == result.total.recall == 1


def test_missed_and_wrong_calls_count_on_their_side(tmp_path: Path) -> None:
    result = compared(tmp_path, [SNV, INS], [SNV, "45 C T 0/1", "46 C G 0/0", "47 A G ./."])
    assert result == Comparison(snv=Accuracy(found=1, wrong=1), indel=Accuracy(missed=1))
    assert (result.snv.precision, result.snv.recall) == (0.5, 1.0)
    assert result.total.f1 == pytest.approx(0.5)


def test_a_wrong_genotype_is_missed_and_wrong_unless_only_alleles_count(tmp_path: Path) -> None:
    truth, calls = ["15 A G 0|1"], ["15 A G 1/1"]
    assert compared(tmp_path, truth, calls).snv == Accuracy(wrong=1, missed=1)
    assert compared(tmp_path, truth, calls, genotypes=False).snv == Accuracy(found=1)


@pytest.mark.parametrize(
    ("truth", "calls"),
    [
        (["8 G GT 0|1"], ["13 T TT 0/1"]),
        (["15 AGC AGT,A 1|2"], ["15 AGC A 0/1", "17 C T 0/1"]),
        (["15 AG CT 1|1"], ["15 A C 1/1", "16 G T 1/1"]),
        (["15 AGC C 0|1"], ["14 CAG C 0/1"]),
        (["16 GCATCATCATG TCATCATG 0|1"], ["16 GCAT T 0/1"]),
        (["28 A T 1|0", "29 C CAA 1|0"], ["28 AC TCAA 0/1"]),
        (["28 A T 1|0", "30 C CAA 0|1"], ["28 A T 0/1", "30 C CAA 1/0"]),
        (["9 T TT,TTT 1|2"], ["9 T TT 0/1", "9 T TTT 0/1"]),
        (["29 C TAA 1|1"], ["29 C T 1/1", "29 C CAA 1/1"]),
        (["28 ACCT G 1|0", "30 C G 0|1"], ["28 A G 0/1", "28 ACCT A 0/1", "30 C G 0/1"]),
    ],
    ids=["shifted", "split", "mnv", "trimmed", "shared", "complex", "order", "multiallelic", "anchor", "trans"],
)
def test_one_event_written_in_two_ways_is_found(tmp_path: Path, truth: list[str], calls: list[str]) -> None:
    result = compared(tmp_path, truth, calls).total
    assert (result.wrong, result.missed) == (0, 0)
    assert result.found > 0
    assert compared(tmp_path, calls, truth).total.missed == 0


@pytest.mark.parametrize(
    ("truth", "calls"),
    [
        (["8 G GT 0|1"], ["8 G GTT 0/1"]),
        (["8 G GT 0|1"], ["8 G GT 1/1"]),
        (["28 A T 1|1", "29 C CAA 1|0"], ["28 AC TCAA 0/1"]),
        (["17 CATC C 0|1"], ["17 CATCATC C 0/1"]),
        (["15 A G 0|1"], ["15 A C 0/1"]),
    ],
    ids=["length", "copies", "half", "units", "base"],
)
def test_other_sequence_is_not_found(tmp_path: Path, truth: list[str], calls: list[str]) -> None:
    result = compared(tmp_path, truth, calls).total
    assert min(result.wrong, result.missed) > 0


def test_a_wrong_call_beside_an_event_is_wrong_alone(tmp_path: Path) -> None:
    result = compared(tmp_path, ["28 ACCT G 1|1"], ["28 A G 1/1", "28 ACCT A 1/1", "34 A C 0/1"])
    assert result == Comparison(snv=Accuracy(wrong=1), indel=Accuracy(found=1))
    result = compared(tmp_path, ["28 ACCT G 1|1", "37 C T 0|1"], ["28 A G 1/1", "28 ACCT A 1/1"])
    assert result == Comparison(snv=Accuracy(missed=1), indel=Accuracy(found=1))


def test_filtered_symbolic_and_overlapping_alleles_are_no_calls(tmp_path: Path) -> None:
    calls = vcf(tmp_path / "c.vcf.gz", "15 A G LowQual 0/1", "16 G <NON_REF>,T 1/2", "17 C *,T 1/2")
    assert [(allele.start, allele.alt) for allele in read_genotypes(calls, GENOME)["s"]] == [(15, "T"), (16, "T")]


def test_a_sample_that_was_not_called_is_an_error(tmp_path: Path) -> None:
    truth = read_genotypes(vcf(tmp_path / "t.vcf", "15 A G 0|1 0|1", samples="s t"), GENOME)
    calls = read_genotypes(vcf(tmp_path / "c.vcf", "15 A G 0|1"), GENOME)
    with pytest.raises(DataError, match="'t'"):
        compare(GENOME, truth, calls)
    assert compare(GENOME, calls, truth).snv == Accuracy(found=1)
