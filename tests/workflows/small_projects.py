"""Small projects as laboratories have them, drawn at random from a grammar, and how a person calls them by hand.

The scripts use bwa, samtools, bcftools, fastp and GATK as their manuals have it, and nothing of this package: what is
wired, left out, joined or named wrongly shows as another VCF.
"""

from __future__ import annotations

import gzip
import random
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from stargazer.bio.simulate import Cohort, simulate_cohort

LIBRARIES = ("", "lib1", "lib2")
FORMS = ("gzip", "gzip", "gzip", "plain", "members", "blank", "bam")
SHEETS = ("comma", "comma", "semicolon", "tab", "utf-16", "sarek")


class LaneOf(NamedTuple):
    """A lane: its name, library (the sample if empty), form of its files, whether both ends are there, or no reads."""

    name: str
    library: str
    form: str
    paired: bool
    empty: bool = False


class Project(NamedTuple):
    """What was drawn."""

    number: int
    engine: str
    lanes: dict[str, list[LaneOf]]
    length: int
    depth: int
    sheet: str
    trim: bool
    aligner: str
    target: bool
    known: bool
    sexes: dict[str, str]
    ploidy: int
    control: bool

    @property
    def whole(self) -> bool:
        """Whether all samples have all of their reads."""
        most = max(map(len, self.lanes.values()))
        lanes = [lane for found in self.lanes.values() for lane in found]
        return all(len(found) == most for found in self.lanes.values()) and all(
            one.paired and not one.empty for one in lanes
        )

    def __str__(self) -> str:
        lanes = {name: [tuple(one) for one in found] for name, found in self.lanes.items()}
        return f"project {self.number}: {self._asdict() | {'lanes': lanes}}"


def draw_project(number: int, *, with_gatk: bool, with_mem2: bool) -> Project:
    """The project of a number; the same every time."""
    draw = random.Random(f"project {number}")
    engine = draw.choice(("embedded", "native", "gatk")) if with_gatk else draw.choice(("embedded", "native"))
    samples = [f"{draw.choice(('s', 'P-', 'x.', 'anna_'))}{place}" for place in range(draw.choice((1, 1, 2, 3)))]
    trim = draw.random() < 0.3
    return Project(
        number=number,
        engine=engine,
        lanes={sample: _lanes(draw, trim=trim) for sample in samples},
        length=draw.choice((6_000, 8_000)),
        depth=draw.choice((8, 14)),
        sheet=draw.choice(SHEETS),
        trim=trim,
        aligner="bwa-mem2" if with_mem2 and draw.random() < 0.25 else "bwa",
        target=draw.random() < 0.4,
        known=engine == "gatk" and draw.random() < 0.6,
        sexes={sample: draw.choice(("", "XX", "XY")) for sample in samples},
        ploidy=draw.choice((2, 2, 1)) if engine == "gatk" else 2,
        control=draw.random() < 0.2,
    )


def _lanes(draw: random.Random, *, trim: bool) -> list[LaneOf]:
    found = []
    for place in range(draw.choice((1, 1, 2, 3))):
        form = draw.choice(FORMS)
        paired = form == "bam" or draw.random() < 0.8
        empty = place > 0 and form == "gzip" and draw.random() < 0.2
        found.append(LaneOf(f"L{place + 1:03d}", draw.choice(LIBRARIES), form, paired, empty))
    return found


class Written(NamedTuple):
    """A project on disk."""

    project: Project
    cohort: Cohort
    folder: Path
    sheet: Path
    target: Path
    known: Path


def write_project(project: Project, folder: Path) -> Written:
    """Simulate the reads of a project, and write its files in the forms that were drawn."""
    most = max(map(len, project.lanes.values()))
    seed = f"project {project.number}"
    drawn = {"samples": list(project.lanes), "depth": project.depth, "length": project.length, "lanes": most}
    cohort = simulate_cohort(folder, seed=seed, **drawn)  # type: ignore[arg-type]
    made = Written(project, cohort, folder, folder / "samples.csv", folder / "target.bed", folder / "known.vcf")
    made.target.write_text(f"chr1\t400\t{project.length // 3}\nchr1\t300\t500\nchr2\t200\t{project.length // 5}\n")
    _write_known(cohort.truth, made.known)
    rows = [row for sample in project.lanes for row in _rows(made, sample)]
    if project.control:
        draw = random.Random(seed)
        reads = (f"@c:{n}\n{''.join(draw.choice('ACGT') for _ in range(90))}\n+\n{'F' * 90}\n" for n in range(40))
        (folder / "control.fastq").write_text("".join(reads))
        rows.append({"sample": "control", "lane": "L001", "fastq_1": "control.fastq"})
    made.sheet.write_bytes(_sheet(project, rows))
    return made


