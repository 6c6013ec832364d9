"""Programs that are scripts, lead elsewhere, or were declared by nobody: what they count by."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dask
import pytest

import stargazer as sg
from stargazer.errors import UndeclaredInput
from stargazer.execute.findings import HiddenInput
from stargazer.ledger import Ledger
from stargazer.store import Store
from stargazer.tools import identify_tool
from stargazer.tools.programs import (
    commands_in,
    folders_named,
    folders_of_patterns,
    look_into,
    script_of,
    variables_of_script,
)
from stargazer.tools.shells import values_in

Write = Callable[..., Path]

ANSWERS = 'if [ "$1" = --version ]; then echo shout {0}; else echo made by {0}; fi\n'


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Write a program below a folder of its own; those in ``bin`` are on PATH."""
    monkeypatch.setenv("PATH", f"{tmp_path}/bin{os.pathsep}{os.environ['PATH']}")

    def write(name: str, text: str, start: str = "#!/bin/sh\n") -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        new = path.with_name(f"{path.name}.new")
        new.write_text(start + text)
        new.chmod(0o755)
        return new.replace(path)

    return write


WRAPPERS = {
    "exec of a path": 'exec {root}/real/shout "$@"\n',
    "a plain command": '{root}/real/shout "$@"\n',
    "beside itself": 'exec "$(dirname "$0")/../real/shout" "$@"\n',
    "beside itself, as a variable": 'HERE=$(cd "$(dirname "$0")" && pwd)\nexec "$HERE/../real/shout" "$@"\n',
    "beside itself, as bash does it": (
        'DIR="$( cd "$( dirname "${{BASH_SOURCE[0]}}" )" >/dev/null 2>&1 && pwd )"\nexec "$DIR/../real/shout" "$@"\n'
    ),
    "beside itself, as careful people do": 'D=$(cd -P -- "$(dirname -- "$0")" && pwd -P)\n"$D/../real/shout" "$@"\n',
    "a variable": 'PREFIX={root}/real\nexec ${{PREFIX}}/shout "$@"\n',
    "an exported variable": 'export PREFIX="{root}/real"; \nexec "$PREFIX"/shout "$@"\n',
    "found on PATH": 'exec shout.real "$@"\n',
    "after a condition": 'if true; then exec {root}/real/shout "$@"; fi\n',
    "through another wrapper": 'exec {root}/real/middle "$@"\n',
    "sourced": ". {root}/real/shout\n",
}


@pytest.mark.parametrize("way", WRAPPERS)
def test_a_wrapper_counts_with_what_it_leads_to(way: str, write: Write, tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "shout.real").symlink_to(tmp_path / "real" / "shout")
    write("real/middle", f'exec {tmp_path}/real/shout "$@"\n')
    found = []
    for version in ("1.0", "2.0", "1.0"):
        write("real/shout", ANSWERS.format(version))
        write("bin/shout", WRAPPERS[way].format(root=tmp_path), start="#!/bin/bash\n")
        found.append(identify_tool("shout"))
    assert [tool.version for tool in found] == ["1.0", "2.0", "1.0"]
    assert found[0] == found[2] != found[1]
    assert found[0].digest != found[1].digest


def test_a_script_counts_with_the_code_that_it_reads_beside_itself(write: Write, tmp_path: Path) -> None:
    (tmp_path / "lib").mkdir()
    scripts = {
        "perl": ("Loud.pm", 'use FindBin;\nuse lib "$FindBin::Bin/../lib";\nuse Loud;\nprint Loud::who();\n'),
        "Rscript": ("loud.R", "source('../lib/loud.R')\n"),
        "ruby": ("loud.rb", "require_relative '../lib/loud.rb'\n"),
    }
    for interpreter, (name, text) in scripts.items():
        path = write("bin/shout", text, start=f"#!/usr/bin/env {interpreter}\n")
        digests = []
        for word in ("one", "two"):
            (tmp_path / "lib" / name).write_text(word)
            digests.append(look_into(str(path)).digest)
        assert digests[0] != digests[1], interpreter


