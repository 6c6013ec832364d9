"""A file is data: what it says of other files, of programs and of its own size is not obeyed.

Cases of other systems in our own words stand in ``docs/design/0083-cases-of-others.md``.
"""

from __future__ import annotations

import gzip
import struct
import subprocess
import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import pytest

import stargazer as sg
from stargazer.errors import DataError, StargazerError
from stargazer.ledger.rebuilt import value_of
from stargazer.tasks.sam import bam_header, sam_contigs, sam_references
from stargazer.tools import EMBEDDED, Workdir

SAM = "@HD\tVN:1.6\tSO:coordinate\n@SQ\tSN:c\tLN:20\n@RG\tID:g\tSM:s\tLB:l\n"
READ = "r\t0\tc\t1\t60\t10M\t*\t0\t0\tACGTACGTAC\tIIIIIIIIII\tRG:Z:g\n"


@pytest.fixture
def work(tmp_path: Path) -> Workdir:
    (tmp_path / "work").mkdir()
    return Workdir(tmp_path / "work")


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    """A file of whoever reads the CRAM."""
    path = tmp_path / "private.fa"
    path.write_text(">c\nACGTACGTACGTACGTACGT\n")
    return path


@pytest.fixture
def cram(work: Workdir, secret: Path, tmp_path: Path) -> Callable[[str], Path]:
    """Make a CRAM whose only contig has some further fields."""

    def make(fields: str) -> Path:
        samtools = [*EMBEDDED, "samtools"]
        (work.path / "a.sam").write_text(SAM + READ)
        work.run([*samtools, "view", "--no-PG", "-C", "-T", secret, "-o", "a.cram", "a.sam"])
        (work.path / "h.sam").write_text(SAM.replace("LN:20", f"LN:20{fields}"))
        work.run([*samtools, "reheader", "--no-PG", "h.sam", "a.cram"], stdout=tmp_path / "made.cram")
        return tmp_path / "made.cram"

    return make


@pytest.mark.parametrize(
    "fields",
    [
        "\tUR:{0}",
        "\tUR:file://{0}",
        "\tUR:{0}\tUR:/nonexistent",  # htslib takes the first
        "\tUR:/nonexistent\tUR:{0}",
        "\tAN:x\x1cy\tUR:{0}",  # no end of a line for htslib
        "\tAN:x\x85y\tUR:{0}",
        "\tAN:x\u2028y\tUR:{0}",
        "\tUR:http://127.0.0.1:1/x.fa",
        "\tUR:DATA:,%3Ec%0AACGT",
        "\tUR:inputs/alignment/made.cram",
    ],
)
def test_a_cram_reads_no_file_that_it_names(
    store: sg.Store, cram: Callable[[str], Path], secret: Path, fields: str
) -> None:
    from stargazer.tasks.general import samtools_sort

    made = cram(fields.format(secret))
    with pytest.raises(DataError, match="says that its reference is"):
        samtools_sort(sg.add(made, sg.Alignment(sample_id="s", format="cram"))).compute()


def test_of_a_field_that_comes_twice_the_first_counts_as_for_htslib() -> None:
    header = "@SQ\tSN:a\tLN:5\tLN:9\n@SQ\tSN:b\x1c@SQ\tLN:7\n"
    assert sam_contigs(header) == {"a": 5, "b\x1c@SQ": 7}
    assert sam_references("@SQ\tSN:a\tUR:x\tUR:y\n") == ["x", "y"]


@pytest.mark.parametrize("length", [-1, -(1 << 31), (1 << 31) - 1])
def test_a_bam_whose_header_claims_everything_is_refused_before_it_is_read(tmp_path: Path, length: int) -> None:
    path = tmp_path / "bomb.bam"
    with gzip.open(path, "wb", compresslevel=1) as file:
        file.write(struct.pack("<4si", b"BAM\1", length) + bytes(10 << 20))
    with pytest.raises(DataError, match=r"bomb\.bam claims a header of"):
        bam_header(path)


@pytest.mark.parametrize("name", ["data:,@HD%09VN:1.6%0a", "http:x", "preload:x", "file:x"])
def test_the_name_of_a_file_is_no_address(work: Workdir, name: str) -> None:
    """htslib reads ``data:,x`` from the name itself."""
    path = work.file(name)
    path.write_text("@HD\tVN:1.0\n")
    assert work.output([*EMBEDDED, "samtools", "view", "--no-PG", "-H", path]) == "@HD\tVN:1.0\n"


@pytest.mark.parametrize(
    "number", ["1" * 200_000 + "x", "1" * 200_000 + "e", "." + "1" * 200_000 + "e+", "-" * 200_000]
)
@pytest.mark.timeout(60)
def test_no_number_takes_for_ever(number: str) -> None:
    from stargazer.assets.fact_types import _read_number

    with pytest.raises(Exception, match="float"):
        _read_number(number)


@pytest.mark.parametrize("python", ["python", "python3", sys.executable])
@pytest.mark.parametrize("how", [["-c", "import json"], ["-uc", "import json"], ["-m", "json.tool", "-h"], ["-"], []])
def test_no_python_runs_what_lies_where_it_starts(work: Workdir, tmp_path: Path, python: str, how: list[str]) -> None:
    (work.path / "json.py").write_text(f"open({str(tmp_path / 'RAN')!r}, 'w')\n")
    (work.path / "code").write_text("import json\n")
    work.run([python, *how], stdin=work.path / "code")
    assert not (tmp_path / "RAN").exists()


