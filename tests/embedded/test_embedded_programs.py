from __future__ import annotations

import gzip
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = [sys.executable, "-m", "stargazer.embedded"]
SAM = "@HD\tVN:1.6\n@SQ\tSN:c\tLN:100\n@PG\tID:bwa\tCL:bwa mem -t 8\n" + "r\t0\tc\t{}\t60\t4M\t*\t0\t0\tACGT\tIIII\n"


def run(*arguments: str | Path, stdin: bytes = b"", cwd: Path | None = None) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([*PROGRAM, *map(str, arguments)], input=stdin, capture_output=True, cwd=cwd, check=False)


def test_text_and_binary_go_through_pipes() -> None:
    bam = run("samtools", "view", "--no-PG", "-b", "-", stdin=SAM.format(7).encode())
    assert bam.stdout[:2] == b"\x1f\x8b"
    text = run("samtools", "view", "-", stdin=bam.stdout)
    assert (text.returncode, text.stdout.split(b"\t")[3]) == (0, b"7")
    assert run("samtools", "view", "-c", "-", stdin=bam.stdout).stdout == b"1\n"


def test_a_failure_has_the_tools_exit_code_and_message(tmp_path: Path) -> None:
    failed = run("samtools", "sort", tmp_path / "nothing.bam")
    assert failed.returncode == 1
    assert b"nothing.bam" in failed.stderr
    missing = run("bcftools", "view", tmp_path / "nothing.vcf")
    assert missing.returncode not in (0, -11)
    assert b"nothing.vcf" in missing.stderr
    assert run("samtools", "index", tmp_path / "nothing.bam").returncode == 1
    assert run("samtools", "no-such-command").returncode == 1


def test_truncated_input_fails(tmp_path: Path) -> None:
    bam = run("samtools", "view", "-b", "-", stdin="".join([SAM.format(1)]).encode()).stdout
    (tmp_path / "cut.bam").write_bytes(bam[: len(bam) - 40])
    assert run("samtools", "sort", "-o", tmp_path / "out.bam", tmp_path / "cut.bam").returncode != 0


def test_a_tool_imports_only_what_runs_it_and_leaves_the_rest_to_be_had() -> None:
    script = (
        "import sys; from stargazer.embedded.__main__ import main; code = main(['samtools', 'version']); "
        "print(code, sorted({'pysam', 'pysam.libcbcf', 'pysam.libcalignmentfile'} & sys.modules.keys())); "
        "import pysam; print(pysam.AlignmentFile.__name__, main(['bcftools', 'version']))"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    told = [line for line in ran.stdout.splitlines() if line.startswith(("0 ", "Al"))]
    assert told == ["0 []", "AlignmentFile 0"]
    assert "bcftools" in ran.stdout


def test_an_unknown_tool_is_wrong_usage() -> None:
    wrong = run("picard")
    assert wrong.returncode == 2
    assert b"picard" in wrong.stderr


def test_a_reader_that_leaves_ends_the_tool_quietly(tmp_path: Path) -> None:
    reads = tmp_path / "r.fq"
    reads.write_text("".join(f"@r{n}\nACGT\n+\nIIII\n" for n in range(100_000)))
    with subprocess.Popen([*PROGRAM, "fastq", reads], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as program:
        assert program.stdout is not None
        assert program.stderr is not None
        program.stdout.read(10)
        program.stdout.close()
        assert (program.wait(), program.stderr.read()) == (-13, b"")


def test_lines_with_command_lines_are_dropped_and_nothing_else() -> None:
    sam = SAM.format(3).encode() + b"@PG-read\t4\t*\t0\t0\t*\t*\t0\t0\tA\tI\n"
    assert run("sam", stdin=sam).stdout == sam.replace(b"@PG\tID:bwa\tCL:bwa mem -t 8\n", b"")
    assert run("sam", stdin=b"@SQ\tSN:c\tLN:100\n").stdout == b"@SQ\tSN:c\tLN:100\n"


def test_bgzip_and_tabix(tmp_path: Path) -> None:
    vcf = (
        "##fileformat=VCFv4.2\n##contig=<ID=c>\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\nc\t1\t.\tA\tC\t.\t.\t.\n"
    )
    packed = run("bgzip", "-c", stdin=vcf.encode())
    assert gzip.decompress(packed.stdout).decode() == vcf
    (tmp_path / "v.vcf.gz").write_bytes(packed.stdout)
    assert run("tabix", "-p", "vcf", tmp_path / "v.vcf.gz").returncode == 0
    assert run("bcftools", "view", "-H", tmp_path / "v.vcf.gz", "c:1").stdout.count(b"\n") == 1


@pytest.mark.parametrize("tool", ["samtools", "bwa", "fastq"])
def test_starting_a_tool_imports_neither_dask_nor_fsspec(tool: str) -> None:
    code = (
        f"import sys; sys.argv = ['x', {tool!r}, 'version']\n"
        "from stargazer.embedded.__main__ import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "print([name for name in ('dask', 'fsspec', 'numpy', 'yaml') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
