"""Lineages for other programs: Workflow Run RO-Crates."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import stargazer as sg
from stargazer import config
from stargazer.errors import AssetError, StoreError, ToolMissing

pytestmark = pytest.mark.usefixtures("store")

SCHEMA = (
    "ComputerLanguage CreateAction CreativeWork Dataset PropertyValue SoftwareApplication SoftwareSourceCode about "
    "actionStatus additionalType datePublished description encodingFormat endTime exampleOfWork hasPart identifier "
    "instrument license mainEntity mentions name object programmingLanguage result softwareRequirements "
    "softwareVersion startTime value valueRequired version"
)
TERMS = {
    **{term: f"http://schema.org/{term}" for term in SCHEMA.split()},
    "File": "http://schema.org/MediaObject",
    "conformsTo": "http://purl.org/dc/terms/conformsTo",
    "ComputationalWorkflow": "https://bioschemas.org/ComputationalWorkflow",
    "FormalParameter": "https://bioschemas.org/FormalParameter",
    "input": "https://bioschemas.org/ComputationalWorkflow#input",
    "output": "https://bioschemas.org/ComputationalWorkflow#output",
}
"""What of the terms of RO-Crate 1.1 we use; the validator would fetch all of them from the web."""

SEED = """
import io, sys
from requests.adapters import HTTPAdapter
from requests_cache import CachedSession
from urllib3 import HTTPResponse

class Local(HTTPAdapter):
    def send(self, request, **options):
        body, headers = io.BytesIO(sys.stdin.buffer.read()), {"Content-Type": "application/ld+json"}
        answer = HTTPResponse(body, headers, 200, preload_content=False, request_url=request.url)
        return self.build_response(request, answer)

