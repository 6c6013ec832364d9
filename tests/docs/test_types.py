"""What mypy and pyright say of code that uses the package: each planted mistake, and nothing else."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = ["README.md", *(f"docs/{path.name}" for path in sorted((ROOT / "docs").glob("*.md")))]
LAB = ROOT / "tests" / "plugins" / "lab" / "lab_stargazer"
"""The package that `docs/extending.md` shows file by file, as a test there makes sure."""

OPTIONS = ["--no-incremental", "--strict", "--ignore-missing-imports"]
UNTYPED = """[mypy]
[mypy-lab_stargazer.*]
disallow_untyped_defs = False
disallow_incomplete_defs = False
disallow_untyped_calls = False
disallow_any_generics = False
disallow_subclassing_any = False
"""
"""What others write need not be annotated to add to Stargazer."""

PLANTED = """# mypy: disallow-untyped-defs, disallow-any-generics, warn-return-any, warn-unused-ignores
from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import stargazer as sg


class Kmers(sg.Asset):
    sample_id: str = ""
    k: int = 0


class Pair(NamedTuple):
    left: Kmers
    right: sg.R1


@sg.task(cpus=1)
def count(work: sg.Workdir, reads: sg.R1, mates: sg.R2 | None = None, *, k: int = 3) -> Kmers:
    return Kmers(path="k.txt", sample_id=reads.sample_id, k=k)


@sg.task
def merge(work: sg.Workdir, tables: list[Kmers]) -> sg.Asset:
    return sg.Asset(path=work.file("m.txt"))


@sg.task
def split(work: sg.Workdir, table: Kmers) -> Pair:
    return Pair(table, sg.R1(path="r.fq"))


@sg.task
def number(work: sg.Workdir, table: Kmers) -> int:
    return table.k


@sg.task
def parts(work: sg.Workdir, table: Kmers) -> list[Kmers]:
    return [table]


@sg.dynamic
def per_table(tables: list[Kmers], least: int = 0) -> list[Kmers]:
    return [count(sg.R1(path="r.fq"), k=table.k) for table in tables if table.k > least]


@sg.dynamic(version="1")
def numbers(tables: list[Kmers]) -> list[int]:
    return [number(table) for table in tables]


def grown(reads: sg.R1, table: Kmers) -> None:
    counted = per_table(parts(table), least=2)
    merge(counted)
    per_table(per_table([table]), number(table))
    found: list[Kmers] = per_table([table]).compute()
    every: list[int] = number.map(parts(table)).compute()
    counts: list[Kmers] = sg.run(count.map([reads], k=3)).result()
    merge(count.map([reads]))
    sums: list[int] = sg.run(numbers(found)).result()
    per_table(table)  # wrong
    per_table([table], leasst=1)  # wrong
    per_table([table], least="no")  # wrong
    wrong: list[str] = per_table([table]).compute()  # wrong
    wrong = number.map([table]).compute()  # wrong
    count.mapp([reads])  # wrong
    print(every, counts, sums, wrong)


def calls(reads: sg.R1, mates: sg.R2) -> sg.Call:
    counted: Kmers = count(reads, mates, k=4)
    merged = merge([counted, count(reads)])
    left, right = split(counted)
    count(right, k=number(left))
    merge(parts(counted))
    merge([parts(counted)[0]])
    count(reads, k="no")  # wrong
    count("no")  # wrong
    count(reads, kk=1)  # wrong
    count(mates)  # wrong
    merge(counted)  # wrong
    count(split(counted).left)  # wrong
    split(counted).middle  # wrong
    Kmers(sampel_id="x")  # wrong
    Kmers(k="x")  # wrong
    return merged


def results(reads: sg.R1, call: sg.Call) -> None:
    one: Kmers = count(reads).compute()
    two: Kmers = sg.run(count(reads)).result()
    some: list[Kmers] = sg.run([count(reads)]).result()
    whole: int = number(one).compute()
    pair: Pair = sg.run(split(two)).result()
    added: Kmers = sg.add("x", Kmers(k=1))
    plain: sg.Asset = sg.add(Path("x"))
    where: Path = added.path
    merge(call)
    bare = count.body(sg.Workdir(Path("x")), reads)
    text: str = bare.sample_id
    whole.k  # wrong
    sg.run(count(reads)).result().kk  # wrong
    wrong: sg.R1 = count(reads).compute()  # wrong
    wrong = sg.add("x", Kmers(k=1))  # wrong
    wrong = pair.left  # wrong
    print(some, plain, where, text, wrong)
