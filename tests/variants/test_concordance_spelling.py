from __future__ import annotations

import random

import pytest

from stargazer.bio.variants import Accuracy
from stargazer.bio.variants.haplotypes import Edit, leftmost, reach, trimmed

SNV, INS, DEL = "15 A G 0|1", "9 T TT 1|1", "28 AC A 0|1"


def both(count: int) -> Accuracy:
    return Accuracy(found=count, right=count)


def test_equal_calls_are_all_found(compared) -> None:
    result = compared([INS, SNV, DEL], [INS, SNV, DEL])
    assert (result.snv, result.indel) == (both(1), both(2))
    assert result.total.f1 == result.total.precision == result.total.recall == result.total.genotype_concordance == 1
    assert result.differences == ()


def test_missed_and_wrong_calls_count_on_their_side(compared) -> None:
    result = compared([INS, SNV], [SNV, "45 C T 0/1", "46 C G 0/0", "47 A G ./."])
    assert result.snv == Accuracy(found=1, right=1, wrong=1)
    assert result.indel == Accuracy(missed=1)
    assert (result.snv.precision, result.snv.recall, result.snv.f1) == (0.5, 1.0, pytest.approx(2 / 3))
    assert [(one.side, one.position, one.genotype) for one in result.differences] == [
        ("truth", 9, "1/1"), ("calls", 45, "0/1"),
    ]  # fmt: skip


@pytest.mark.parametrize("removed", [INS, SNV, DEL, "45 C T,G 1|2", "49 G GA,GAA 1|2", "54 TGC ACG 0|1"])
def test_one_record_removed_costs_exactly_one(compared, removed: str) -> None:
    records = [INS, SNV, DEL, "45 C T,G 1|2", "49 G GA,GAA 1|2", "54 TGC ACG 0|1"]
    result = compared(records, [one for one in records if one != removed])
    assert result.total == Accuracy(found=5, missed=1, right=5)


def test_a_wrong_genotype_is_told_from_a_wrong_allele(compared) -> None:
    result = compared([INS, "15 A G 0|1"], ["9 T TT 1|1", "15 A G 1/1", "45 C T 0/1"])
    assert result.snv == Accuracy(missed=1, wrong=2, misgenotyped=2)
    assert result.total.genotype_concordance == 0.5
    assert [one.genotype_only for one in result.differences] == [True, True, False]
    assert compared(["15 A G 0|1"], ["15 A G 1/1"], genotypes=False).snv == both(1)


@pytest.mark.parametrize(
    ("truth", "calls"),
    [
        (["8 G GT 0|1"], ["13 T TT 0/1"]),
        (["15 AGC AGT,A 1|2"], ["15 AGC A 0/1", "17 C T 0/1"]),
        (["15 AG CT 1|1"], ["15 A C 1/1", "16 G T 1/1"]),
        (["15 AG CT 0|1"], ["15 A C 0/1", "16 G T 1/0"]),
        (["15 AGC C 0|1"], ["14 CAG C 0/1"]),
        (["16 GCATCATCATG TCATCATG 0|1"], ["16 GCAT T 0/1"]),
        (["28 A T 1|0", "29 C CAA 1|0"], ["28 AC TCAA 0/1"]),
        (["28 A T 1|0", "30 C CAA 0|1"], ["28 A T 0/1", "30 C CAA 1/0"]),
        (["9 T TT,TTT 1|2"], ["9 T TT 0/1", "9 T TTT 0/1"]),
        (["29 C TAA 1|1"], ["29 C T 1/1", "29 C CAA 1/1"]),
        (["28 ACCT G 1|0", "30 C G 0|1"], ["28 A G 0/1", "28 ACCT A 0/1", "30 C G 0/1"]),
        (["17 CATC C 0|1"], ["20 CATC C 0|1"]),
        (["28 ACC A 0|1", "30 C G 1|0"], ["28 ACC A 0/1", "30 C *,G 1/2"]),
        (["15 A G 1"], ["15 A G 1/1"]),
        (["15 A G ./1"], ["15 A G 0/1"]),
        (["15 A G,T 1|2"], ["15 A T,G 1|2"]),
        (["15 a g 0|1"], ["15 A G 0|1"]),
    ],
    ids=[
        "shifted", "split", "mnv", "mnv phases", "trimmed", "shared", "complex", "order", "multiallelic", "anchor",
        "trans", "shifted units", "star", "haploid", "half", "alleles", "case",
    ],
)  # fmt: skip
def test_one_event_written_in_two_ways_is_found(compared, truth: list[str], calls: list[str]) -> None:
    result = compared(truth, calls).total
    assert result == Accuracy(found=len(truth), right=len(calls))


@pytest.mark.parametrize(
    ("truth", "calls"),
    [
        (["8 G GT 0|1"], ["8 G GTT 0/1"]),
        (["8 G GT 0|1"], ["8 G GT 1/1"]),
        (["28 A T 1|1", "29 C CAA 1|0"], ["28 AC TCAA 0/1"]),
        (["17 CATC C 0|1"], ["17 CATCATC C 0/1"]),
        (["15 A G 0|1"], ["15 A C 0/1"]),
        (["15 AG CT 0|1"], ["15 A C 1/1", "16 G T 0/1"]),
        # Moved as far as it goes, this deletion would go through the changed base; as written it is another one.
        (["10 T A 1|1", "12 TT T 1|1"], ["8 GTT GA 1|1", "14 CA C 1|1"]),
    ],
    ids=["length", "copies", "half", "units", "base", "mnv copies", "blocked"],
)
def test_other_sequence_is_not_found(compared, truth: list[str], calls: list[str]) -> None:
    result = compared(truth, calls).total
    assert min(result.wrong, result.missed) > 0