session = CachedSession(sys.argv[1], backend="sqlite", expire_after=-1)
session.mount("https://", Local())
session.get("https://w3id.org/ro/crate/1.1/context")
"""


class Indexed(sg.Asset):
    """A text, and where its words begin."""

    words: int = 0


@sg.task
def upper(work: sg.Workdir, given: sg.Asset) -> Indexed:
    out, index = work.file("upper.txt"), work.file("upper.txt.idx")
    out.write_text(given.path.read_text().upper())
    index.write_text("0\n")
    return Indexed(path=out, words=1, companions=(sg.Asset(path=index),))


@sg.task(tools=["pysam"])
def parted(work: sg.Workdir, texts: list[Indexed], *, parts: int, labels: tuple[str, ...] = ("a b",)) -> sg.Asset:
    folder = work.directory("parts")
    for number in range(parts):
        (folder / f"{number}.txt").write_text("".join(text.path.read_text() for text in texts))
    return sg.Asset(path=folder)


@sg.task
def counted(work: sg.Workdir, parts: sg.Asset, text: Indexed) -> Indexed:
    out, index = work.file("final count.txt"), work.file("final count.txt.idx")
    out.write_text(f"{len(list(parts.path.iterdir()))}\n")
    index.write_text("0\n")
    return Indexed(path=out, companions=(sg.Asset(path=index),))


@pytest.fixture
def result(tmp_path: Path) -> Indexed:
    """Made of two files by four calls, with a directory between."""
    for name in ("one", "two"):
        (tmp_path / f"{name}.txt").write_text(name)
    texts = [upper(sg.add(tmp_path / f"{name}.txt")) for name in ("one", "two")]
    made: Indexed = counted(parted(texts, parts=2), texts[0]).compute()
    return made


def graph(folder: Path) -> dict[str, dict[str, Any]]:
    entities = json.loads((folder / "ro-crate-metadata.json").read_text())["@graph"]
    return {entity["@id"]: entity for entity in entities}


def ids(value: Any) -> set[str]:
    return {each["@id"] for each in (value if isinstance(value, list) else [value])}


def test_a_crate_tells_of_every_call(result: Indexed, tmp_path: Path) -> None:
    folder = sg.trace(result).to_rocrate(tmp_path / "crate", license="https://spdx.org/licenses/CC0-1.0")
    found = graph(folder)
    actions = {name: entity for name, entity in found.items() if entity["@type"] == "CreateAction"}
    assert sorted(action["name"] for action in actions.values()) == [
        "Run that made final count.txt", "counted", "parted", "upper", "upper",
    ]  # fmt: skip
    run = actions["#run"]
    assert ids(run["result"]) == {"result/final%20count.txt"}
    assert {found[name]["name"] for name in ids(run["object"])} == {"one.txt", "two.txt"}
    assert all(name.startswith("ipfs://") for name in ids(run["object"]))
    assert ids(run["instrument"]) == ids(found["./"]["mainEntity"]) == {"workflow.json"}
    [parts] = [action for action in actions.values() if action["name"] == "parted"]
    values = {found[name]["name"]: found[name].get("value") for name in ids(parts["object"])}
    assert (values["parts"], values["labels"]) == (2, '{"tuple": ["a b"]}')
    [made] = ids(parts["result"])
    assert found[made]["@type"] == "Dataset"
    [task] = [found[name] for name in ids(parts["instrument"])]
    assert {found[name]["name"] for name in ids(task["softwareRequirements"])} == {"pysam"}
    assert ids(found["./"]["mentions"]) == set(actions)
    assert found["./"]["license"] == "https://spdx.org/licenses/CC0-1.0"
    calls = json.loads((folder / "workflow.json").read_text())["calls"]
    assert sorted(call["task"] for call in calls) == ["counted", "parted", "upper", "upper"]
    assert calls[-1]["task"] == "counted"


def test_files_are_copied_as_asked_for(result: Indexed, tmp_path: Path) -> None:
    def copied(files: Any) -> set[str]:
        folder = sg.trace(result).to_rocrate(tmp_path / files, files=files)
        return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}

    always = {"ro-crate-metadata.json", "workflow.json"}
    made = {"result/final count.txt", "result/final count.txt.idx"}
    assert copied("none") == always
    assert copied("result") == always | made
    more = copied("sources") - always - made
    assert {name.rpartition("/")[2] for name in more} == {"one.txt", "two.txt"}
    assert (tmp_path / "result" / "result" / "final count.txt").read_text() == "2\n"


def test_crates_are_the_same_each_time(result: Indexed, tmp_path: Path) -> None:
    one, two = (sg.trace(result).to_rocrate(tmp_path / name, files="sources") for name in ("one", "two"))
    for path in sorted(one.rglob("*")):
        if path.is_file():
            assert path.read_bytes() == (two / path.relative_to(one)).read_bytes()
    assert str(tmp_path) not in (one / "ro-crate-metadata.json").read_text()


def test_what_cannot_be_told_is_an_error(result: Indexed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "file").write_text("")
    with pytest.raises(StoreError, match="there already"):
        sg.trace(result).to_rocrate(tmp_path / "there")
    source = sg.trace(result).sources[0]
    for lineage in (sg.trace(source), sg.trace(source, direction="down")):
        with pytest.raises(AssetError):
            lineage.to_rocrate(tmp_path / "crate")
    monkeypatch.setitem(sys.modules, "rocrate.rocrate", None)
    with pytest.raises(ToolMissing, match=r"stargazer-dask\[rocrate\]"):
        sg.trace(result).to_rocrate(tmp_path / "crate")
    assert not (tmp_path / "crate").exists()


@pytest.mark.parametrize("files", ["none", "sources"])
def test_the_validator_accepts_them(result: Indexed, files: Any, tmp_path: Path, tool: Callable[[str], str]) -> None:
    validator = Path(tool("rocrate-validator"))
    python = validator.resolve().with_name("python")
    required = "rocrate-validator" in config.required_tools()
    if not required and subprocess.run([python, "-c", "import requests_cache"], capture_output=True).returncode:
        pytest.skip(f"{validator} was installed for another Python than {python}")
    folder = sg.trace(result).to_rocrate(tmp_path / "crate", files=files)
    used = {key for entity in graph(folder).values() for key in entity if not key.startswith("@")}
    assert used <= TERMS.keys()
    cache = tmp_path / "http"
    context = json.dumps({"@context": TERMS}).encode()
    subprocess.run([python, "-c", SEED, cache], input=context, check=True, timeout=120)
    command = [validator, "-y", "validate", "-p", "workflow-run-crate", "--no-paging", "--verbose"]
    command += ["--offline", "--cache-path", cache, folder]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "valid workflow-run-crate-0.5" in done.stdout
