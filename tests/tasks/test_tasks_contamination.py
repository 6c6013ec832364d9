"""Reads of others, counted in a BAM that is made up."""

from __future__ import annotations

import json
import math
import random
from pathlib import Path

import pysam
import pytest

from stargazer.assets import Alignment, AlignmentIndex, Reference, Variants
from stargazer.tasks.general import estimate_contamination

MARKERS, DEPTH, LENGTH = 80, 30, 8_000
BASES = "ACGT"


class Made:
    """A reference, joint calls of four people of whom ``s`` is one, and reads of ``s`` with a share of ``o``'s."""

    def __init__(self, folder: Path, share: float, markers: int = MARKERS) -> None:
        draw = random.Random(f"reads {share}")
        sequence = "".join(draw.choice(BASES) for _ in range(LENGTH))
        fasta, vcf, bam = folder / "r.fa", folder / "c.vcf", folder / "s.bam"
        fasta.write_text(f">chr1\n{sequence}\n")
        pysam.faidx(str(fasta))
        lines = ["##fileformat=VCFv4.2", "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\ts\to\tp\tq"]
        header = {"HD": {"VN": "1.6", "SO": "coordinate"}, "SQ": [{"SN": "chr1", "LN": LENGTH}]}
        header["RG"] = [{"ID": "1", "SM": "s", "LB": "l"}]  # type: ignore[assignment]
        self.counts: dict[int, tuple[int, int]] = {}
        with pysam.AlignmentFile(str(bam), "wb", header=header) as out:
            for at in range(50, 50 + 95 * markers, 95):
                ref = sequence[at]
                alt = draw.choice([base for base in BASES if base != ref])
                frequency = draw.uniform(0.2, 0.6)
                own, *others = [sum(draw.random() < frequency for _ in range(2)) for _ in range(4)]
                genotypes = "\t".join(("0/0", "0/1", "1/1")[copies] for copies in (own, *others))
                lines.append(f"chr1\t{at + 1}\t.\t{ref}\t{alt}\t.\tPASS\t.\tGT\t{genotypes}")
                shown = [draw.random() < ((1 - share) * own + share * others[0]) / 2 for _ in range(DEPTH)]
                self.counts[at + 1] = DEPTH - sum(shown), sum(shown)
                for number, is_alt in enumerate(shown):
                    out.write(self._read(out.header, f"{at}.{number}", sequence, at, alt if is_alt else ref))
        vcf.write_text("\n".join(lines) + "\n")
        pysam.index(str(bam))
        beside = (AlignmentIndex(path=Path(f"{bam}.bai")),)
        self.alignment = Alignment(path=bam, sample_id="s", format="bam", sorted="coordinate", companions=beside)
        self.variants, self.reference = Variants(path=vcf, sample_id="c"), Reference(path=fasta, build="b")

    @staticmethod
    def _read(header: pysam.AlignmentHeader, name: str, sequence: str, at: int, base: str) -> pysam.AlignedSegment:
        read = pysam.AlignedSegment(header)
        read.query_name, read.reference_id, read.reference_start, read.mapping_quality = name, 0, at - 20, 60
        read.query_sequence = sequence[at - 20 : at] + base + sequence[at + 1 : at + 20]
        read.query_qualities = pysam.qualitystring_to_array("F" * 40)
        read.cigarstring = "40M"
        read.set_tag("RG", "1")
        return read


@pytest.mark.parametrize("share", [0.0, 0.05, 0.25])
def test_the_share_is_told_from_reads(tmp_path: Path, new_work, share: float) -> None:
    made = Made(tmp_path, share)
    found = estimate_contamination.body(new_work(), made.alignment, made.variants, made.reference)
    assert found.share == pytest.approx(share, abs=0.2 * share + 0.015)
    assert (found.sites, found.sample_id) == (MARKERS, "s")
    told = json.loads(found.path.read_text())
    assert told["sites"] == MARKERS
    assert told["share"] == pytest.approx(found.share)


def test_reads_are_counted_as_they_are(tmp_path: Path, new_work) -> None:
    from stargazer.bio.variants.contamination import find_markers
    from stargazer.tasks.general.contamination import _counted

    made = Made(tmp_path, 0.1, markers=20)
    markers = find_markers(made.variants.path, "s")
    counted = _counted(new_work(), made.alignment, made.reference, markers, "embedded")
    assert {position: reads for (_, position), reads in counted.items()} == made.counts
    few = estimate_contamination.body(new_work(), made.alignment, made.variants, made.reference)
    assert math.isnan(few.share)
    assert json.loads(few.path.read_text())["share"] is None