def test_a_wrong_call_beside_an_event_is_wrong_alone(compared) -> None:
    result = compared(["28 ACCT G 1|1"], ["28 A G 1/1", "28 ACCT A 1/1", "34 A C 0/1"])
    assert (result.snv, result.indel) == (Accuracy(right=1, wrong=1), Accuracy(found=1, right=1))
    result = compared(["28 ACCT G 1|1", "37 C T 0|1"], ["28 A G 1/1", "28 ACCT A 1/1"])
    assert (result.snv, result.indel) == (Accuracy(missed=1, right=1), both(1))


def test_records_of_one_side_that_undo_each_other_find_nothing(compared) -> None:
    undone = ["9 T TT 1|1", "12 TT T 1|1"]
    assert compared(undone, ["15 A G 0/1"]).indel == Accuracy(missed=2)
    assert compared([*undone, "15 A C 0|1"], ["15 A G 0/1"]).total == Accuracy(missed=3, wrong=1)


def test_records_that_contradict_each_other_agree_with_themselves(compared) -> None:
    overlapping = ["28 ACCT A 0|1", "30 C G 1|1", "30 C G 1|1"]
    assert compared(overlapping, overlapping).total == both(3)
    assert compared(overlapping, overlapping[:2]).total == Accuracy(found=2, missed=1, right=2)


def test_changes_are_trimmed_and_moved() -> None:
    sequence = "ACGGAAAAACTTTG"
    assert trimmed(3, "GA", "GAA") == Edit(4, 4, "A")
    assert leftmost(sequence, Edit(7, 7, "A")) == Edit(4, 4, "A")
    assert leftmost(sequence, Edit(7, 8, "")) == Edit(4, 5, "")
    assert reach(sequence, Edit(5, 5, "A")) == (4, 9)
    assert reach(sequence, Edit(5, 6, "")) == (4, 9)
    assert leftmost("CCATATG", Edit(6, 6, "AT")) == Edit(2, 2, "AT")
    assert leftmost("AAAA", Edit(3, 4, "")) == Edit(0, 1, "")
    assert reach(sequence, Edit(5, 6, "C")) == (5, 6)


def random_record(rng: random.Random, sequence: str, start: int) -> str:
    """A small change that begins at a base."""
    ref = sequence[start : start + rng.randint(1, 4)]
    alt = "".join(rng.choice("ACGT") for _ in range(rng.randint(0, 3)))
    return f"{start + 1} {ref} {ref[0] + alt} {rng.choice(['0/1', '1/1'])}"


@pytest.mark.parametrize("seed", range(30))
def test_sides_exchanged_exchange_the_answer(compared, seed: int) -> None:
    # The fixture compares the other way round as well; here are dense, overlapping, nonsensical events.
    rng = random.Random(seed)
    sequence = "ACGTACGGTTTTTCAGCATCATCATGGACCTGAAGTCC"

    def side() -> list[str]:
        starts = sorted(rng.sample(range(len(sequence) - 5), 8))
        records = (random_record(rng, sequence, start) for start in starts)
        return [record for record in records if record.split()[1] != record.split()[2]]

    truth, calls = side(), side()
    calls = sorted({*calls[:4], *truth[4:]}, key=lambda record: int(record.split()[0]))
    total = compared(truth, calls).total
    assert (total.found + total.missed, total.right + total.wrong) == (len(truth), len(calls))


@pytest.mark.parametrize("seed", range(20))
def test_neighbours_written_as_one_block_are_found(compared, seed: int) -> None:
    rng = random.Random(seed)
    sequence = "ACGTACGGTTTTTCAGCATCATCATGGACCTGAAGTCCGATTAGCC"
    single, blocks, start = [], [], 1
    while start < len(sequence) - 16:
        pair = [random_change(rng, sequence, start), random_change(rng, sequence, start + 6)]
        genotype = rng.choice(["0/1", "1/1"])
        single += [f"{at + 1} {ref} {alt} {genotype}" for at, ref, alt in pair]
        (first, ref, alt), (second, other_ref, other_alt) = pair
        between = sequence[first + len(ref) : second]
        blocks.append(f"{first + 1} {ref + between + other_ref} {alt + between + other_alt} {genotype}")
        start += rng.randint(14, 18)
    result = compared(single, blocks).total
    assert result == Accuracy(found=len(single), right=len(blocks))


def random_change(rng: random.Random, sequence: str, start: int) -> tuple[int, str, str]:
    """Place and alleles of an SNV, insertion or deletion within five bases."""
    ref = sequence[start : start + rng.randint(1, 4)]
    if len(ref) > 1:
        return start, ref, ref[0]
    other = rng.choice([base for base in "ACGT" if base != ref])
    return start, ref, rng.choice([other, ref + "".join(rng.choice("ACGT") for _ in range(rng.randint(1, 4)))])