def test_a_wrapper_of_a_module_counts_with_it(write: Write, tmp_path: Path) -> None:
    (tmp_path / "code" / "shouting").mkdir(parents=True)
    (tmp_path / "code" / "shouting" / "__init__.py").touch()
    start = f"export PYTHONPATH={tmp_path}/code\n"
    path = write("bin/shout", start + f'exec {sys.executable} -m shouting "$@"\n')
    digests = []
    for word in ("made", "cried"):
        (tmp_path / "code" / "shouting" / "__main__.py").write_text(f"print({word!r})\n")
        digests.append(look_into(str(path)).digest)
    assert digests[0] != digests[1]


def test_a_wrapper_of_a_script_counts_with_what_that_imports(write: Write, tmp_path: Path) -> None:
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "main.py").write_text("import helper\nprint(helper.WORD)\n")
    path = write("bin/shout", f'exec {sys.executable} {tmp_path}/code/main.py "$@"\n')
    digests = []
    for word in ("made", "cried"):
        (tmp_path / "code" / "helper.py").write_text(f"WORD = {word!r}\n")
        digests.append(look_into(str(path)).digest)
    assert digests[0] != digests[1]


def test_what_a_wrapper_leads_to_is_noticed_though_the_wrapper_stays_as_it_is(write: Write, tmp_path: Path) -> None:
    write("bin/shout", f'exec {tmp_path}/real/shout "$@"\n')
    write("real/shout", ANSWERS.format("1.0"))
    first = identify_tool("shout")
    write("real/shout", ANSWERS.format("1.0").replace("made", "cried"))
    second = identify_tool("shout")
    assert (first.version, second.version) == ("1.0", "1.0")
    assert first.digest != second.digest


def test_an_image_counts(write: Write, tmp_path: Path) -> None:
    """As of a shim that starts a container; the starter itself is absent here."""
    (tmp_path / "images").mkdir()
    image = tmp_path / "images" / "shout.sif"
    shim = write("bin/shout", f'singularity exec -B /data {image} shout "$@"\n')
    image.write_bytes(b"image 1")
    first = look_into(str(shim)).digest
    image.write_bytes(b"image 2")
    assert look_into(str(shim)).digest != first


def test_a_script_asks_for_its_version_once_a_process(write: Write, tmp_path: Path) -> None:
    log = tmp_path / "asked.log"
    log.write_text("")
    write("bin/shout", f"echo asked >> {log}\n{ANSWERS.format('1.0')}")
    for _ in range(5):
        assert identify_tool("shout").version == "1.0"
    assert log.read_text().split() == ["asked"]
    code = "from stargazer.tools import identify_tool; print(identify_tool('shout').version)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "1.0"
    assert log.read_text().split() == ["asked", "asked"]


LONG = "#!/bin/sh\n'''exec' \"{0}\" \"$0\" \"$@\"\n' '''\n"


@pytest.mark.parametrize("start", ["#!/opt/a/bin/python3\n", f"#!{sys.executable}\n", LONG.format(sys.executable)])
def test_the_first_line_is_no_part_of_a_tool(start: str, write: Write) -> None:
    text = "import sys\nprint('shout 1.0')\n"
    expected = look_into(str(write("one/shout", text, f"#!{sys.prefix}/bin/python\n"))).digest
    assert look_into(str(write("two/shout", text, start))).digest == expected
    assert look_into(str(write("three/shout", f"{text}#\n", start))).digest != expected


PYTHON = f"#!{sys.executable}\n"


def test_a_start_script_counts_with_the_modules_that_it_imports(write: Write, tmp_path: Path) -> None:
    text = f"import sys\nsys.path.insert(0, {str(tmp_path / 'package')!r})\nfrom shoutmod import main\nmain()\n"
    write("bin/shout", text, PYTHON)
    found = []
    for version in ("1.0", "2.0.1"):  # of another size: within a second, Python itself would run its old __pycache__
        (tmp_path / "package" / "shoutmod").mkdir(parents=True, exist_ok=True)
        (tmp_path / "package" / "shoutmod" / "__init__.py").write_text("from shoutmod.inside import main\n")
        (tmp_path / "package" / "shoutmod" / "inside.py").write_text(f"def main(): print('shout {version}')\n")
        found.append(identify_tool("shout"))
    assert [tool.version for tool in found] == ["1.0", "2.0.1"]
    assert found[0].digest != found[1].digest