def _write_known(truth: Path, path: Path) -> None:
    lines = [line.rstrip("\n").split("\t") for line in truth.read_text().splitlines()]
    kept = [fields if fields[0].startswith("##") else fields[:8] for fields in lines if "FORMAT=" not in fields[0]]
    path.write_text("".join("\t".join(fields) + "\n" for fields in kept))


def _rows(made: Written, sample: str) -> Iterator[dict[str, str]]:
    """Lines of the sheet of a sample, whose files are written as they are to be."""
    sex = made.project.sexes[sample]
    for lane, (r1, r2) in zip(made.project.lanes[sample], made.cohort.reads[sample], strict=False):
        row = {"sample": sample, "patient": sample, "sex": sex, "lane": lane.name, "library": lane.library}
        if lane.form == "bam":
            yield row | {"library": "", "bam": _aligned(made, sample, lane, r1, r2).name}
            continue
        ends = [_in_form(path, lane) for path in ([r1, r2] if lane.paired else [r1])]
        yield row | dict(zip(("fastq_1", "fastq_2"), (path.name for path in ends), strict=False))


def _in_form(path: Path, lane: LaneOf) -> Path:
    text = b"" if lane.empty else gzip.decompress(path.read_bytes())
    if lane.form == "plain":
        plain = path.with_name(path.name.removesuffix(".gz"))
        plain.write_bytes(text)
        return plain
    if lane.form == "members":  # as cat joins gzip files
        lines = text.splitlines(keepends=True)
        half = len(lines) // 8 * 4
        path.write_bytes(b"".join(gzip.compress(b"".join(part), mtime=0) for part in (lines[:half], lines[half:])))
    else:
        path.write_bytes(gzip.compress(text + (b"\n" if lane.form == "blank" else b""), mtime=0))
    return path


def _group(sample: str, lane: LaneOf) -> str:
    name = f"{sample}.{lane.name}"
    return f"@RG\\tID:{name}\\tSM:{sample}\\tLB:{lane.library or sample}\\tPL:ILLUMINA\\tPU:{name}"


def _aligned(made: Written, sample: str, lane: LaneOf, r1: Path, r2: Path) -> Path:
    """A lane that comes as BAM, as another program aligned it."""
    bam = made.folder / f"{sample}_{lane.name}.bam"
    script = f"""
[ -e by_hand.bwt ] || bwa index -p by_hand reference.fa
bwa mem -K 100000000 -R '{_group(sample, lane)}' by_hand {r1.name} {r2.name} | samtools view --no-PG -b -o {bam.name} -
"""
    run(script, made.folder)
    return bam


def _sheet(project: Project, rows: list[dict[str, str]]) -> bytes:
    names = ["sample", "lane", "fastq_1", "fastq_2", "bam", "library", "sex"]
    names = [name for name in names if name in ("sample", "lane") or any(row.get(name) for row in rows)]
    if project.sheet == "sarek":
        names = ["patient", "status", *names]
    between = {"semicolon": ";", "tab": "\t"}.get(project.sheet, ",")
    lines = [between.join(names)]
    for row in rows:
        lines.append(between.join((row | {"status": "0", "patient": row["sample"]}).get(name, "") for name in names))
    return ("\n".join(lines) + "\n").encode("utf-16" if project.sheet == "utf-16" else "utf-8")


def run(script: str, folder: Path) -> None:
    """Run a shell script; what it says is told where it fails."""
    ended = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script], cwd=folder, capture_output=True, text=True, check=False, timeout=600
    )
    if ended.returncode:
        raise AssertionError(f"by hand: {ended.returncode}\n{script}\n{ended.stderr[-3000:]}")