def test_another_pythons_scripts_still_find_what_lies_beside_them(work: Workdir) -> None:
    (work.path / "beside.py").write_text("VALUE = 7\n")
    (work.path / "main.py").write_text("import beside; print(beside.VALUE)\n")
    for command in (["python3", "main.py"], ["python3", "-u", "main.py"], ["python", "-X", "utf8", "main.py"]):
        assert work.output(command) == "7\n"


def test_settings_of_tools_among_the_inputs_are_inputs(store: sg.Store, tmp_path: Path) -> None:
    """``.netrc``, ``.bcftools``, ``conftest.py`` and the like lie below ``inputs``, where nothing starts."""

    @sg.task
    def listed(work: sg.Workdir, files: list[sg.Asset]) -> sg.Asset:
        out = work.file("out.txt")
        work.run(["sh", "-c", 'ls -A; cat "$@"', "sh", *(each.path for each in files)], stdout=out)
        return sg.Asset(path=out)

    names = [".netrc", ".bcftools", "conftest.py", "sitecustomize.py", ".Rprofile", "-n", "Makefile", ".bashrc"]
    made = [tmp_path / name for name in names]
    for path in made:
        path.write_text(f"text of {path.name}\n")
    text = listed([sg.add(path) for path in made]).compute().fetch().read_text()
    assert text.splitlines() == [".logs", "inputs", "out.txt", "tmp", *(f"text of {name}" for name in names)]


@pytest.mark.parametrize("kind", ["a type", "a reference", "an unknown encoding", "a group without codes", "opaque"])
def test_an_h5ad_of_odd_elements_is_read_or_refused_in_our_words(store: sg.Store, tmp_path: Path, kind: str) -> None:
    h5py, np, anndata = (pytest.importorskip(name) for name in ("h5py", "numpy", "anndata"))
    path = tmp_path / "x.h5ad"
    anndata.AnnData(np.ones((4, 4), "f4")).write_h5ad(path)
    with h5py.File(path, "r+") as file:
        uns = file["uns"]
        if kind == "a type":
            uns["odd"] = np.dtype("f8")
        elif kind == "a reference":
            uns["odd"] = np.array([file["X"].ref], dtype=h5py.ref_dtype)
        elif kind == "opaque":
            uns["odd"] = np.array([b"\x80\x04pickle"], dtype="V8")
        else:
            group = uns.create_group("odd")
            group.attrs["encoding-type"] = "categorical" if "codes" in kind else "os.system"
            group.attrs["encoding-version"] = "0.2.0"
    try:
        assert sg.add(path, sg.AnnData(sample_id="s")).n_obs == 4
    except StargazerError as error:
        assert "x.h5ad" in str(error)


def test_a_string_as_wide_as_a_bomb_counts(store: sg.Store, tmp_path: Path) -> None:
    h5py, np, anndata = (pytest.importorskip(name) for name in ("h5py", "numpy", "anndata"))
    path = tmp_path / "x.h5ad"
    anndata.AnnData(np.ones((4, 4), "f4")).write_h5ad(path)
    with h5py.File(path, "r+") as file:
        file["uns"].create_dataset(
            "wide", (4000,), h5py.string_dtype(length=2_000_000), chunks=(1,), compression="gzip"
        )
    with pytest.raises(DataError, match="claims 7 GiB of arrays"):
        sg.add(path, sg.AnnData(sample_id="s"))


@pytest.mark.parametrize("name", ["reads.list", "reads.ARGS", "x.args"])
def test_no_file_of_gatk_is_a_list_of_others(work: Workdir, name: str) -> None:
    from stargazer.tasks.gatk.java import run_gatk

    work.file(name).write_text("/etc/passwd\n")
    with pytest.raises(DataError, match="for a list of files, by its name"):
        run_gatk(work, ["gatk", "HaplotypeCaller", "-I", work.path / name])


def test_a_working_copy_that_somebody_packed_runs_nothing(tmp_path: Path) -> None:
    """``.git/config`` names programs that git starts when it is asked what changed."""
    from stargazer.tools.git import revision_of

    copy, evil = tmp_path / "copy", tmp_path / "evil.sh"
    copy.mkdir()
    evil.write_text(f"#!/bin/sh\ntouch {tmp_path}/RAN-$1\n")
    evil.chmod(0o755)

    def git(*words: str) -> None:
        asked = ["git", "-C", str(copy), "-c", "user.name=a", "-c", "user.email=a@b", *words]
        subprocess.run(asked, check=True, capture_output=True)

    git("init", "-q")
    (copy / "a.py").write_text("x = 1\n")
    git("add", ".")
    git("commit", "-qm", "first")
    for key in ("core.fsmonitor", "filter.e.clean", "filter.e.process", "diff.e.command", "diff.e.textconv"):
        git("config", key, f"{evil} {key}")
    git("config", "filter.e.required", "true")
    (copy / ".gitattributes").write_text("*.py filter=e diff=e\n")
    (copy / "a.py").write_text("x = 2\n")
    (copy / "b.py").write_text("y = 1\n")
    found = revision_of(str(copy / "a.py"))
    assert (len(found.commit), found.dirty) == (40, True)
    assert b"+x = 2" in (found.diff or b"")
    assert list(tmp_path.glob("RAN-*")) == []


def test_a_number_in_a_record_is_not_worked_out_for_ever() -> None:
    for given in (["1e9999999999"], ["1/3"], [1, 2, 3], [None], "1"):
        with pytest.raises(LookupError):
            value_of({"fraction": given})
    assert value_of({"fraction": [1, 3]}) == Fraction(1, 3)
