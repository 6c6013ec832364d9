"""Bundles of executors that are not what they should be: refused in our words, whatever is wrong with them."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest

from stargazer.errors import RemoteRefused
from stargazer.executors.asking import Bundle, Executed, Executor, _modules_of

pytest.importorskip("pyarrow")


def read(folder: Path, manifest: Any, modules: set[str] | None = None, **files: bytes) -> Executed:
    """What a client makes of an answer."""
    place = folder / "answer.tar"
    told = manifest if isinstance(manifest, bytes) else json.dumps(manifest).encode()
    with tarfile.open(place, "w") as tar:
        for name, data in {"manifest.json": told, **files}.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    executor = Executor("http://far.example", "token")
    with Bundle(place, executor.url) as bundle:
        return executor._read(bundle, modules)


def told(**more: Any) -> dict[str, Any]:
    return {"success": True, "variables": {}, "error": None, "traceback": None, **more}


@pytest.mark.parametrize(
    "manifest",
    [
        b"", b"{", b"[" * 200, b"\xff", [], None, 5, {}, told(success=None), told(success="no"), told(success=1),
        told(variables=None), told(variables=[]), told(variables=[["a", {}]]), told(variables={"b": None}),
        told(variables={"b": "x"}), told(variables={"b": 5}), told(variables={"b": [1]}), told(files=[]),
        told(files={"a": None}), told(folders={}), told(folders="x"), told(warnings="x"), told(cpu_seconds="x"),
        told(cpu_seconds=-1), told(peak_bytes=1e300), told(cpu_seconds=float("nan")), told(cpu_seconds=True),
    ],
)  # fmt: skip
def test_what_is_no_manifest_is_refused(tmp_path: Path, manifest: Any) -> None:
    with pytest.raises(RemoteRefused, match=r"far\.example sent no manifest: "):
        read(tmp_path, manifest)


@pytest.mark.parametrize(
    ("form", "data"),
    [
        ("arrow/ipc", b"[1"),
        ("arrow/ipc", b""),
        ("arrow/ipc", b"ARROW1\0\0"),
        ("json/object", b"{"),
        ("json/object", b""),
    ],
)
def test_bytes_that_are_not_of_their_form_are_refused(tmp_path: Path, form: str, data: bytes) -> None:
    manifest = told(variables={"b": {"content_type": form, "file": "x"}})
    with pytest.raises(RemoteRefused, match=f"far.example sent b, which is no {form}"):
        read(tmp_path, manifest, x=data)


@pytest.mark.parametrize("name", ["no_such_module_here", "os.no_such_part"])
def test_a_module_that_is_not_here_is_one_that_was_not_sent(tmp_path: Path, name: str) -> None:
    manifest = told(variables={"m": {"content_type": "module/import", "file": "x"},
                               "b": {"content_type": "json/object", "file": "y"}})  # fmt: skip
    done = read(tmp_path, manifest, x=json.dumps(name).encode(), y=b"2")
    assert done.variables == {"b": 2}
    assert f"the module {name} cannot be imported here" in done.unsent["m"]


SOURCE = "import a.b as c, d\nfrom e.f import g\nfrom . import h"
NAMED = {"a", "a.b", "d", "e", "e.f", "e.f.g", "None", "None.h"}


@pytest.mark.parametrize(("source", "names"), [(SOURCE, NAMED), ("%matplotlib inline", set()), ("x = 1", set())])
def test_modules_that_a_cell_imports_are_known_by_its_text(source: str, names: set[str]) -> None:
    assert _modules_of(source, [json, 5]) == names | {"json"}


def test_a_module_that_no_cell_asked_for_is_not_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever answers would choose what runs here."""
    (tmp_path / "runs_as_it_is_imported.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    monkeypatch.syspath_prepend(tmp_path)
    manifest = told(variables={"m": {"content_type": "module/import", "file": "x"}})
    data = json.dumps("runs_as_it_is_imported").encode()
    for modules in (set[str](), {"other"}):
        assert "was neither sent nor is imported by what ran" in read(tmp_path, manifest, modules, x=data).unsent["m"]
    assert not (tmp_path / "ran").exists()
    assert read(tmp_path, manifest, {"runs_as_it_is_imported"}, x=data).variables["m"]
    assert (tmp_path / "ran").exists()


def test_what_was_raised_is_text_whatever_it_was(tmp_path: Path) -> None:
    done = read(tmp_path, told(success=False, error={"kind": "E"}, traceback=["a", 1]))
    assert (done.success, done.error, done.traceback) == (False, '{"kind": "E"}', '["a", 1]')