def call_by_hand(made: Written, jar: str = "") -> Path:
    """Call a project as a person does who has these tools; the VCF."""
    project, work = made.project, made.folder / "by_hand.d"
    work.mkdir()
    lines = ["cp ../reference.fa .", "samtools faidx reference.fa", "samtools dict - < reference.fa > reference.dict"]
    lines.append(f"{project.aligner} index -p idx reference.fa")
    bams = [f"{sample}.marked.bam" for sample in project.lanes]
    gatk = project.engine == "gatk"
    for sample in project.lanes:
        lines += _align(made, sample)
        lines += _mark_with_gatk(made, sample) if gatk else _mark(made, sample)
    lines += _call_with_gatk(made) if gatk else _call(list(project.lanes), bams)
    start = [f'gatk() {{ java -Xmx1g -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -jar {shlex.quote(jar)} "$@"; }}']
    if project.engine == "embedded":  # the same programs as packages have them, which may be of other versions
        names = ("bwa", "samtools", "bcftools")
        start += [f'{name}() {{ {shlex.quote(sys.executable)} -m stargazer.embedded {name} "$@"; }}' for name in names]
    run("\n".join([*start, *lines]), work)
    return work / "cohort.vcf.gz"


def _kept(project: Project, sample: str) -> list[LaneOf]:
    return [lane for lane in project.lanes[sample] if not lane.empty]


def _align(made: Written, sample: str) -> Iterator[str]:
    project = made.project
    for lane, (one, two) in zip(project.lanes[sample], made.cohort.reads[sample], strict=False):
        if lane.empty:
            continue
        bam = f"{sample}.{lane.name}.bam"
        if lane.form == "bam":
            yield f"cp ../{sample}_{lane.name}.bam {bam}"
            continue
        names = [one.name, two.name] if lane.paired else [one.name]
        ends = [f"../{name.removesuffix('.gz') if lane.form == 'plain' else name}" for name in names]
        if project.trim:
            trimmed = [f"{sample}.{lane.name}.{mate}.fq" for mate in range(1, len(ends) + 1)]
            given = " ".join(
                f"{i} {a} {o} {b}" for i, o, a, b in zip(("-i", "-I"), ("-o", "-O"), ends, trimmed, strict=False)
            )
            found = "--detect_adapter_for_pe" if lane.paired else ""
            yield f"fastp {given} {found} -q 15 -l 15 -w 1 --json {sample}.json --html /dev/null"
            ends = trimmed
        group = _group(sample, lane)
        yield f"{project.aligner} mem -K 100000000 -R '{group}' idx {' '.join(ends)} | samtools view -b -o {bam} -"


def _joined(project: Project, sample: str) -> Iterator[str]:
    """All lanes one after the other, under one header with all read groups; those of a read together."""
    bams = [f"{sample}.{lane.name}.bam" for lane in _kept(project, sample)]
    yield f"samtools view -H {bams[0]} | grep -E '^@(HD|SQ)' > {sample}.sam"
    for bam in bams:
        yield f"samtools view -H {bam} | grep '^@RG' >> {sample}.sam"
    yield f"samtools cat -h {sample}.sam -o {sample}.all.bam {' '.join(bams)}"
    if project.engine != "gatk" and any(lane.form == "bam" for lane in _kept(project, sample)):
        yield f"samtools collate -o {sample}.c.bam {sample}.all.bam && mv {sample}.c.bam {sample}.all.bam"


def _mark(made: Written, sample: str) -> Iterator[str]:
    yield from _joined(made.project, sample)
    libraries = sorted({lane.library or sample for lane in _kept(made.project, sample)})
    parts = [f"{sample}.{number}.bam" for number in range(len(libraries))]
    for library, part in zip(libraries, parts, strict=True):
        yield (
            f"samtools view -b -l {library} {sample}.all.bam | samtools fixmate -m - - | samtools sort - | "
            f"samtools markdup -S -d 100 - {part}"
        )
    yield f"samtools merge -c -p -o {sample}.marked.bam {' '.join(parts)}"
    yield f"samtools index {sample}.marked.bam"