def distribution(root: Path, version: str, digest: str) -> Path:
    """An environment of its own with a distribution in it; the start script that belongs to it."""
    packages = root / "env" / "lib" / "python3.11" / "site-packages"
    for old in packages.glob("*.dist-info"):
        subprocess.run(["rm", "-r", str(old)], check=True)
    info = packages / f"shouting-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: shouting\nVersion: {version}\n")
    (info / "entry_points.txt").write_text("[console_scripts]\nshout = shouting:main\n")
    (info / "RECORD").write_text(f"shouting/__init__.py,sha256={digest},12\n../../../bin/shout,sha256=abc,9\n")
    (root / "env" / "bin").mkdir(exist_ok=True)
    (root / "env" / "bin" / "python").write_text("no interpreter is started")
    (root / "env" / "bin" / "python").chmod(0o755)
    script = root / "env" / "bin" / "shout"
    script.write_text(f"#!{root}/env/bin/python\nfrom shouting import main\nmain()\n")
    script.chmod(0o755)
    return script


def test_a_start_script_counts_with_its_distribution(tmp_path: Path) -> None:
    found = {
        (version, digest): look_into(str(distribution(tmp_path, version, digest))).digest
        for version, digest in (("1.0", "a"), ("1.0", "b"), ("2.0", "a"))
    }
    assert len(set(found.values())) == 3
    assert look_into(str(distribution(tmp_path, "1.0", "a"))).digest == found["1.0", "a"]
    (tmp_path / "elsewhere").mkdir()
    assert look_into(str(distribution(tmp_path / "elsewhere", "1.0", "a"))).digest == found["1.0", "a"]


def test_a_checkout_counts_by_its_files(tmp_path: Path) -> None:
    script = distribution(tmp_path, "1.0", "a")
    checkout = tmp_path / "checkout"
    checkout.mkdir()
    (tmp_path / "env" / "lib" / "python3.11" / "site-packages" / "__editable__.pth").write_text(f"{checkout}\n")
    (checkout / "shouting.py").write_text("def main(): print(1)\n")
    first = look_into(str(script)).digest
    (checkout / "shouting.py").write_text("def main(): print(2)\n")
    assert look_into(str(script)).digest != first


# Programs that no task declared


@sg.task
def shouts(work: sg.Workdir) -> str:
    return work.output(["shout"])


@sg.task(tools=["shout"])
def declares(work: sg.Workdir) -> str:
    return work.output(["shout"])


@sg.task
def shouts_in_a_shell(work: sg.Workdir) -> str:
    return work.output(["sh", "-c", "set -e; if true; then X=1 shout | cat; fi"])


@sg.task
def shouts_in_a_pipe(work: sg.Workdir) -> str:
    out = work.file("out.txt")
    work.pipe(["shout"], ["cat"], stdout=out)
    return out.read_text()


@sg.task
def shouts_in_an_environment(work: sg.Workdir) -> str:
    return work.output(["env", "LOUD=1", "shout"])


@sg.task
def shouts_by_xargs(work: sg.Workdir) -> str:
    return work.output(["sh", "-c", "echo x | xargs -n 1 shout"])


@sg.task
def shouts_by_find(work: sg.Workdir) -> str:
    return work.output(["find", ".", "-maxdepth", "0", "-exec", "shout", ";"])


@sg.task
def shouts_by_itself(work: sg.Workdir) -> str:
    return subprocess.run(["shout"], capture_output=True, text=True, check=True).stdout


UNDECLARED = [
    shouts, shouts_in_a_shell, shouts_in_a_pipe, shouts_in_an_environment, shouts_by_itself, shouts_by_xargs,
    shouts_by_find,
]  # fmt: skip


