"""Real images, run by the real Podman, where it is and can run them."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dask
import pytest
from systems import system_of

import stargazer as sg
from stargazer import config
from stargazer.errors import RunFailed

pytestmark = pytest.mark.usefixtures("store")

PROGRAMS = ("sh", "cat", "tr", "hostname", "sleep")
ABSENT = "localhost/stargazer-test-absent@sha256:" + "0" * 64


@pytest.fixture(autouse=True)
def chosen() -> Iterator[None]:
    """Podman, whatever else is here."""
    with dask.config.set({"stargazer.container-runtime": "podman"}):
        yield


@pytest.fixture(scope="session")
def image(tool: Callable[[str], str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An image in Podman's own store, by its digest; it is taken away again."""
    podman, name = tool("podman"), "localhost/stargazer-test:1"
    root = system_of(tmp_path_factory.mktemp("image") / "root", PROGRAMS)
    packed = subprocess.run(["tar", "-C", root, "-c", "."], capture_output=True, check=True).stdout
    made = [podman, "import", "--change", "ENV PATH=/bin", "--change", "ENV OF_THE_IMAGE=yes", "-", name]
    tried = subprocess.run(made, input=packed, capture_output=True, check=False)
    if tried.returncode == 0:
        tried = subprocess.run([podman, "run", "--rm", name, "cat", "/etc/inside"], capture_output=True, check=False)
    if tried.stdout != b"inside\n" and "podman" not in config.required_tools():
        pytest.skip(f"podman cannot run a container here: {tried.stderr.decode()[-200:]}")
    assert tried.stdout == b"inside\n"
    told = [podman, "image", "inspect", name, "--format", "{{.Digest}}"]
    digest = subprocess.run(told, capture_output=True, check=True, text=True).stdout.strip()
    yield f"localhost/stargazer-test@{digest}"
    subprocess.run([podman, "image", "rm", "--force", name], capture_output=True, check=True)


def body(work: sg.Workdir, words: sg.Asset, *, script: str) -> sg.Asset:
    out = work.file("out.txt")
    work.pipe(["cat", words.path], ["sh", "-c", script], stdout=out)
    return sg.Asset(path=out)


@pytest.fixture
def words(tmp_path: Path) -> sg.Asset:
    path = tmp_path / "words.txt"
    path.write_text("hello\n")
    return sg.add(path)


def test_tools_run_in_an_image(image: str, words: sg.Asset, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("of this machine")
    script = f"tr a-z A-Z; cat /etc/inside; hostname; cat {tmp_path}/secret && echo seen; echo $OF_THE_IMAGE $HOME"
    made = sg.run(sg.task(container=image)(body)(words, script=f"({script}) 2> /dev/null")).result()
    assert made.fetch().read_text() == "HELLO\ninside\nstargazer\nyes /tmp\n"
    record = sg.trace(made).records[0]
    digest = image.partition("@")[2]
    assert record.environment["runtime"].startswith("podman ")
    assert (record.environment["kind"], record.environment["digest"]) == ("image", digest)
    assert [tool["digest"] for tool in record.tools] == [digest.removeprefix("sha256:")]


def test_a_tool_that_fails_there_is_told_with_its_words(image: str, words: sg.Asset) -> None:
    with pytest.raises(RunFailed, match=r"exit code 3(?s:.*)oops"):
        sg.run(sg.task(container=image)(body)(words, script="cat > /dev/null; echo oops >&2; exit 3")).result()


def test_images_that_are_here_are_listed_and_others_told(
    image: str, tmp_path: Path, stargazer: Callable[..., Any]
) -> None:
    lines = ["import stargazer as sg"]
    for name, source in (("far", ABSENT), ("near", image)):
        lines += [
            "",
            "",
            f"@sg.task(container={source!r})",
            f"def {name}(work: sg.Workdir, one: sg.Asset) -> sg.Asset:",
        ]
        lines += ["    return one"]
    text = "\n".join([*lines, ""])
    (tmp_path / "near.py").write_text(text.replace(ABSENT, image))
    (tmp_path / "both.py").write_text(text)
    (row,) = stargazer("tools", "build", tmp_path / "near.py", "--json").json["environments"]
    assert (row["environment"], row["there"]) == (f"container:{image}", True)
    with pytest.raises(AssertionError, match="stargazer-test-absent"):
        stargazer("tools", "build", tmp_path / "both.py")