def _call(samples: list[str], bams: list[str]) -> Iterator[str]:
    for sample, bam in zip(samples, bams, strict=True):
        yield (
            "bcftools mpileup --config illumina --min-ireads 1 --max-depth 1000 --gvcf 0,1,2,3,4,5,6,8,10,15,20,30 "
            f"--annotate FORMAT/AD,FORMAT/DP,FORMAT/SP -Oz -o {sample}.g.vcf.gz -f reference.fa {bam}"
        )
        yield f"bcftools index -t {sample}.g.vcf.gz"
    gvcfs = " ".join(f"{sample}.g.vcf.gz" for sample in samples)
    joined = f"bcftools merge --gvcf reference.fa -Ou {gvcfs}" if len(samples) > 1 else f"bcftools view -Ou {gvcfs}"
    yield f"{joined} | bcftools call -m -v -a GQ -Ou - | bcftools norm -f reference.fa -Oz -o cohort.vcf.gz -"


def _mark_with_gatk(made: Written, sample: str) -> Iterator[str]:
    yield from _joined(made.project, sample)
    yield f"gatk SortSam -I {sample}.all.bam -O {sample}.sorted.bam --SORT_ORDER coordinate --CREATE_INDEX true"
    marked = f"{sample}.marked.bam"
    yield f"gatk MarkDuplicates -I {sample}.sorted.bam -O {marked} -M {sample}.metrics --CREATE_INDEX true"
    if made.project.known:
        where = "-L ../target.bed -ip 100" if made.project.target else ""
        yield "[ -e known.vcf ] || { cp ../known.vcf . && gatk IndexFeatureFile -I known.vcf; }"
        yield f"gatk BaseRecalibrator -R reference.fa -I {marked} -O {sample}.table --known-sites known.vcf {where}"
        yield f"gatk ApplyBQSR -R reference.fa -I {marked} --bqsr-recal-file {sample}.table -O {sample}.recal.bam"
        yield f"mv {sample}.recal.bam {marked} && mv {sample}.recal.bai {sample}.marked.bai"


OF_SNPS = {
    "QD2": "QD < 2.0", "QUAL30": "QUAL < 30.0", "SOR3": "SOR > 3.0", "FS60": "FS > 60.0", "MQ40": "MQ < 40.0",
    "MQRankSum-12.5": "MQRankSum < -12.5", "ReadPosRankSum-8": "ReadPosRankSum < -8.0",
}  # fmt: skip
OF_INDELS = {
    "QD2": "QD < 2.0", "QUAL30": "QUAL < 30.0", "FS200": "FS > 200.0", "ReadPosRankSum-20": "ReadPosRankSum < -20.0"
}  # fmt: skip
FILTERS = {f"SNP_{name}": f"vc.isSNP() && {rule}" for name, rule in OF_SNPS.items()}
FILTERS |= {f"INDEL_{name}": f"!vc.isSNP() && {rule}" for name, rule in OF_INDELS.items()}
"""As GATK's best practices have them."""


def _call_with_gatk(made: Written) -> Iterator[str]:
    project = made.project
    where = "-L ../target.bed -ip 100" if project.target else ""
    for sample in project.lanes:
        yield (
            f"gatk HaplotypeCaller -R reference.fa -I {sample}.marked.bam -O {sample}.g.vcf.gz -ERC GVCF "
            f"--sample-ploidy {project.ploidy} --native-pair-hmm-threads 1 {where}"
        )
        yield f"printf '{sample}\\t{sample}.g.vcf.gz\\n' >> samples.map"
    yield "awk '{ print $1 \"\\t0\\t\" $2 }' reference.fa.fai > everywhere.bed"
    where = where or "-L everywhere.bed"
    dbsnp = "--dbsnp known.vcf" if project.known else ""
    yield f"gatk GenomicsDBImport --genomicsdb-workspace-path workspace --sample-name-map samples.map {where}"
    yield (
        f"gatk GenotypeGVCFs -R reference.fa -V gendb://workspace -O genotyped.vcf.gz {where} {dbsnp} "
        "--only-output-calls-starting-in-intervals"
    )
    filters = " ".join(f"--filter-expression '{rule}' --filter-name {name}" for name, rule in FILTERS.items())
    yield f"gatk VariantFiltration -R reference.fa -V genotyped.vcf.gz -O filtered.vcf.gz {filters}"
    samples = ",".join(project.lanes)
    yield f"bcftools norm -f reference.fa -Ou filtered.vcf.gz | bcftools view -s {samples} -Oz -o cohort.vcf.gz -"