@pytest.mark.parametrize("task", UNDECLARED, ids=lambda task: task.name)
def test_a_program_that_was_not_declared_is_warned_of_and_counts(task: Any, write: Write, store: Store) -> None:
    results = []
    for version in ("1.0", "2.0", "1.0"):
        write("bin/shout", ANSWERS.format(version))
        known = task().known()
        if known is None:
            with pytest.warns(
                HiddenInput, match=rf"task {task.name} ran shout without declaring it: name it in @sg\.task"
            ):
                known = (task().compute(scheduler="sync"),)
        results.append(known[0].strip())
        record = Ledger(store.records).find(task().plan_key)
        assert record is not None
        assert record.reads == {"!shout": look_into(str(Path(os.environ["PATH"].split(os.pathsep)[0], "shout"))).digest}
    assert results == ["made by 1.0", "made by 2.0", "made by 1.0"]
    with dask.config.set({"stargazer.strict": True}):
        write("bin/shout", ANSWERS.format("3.0"))
        with pytest.raises(UndeclaredInput, match="ran shout without declaring it"):
            task().compute(scheduler="sync")


def test_a_program_that_was_declared_is_no_hidden_input(write: Write, store: Store) -> None:
    write("bin/shout", ANSWERS.format("1.0"))
    assert declares().compute(scheduler="sync").strip() == "made by 1.0"
    record = Ledger(store.records).find(declares().plan_key)
    assert record is not None
    assert (record.reads, list(record.noted)) == ({}, [])


@sg.task
def usual(work: sg.Workdir) -> str:
    return work.output(["sh", "-c", "printf 'b\\na\\n' | sort | head -n 1; cd . && test -d ."])


def test_what_every_system_has_needs_no_declaration(store: Store) -> None:
    assert usual().compute(scheduler="sync").strip() == "a"


# Scripts that an interpreter is given


@sg.task
def by_python(work: sg.Workdir, *, script: str) -> str:
    return work.output(["python", "-u", script, "argument"])


@sg.task
def by_shell(work: sg.Workdir, *, script: str) -> str:
    return work.output(["bash", "-eu", script])


@sg.task
def by_perl(work: sg.Workdir, *, script: str) -> str:
    return work.output(["perl", script])


SCRIPTS = {by_python: "print({0})\n", by_shell: "echo {0}\n", by_perl: "print '{0}';\n"}


@pytest.mark.filterwarnings("ignore::stargazer.execute.findings.HiddenInput")
@pytest.mark.parametrize("task", SCRIPTS, ids=lambda task: task.name)
def test_a_script_counts_by_content(task: Any, tmp_path: Path, store: Store, tool: Callable[[str], str]) -> None:
    tool("perl")
    script = tmp_path / "script"
    for text, known in (("1", False), ("1", True), ("2", False), ("1", True)):
        script.write_text(SCRIPTS[task].format(text))
        call = task(script=str(script))
        assert (call.known() is not None) == known
        assert call.compute(scheduler="sync").strip() == text


@pytest.mark.filterwarnings("ignore::stargazer.execute.findings.HiddenInput")
def test_what_a_script_imports_or_sources_beside_itself_counts(tmp_path: Path, store: Store) -> None:
    (tmp_path / "plot.py").write_text("from helpers import colour\nprint(colour.NAME)\n")
    (tmp_path / "plot.sh").write_text(f". {tmp_path}/colour.sh\necho $NAME\n")
    (tmp_path / "helpers").mkdir()
    (tmp_path / "helpers" / "__init__.py").touch()
    for name in ("red", "blue"):
        (tmp_path / "helpers" / "colour.py").write_text(f"NAME = {name!r}\n")
        (tmp_path / "colour.sh").write_text(f"NAME={name}\n")
        assert by_python(script=str(tmp_path / "plot.py")).compute(scheduler="sync").strip() == name
        assert by_shell(script=str(tmp_path / "plot.sh")).compute(scheduler="sync").strip() == name


