"""A package with one of each kind: a task, an asset type, a backend, a remote, a profile."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import dask.config
import pytest

import stargazer as sg
from stargazer import plugins
from stargazer.assets import asset_types
from stargazer.client.connect import connect
from stargazer.errors import ConfigError
from stargazer.profiles.settings import find_profile
from stargazer.remotes import Remote, read_remote
from stargazer.store import Store
from stargazer.testing.remotes import RemoteContract
from stargazer.testing.stores import StoreContract

pytestmark = pytest.mark.usefixtures("lab")

ALONE = """
import json, sys
import stargazer as sg
from stargazer import plugins
loaded = [name for name in sys.modules if name.startswith("lab_")]
offered = [each.name for each in plugins.plugins() if each.package == "lab-stargazer 1.0"]
count = plugins.find(plugins.TASKS, "count_lines")
with sg.Store("lab://alone") as store:
    open(sys.argv[1] + "/text", "w").write("one\\ntwo\\n")
    made = count(sg.add(sys.argv[1] + "/text")).compute(scheduler="sync")
    found = sg.assemble(asset="line_count", lines=2)
    again = count(sg.add(sys.argv[1] + "/text"))
    known = repr(sg.plan(again))
print(json.dumps([loaded, offered, made.lines, type(made).__name__, [each.id for each in found] == [made.id], known]))
"""


def test_one_of_each_kind_is_found_when_it_is_used(lab: Path, tmp_path: Path) -> None:
    code = f"import sys; sys.path.append({str(lab)!r})\n{ALONE}"
    argv = [sys.executable, "-c", code, str(tmp_path)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    loaded, offered, lines, kind, found, known = json.loads(done.stdout)
    assert loaded == []
    assert sorted(offered) == ["balanced", "centred", "count_lines", "folder", "lab", "line_count", "linear", "spare"]
    assert (lines, kind, found) == (2, "LineCount", True)
    assert "known" in known


def test_records_of_a_type_are_read_as_that_type(lab: Path, tmp_path: Path) -> None:
    with sg.Store(tmp_path / "store") as store:
        (tmp_path / "count.txt").write_text("7\n")
        kind = plugins.find(plugins.ASSETS, "line_count")
        stored = store.add(tmp_path / "count.txt", kind(lines=7))
        assert store.get(stored.id) == stored
        assert store.find(asset="line_count", lines="7") == [stored]
        assert asset_types()["line_count"] is kind


class TestLabStore(StoreContract):
    """The contract of stores, kept by the backend of another package."""

    @pytest.fixture
    def url(self, tmp_path: Path) -> str:
        return f"lab://{tmp_path}"

    def test_garbage_goes_and_the_rest_is_sound(self, store: Store, tmp_path: Path) -> None:
        (tmp_path / "kept").write_text("kept")
        kept, gone = store.add(tmp_path / "kept"), store.blobs.put_bytes(b"nothing leads here")
        swept = store.gc(grace=-60)
        assert [place.rpartition("/")[2] for place in swept.removed] == [gone]
        assert store.fsck().ok
        assert store.exists(kept)


class TestLabRemote(RemoteContract):
    """The contract of remotes, kept by the remote of another package."""

    @pytest.fixture
    def remote(self, tmp_path: Path) -> Remote:
        return read_remote({"folder": str(tmp_path / "disk"), "name": "disk", "buffer": 100})

    def give(self, remote: Remote, cid: str, store: Store) -> None:
        remote.push(cid, store)

    def harm(self, remote: Remote, cid: str) -> None:
        (Path(remote.url) / cid).write_bytes(b"something else")


@pytest.mark.parametrize(
    ("entry", "wrong"),
    [
        ({"folder": "/x", "size": 1}, "a folder has no 'size'; it may have name, buffer"),
        ({"folder": "/x", "buffer": "1"}, r"buffer is of the wrong type \(str\)"),
        ({"folders": "/x"}, "must have one of store"),
    ],
)
def test_wrong_settings_of_a_remote_are_refused(entry: dict[str, object], wrong: str) -> None:
    with pytest.raises(ConfigError, match=wrong):
        read_remote(entry, "it")


def test_a_profile_connects(tmp_path: Path) -> None:
    settings = {"stargazer.profiles": {"quiet": {"kind": "spare", "leave": 1, "memory": "1 GiB"}}}
    task = plugins.find(plugins.TASKS, "count_lines")
    (tmp_path / "text").write_text("1\n2\n3\n")
    with dask.config.set(settings), sg.Store(tmp_path / "store"), connect("quiet", cpus=1):
        assert task(sg.add(tmp_path / "text")).compute().lines == 3


@pytest.mark.parametrize(
    ("options", "wrong"),
    [
        ({"leave": -1}, r"profiles.quiet.leave is -1 .* must be what its kind can read: a whole number"),
        ({"walltime": "1:00:00"}, r"is no option of kind spare; there are kind, .*leave"),
        ({"kind": "spares"}, r"must be one of threads, local, address, .*slurm, spare"),
    ],
)
def test_wrong_settings_of_a_profile_are_refused(options: dict[str, object], wrong: str) -> None:
    with (
        dask.config.set({"stargazer.profiles": {"quiet": {"kind": "spare", **options}}}),
        pytest.raises(ConfigError, match=wrong),
    ):
        find_profile("quiet")


def test_the_page_shows_what_is_tested() -> None:
    here = Path(__file__).parent
    page = (here.parent.parent / "docs" / "extending.md").read_text("utf-8")
    shown = re.findall(r"^```(?:python|toml)\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    files = [*(here / "lab" / "lab_stargazer").glob("*s.py"), here / "lab" / "pyproject.toml"]
    for path in files:
        assert path.read_text("utf-8") in shown, f"docs/extending.md does not show {path.name} as it is"