"""


REFUSED = re.compile(r"with pytest\.raises\(")
"""Before a line that a page shows because it is wrong."""


def said_by_mypy(mypy: str, files: list[Path]) -> set[tuple[str, int]]:
    settings = files[0].parent / "mypy.ini"
    settings.write_text(UNTYPED)
    found = subprocess.run(
        [mypy, "--config-file", str(settings), "--python-executable", sys.executable, *OPTIONS, *map(str, files)],
        capture_output=True,
        text=True,
        cwd=files[0].parent,
    )
    assert found.returncode in (0, 1), found.stdout + found.stderr
    said = re.findall(r"^(\S+?):(\d+): error: (.*)$", found.stdout, re.MULTILINE)
    print(found.stdout)
    return {(Path(file).name, int(line)) for file, line, _ in said}


def said_by_pyright(pyright: str, files: list[Path]) -> set[tuple[str, int]]:
    settings = files[0].parent / "pyrightconfig.json"
    settings.write_text(
        json.dumps(
            {
                "typeCheckingMode": "standard",
                "reportAttributeAccessIssue": "error",
                "useLibraryCodeForTypes": False,  # what others do not type is not guessed
            }
        )
    )
    found = subprocess.run(
        [pyright, "-p", str(settings), "--pythonpath", sys.executable, "--outputjson", *map(str, files)],
        capture_output=True,
        text=True,
        env=os.environ | {"PYRIGHT_PYTHON_IGNORE_WARNINGS": "1"},
    )
    said = [each for each in json.loads(found.stdout)["generalDiagnostics"] if each["severity"] == "error"]
    print(*(f"{each['file']}:{each['range']['start']['line'] + 1}: {each['message']}" for each in said), sep="\n")
    return {(Path(each["file"]).name, each["range"]["start"]["line"] + 1) for each in said}


WRONG = {("planted.py", n) for n, line in enumerate(PLANTED.splitlines(), 1) if line.endswith("# wrong")}


def page_code(page: str, blocks: Callable[[str, str], list[str]]) -> str:
    """The code of a page, as one module."""
    code = "\n\n".join(blocks(page, "python"))
    return f"from __future__ import annotations\n\n{code}" if code else ""


def shown_as_wrong(file: Path) -> set[tuple[str, int]]:
    """Lines that a page shows because they are refused, when they run and by checkers alike."""
    lines = file.read_text("utf-8").splitlines()
    return {(file.name, n + 1) for n, line in enumerate(lines, 1) if REFUSED.match(line.strip())}


@pytest.fixture
def files(blocks: Callable[[str, str], list[str]], tmp_path: Path) -> list[Path]:
    """What holds mistakes, and the code of each page, as one module; of a page of files, the package that they are."""
    made = [tmp_path / "planted.py"]
    made[0].write_text(PLANTED)
    for page in PAGES:
        if page != "docs/extending.md" and (code := page_code(page, blocks)):
            made.append(tmp_path / f"{Path(page).stem.replace('-', '_').lower()}_page.py")
            made[-1].write_text(code)
    shutil.copytree(LAB, tmp_path / LAB.name)
    return [*made, *sorted((tmp_path / LAB.name).glob("*.py"))]


def expected(files: list[Path]) -> set[tuple[str, int]]:
    return WRONG.union(*map(shown_as_wrong, files))


@pytest.mark.slow
def test_mypy_finds_what_is_wrong_and_nothing_else(tool: Callable[[str], str], files: list[Path]) -> None:
    assert said_by_mypy(tool("mypy"), files) == expected(files)


@pytest.mark.slow
def test_pyright_finds_what_is_wrong_and_nothing_else(tool: Callable[[str], str], files: list[Path]) -> None:
    assert said_by_pyright(tool("basedpyright"), files) == expected(files)