def test_a_script_that_is_an_input_is_no_hidden_one(tmp_path: Path, store: Store) -> None:
    (tmp_path / "plot.py").write_text("print(1)\n")
    call = by_asset(sg.add(tmp_path / "plot.py"))
    assert call.compute(scheduler="sync").strip() == "1"
    record = Ledger(store.records).find(call.plan_key)
    assert record is not None
    assert record.reads == {}


@sg.task
def by_asset(work: sg.Workdir, script: sg.Asset) -> str:
    return work.output(["python", script.path])


COMMANDS = {
    ("python", "-m", "pip", "x.py"): None,
    ("python3.12", "-X", "dev", "-W", "ignore", "x.py", "y.py"): "x.py",
    ("bash", "-o", "pipefail", "x.sh"): "x.sh",
    ("bash", "-euc", "echo x.sh"): None,
    ("Rscript", "--vanilla", "x.R", "1"): "x.R",
    ("Rscript", "-e", "1"): None,
    ("perl", "-w", "x.pl"): "x.pl",
    ("samtools", "view", "x.bam"): None,
}


@pytest.mark.parametrize("argv", COMMANDS, ids=" ".join)
def test_scripts_in_commands(argv: tuple[str, ...]) -> None:
    assert script_of(argv) == COMMANDS[argv]


TEXTS = {
    "samtools view x | bwa mem && FOO=1 gatk x": ["samtools", "bwa", "gatk"],
    "for x in a b; do shout $x; done": ["shout"],
    "echo 'a; b | c'": ["echo"],
    "exec /opt/tool --flag > out 2>&1": ["/opt/tool"],
    "cd x && (shout; while true; do cry; done)": ["shout", "true", "cry"],
    "echo 'not closed": [],
    "cat x | xargs -n 1 -P 2 shout -v": ["cat", "xargs", "shout"],
    "timeout 5m shout x": ["timeout", "shout"],
    "find . -name x -exec shout {} +": ["find", "shout"],
}


@pytest.mark.parametrize("text", TEXTS)
def test_programs_in_the_text_of_a_shell(text: str) -> None:
    assert commands_in(["sh", "-c", text]) == ["sh", *TEXTS[text]]


def test_folders_that_a_command_names(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    shell = ["sh", "-c", f"for f in data/*.txt {tmp_path}/da?a/x; do cat $f; done; awk '{{print $1*2}}' data"]
    assert folders_of_patterns(shell, str(tmp_path)) == [f"{tmp_path}/data/", f"{tmp_path}/"]
    assert folders_of_patterns(shell, "") == [f"{tmp_path}/"]
    assert folders_of_patterns(["awk", "{ print $1 * 2 }"], str(tmp_path)) == []
    assert folders_named(["find", "data", "-name", "x y"], str(tmp_path)) == [f"{tmp_path}/data"]
    assert folders_named(["sh", "-c", "find data -type f"], "") == []


def test_what_a_word_gives_to_an_option() -> None:
    words = {"--file=x": "x", "-f/x": "/x", "a=b": "b", "-n": "", "x": "", "-o=x": "x"}
    assert {word: (values_in(word)[1:] or [""])[0] for word in words} == words


def test_variables_that_a_script_asks_for(tmp_path: Path) -> None:
    texts = {
        "python": "import os\nos.environ['ONE']; os.environ.get('TWO'); os.getenv(\"THREE\")\nFOUR = 1\n",
        "perl": "print $ENV{ONE}, $ENV{'TWO'}, $ENV{THREE};\n",
        "Rscript": "Sys.getenv('ONE'); Sys.getenv(\"TWO\"); Sys.getenv('THREE')\n",
        "bash": 'FOUR=1\necho $ONE ${TWO} $x $FOUR "$THREE"\n',
    }
    for interpreter, text in texts.items():
        (tmp_path / "script").write_text(text)
        assert variables_of_script([interpreter, "script"], str(tmp_path)) == ["ONE", "TWO", "THREE"], interpreter
