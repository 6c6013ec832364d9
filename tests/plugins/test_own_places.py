"""Each of our own tasks, asset types, backends, remotes and profile kinds stands in one place."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dask.config
import pytest

import stargazer as sg
import stargazer.tasks
from stargazer import assets, plugins
from stargazer.calls import Task
from stargazer.client.capacity import offered
from stargazer.errors import ConfigError, StoreError
from stargazer.profiles import kinds
from stargazer.profiles.kinds import ProfileKind, Size, batch_system, kind_of
from stargazer.profiles.settings import CHECKS, find_profile
from stargazer.remotes import Remote, read_remote, settings
from stargazer.remotes.base import FileRemote
from stargazer.store.backends import addresses
from stargazer.store.backends.addresses import SERVICES, Service, read_address

PACKAGES = ("general", "gatk", "scrna")
HERE = Path(stargazer.tasks.__file__).parent


@pytest.mark.parametrize("name", PACKAGES)
def test_every_task_of_a_package_is_offered_because_it_is_declared(name: str) -> None:
    package = importlib.import_module(f"stargazer.tasks.{name}")
    declared = plugins.declared_tasks(package.__name__)
    tasks = {each for each in package.__all__ if isinstance(getattr(package, each), Task)}
    assert tasks == declared.keys(), "name its module in the package's __init__, and the task in its module's __all__"
    for each, module in declared.items():
        assert getattr(package, each).body.__module__ == module
        assert each in stargazer.tasks.__all__
        assert isinstance(getattr(stargazer.tasks, each), Task)


def test_no_task_or_asset_type_is_named_by_the_packages_that_offer_it() -> None:
    files = [HERE / "__init__.py", *(HERE / name / "__init__.py" for name in PACKAGES)]
    files += [Path(sg.__file__), Path(assets.__file__), Path(assets.__file__).with_name("types.py")]
    tasks = {each for name in PACKAGES for each in plugins.declared_tasks(f"stargazer.tasks.{name}")}
    types = {cls for _, cls in assets.own_types().values()}
    twice = {"create_sequence_dictionary", "mark_duplicates"}  # of samtools and of GATK: which is meant must be said
    for file in files:
        assert not (_names(file) & (tasks | types)) - twice, file


def _names(file: Path) -> set[str]:
    """What a module imports by name, or names in a list."""
    tree = ast.parse(file.read_text("utf-8"))
    imported = {each.name for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for each in node.names}
    lists = [node for node in ast.walk(tree) if isinstance(node, (ast.List, ast.Tuple, ast.Set))]
    return imported | {each.value for node in lists for each in node.elts if isinstance(each, ast.Constant)}


def test_every_asset_type_is_public() -> None:
    names = {cls: module for module, cls in assets.own_types().values()}
    assert names.keys() <= set(sg.__all__)
    for name, module in names.items():
        assert getattr(sg, name) is getattr(importlib.import_module(module), name)
    seen = Path(assets.__file__).with_name("types.py").read_text("utf-8")
    assert [module for module in sorted(set(names.values())) if f"from {module} import *" not in seen] == []


def test_naming_one_type_imports_no_other() -> None:
    code = (
        "import sys, stargazer as sg; sg.Reference; "
        "print([n for n in sys.modules if n in ('stargazer.assets.types', 'stargazer.assets.scrna', 'dask')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout.strip() == "[]"


class Drawer(FileRemote):
    """A remote of a kind that comes along, as it would be written."""

    kind = "drawer"
    offers = ("has",)
    options = {"depth": int}

    def __init__(self, name: str, url: str, *, depth: int = 1) -> None:
        super().__init__(name, url)
        self.depth = depth

    def has(self, cid: str) -> bool:
        return cid in self.url

    def stream(self, cid: str, start: int = 0) -> Iterator[bytes]:
        yield b""


def test_a_kind_of_remotes_is_one_line_and_a_class(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(settings.KINDS, "drawer", f"{__name__}:Drawer")
    monkeypatch.setitem(sys.modules, __name__, sys.modules[Drawer.__module__])
    remote = read_remote({"drawer": "/desk", "depth": 2})
    assert isinstance(remote, Drawer)
    assert (remote.name, remote.url, remote.depth) == ("drawer", "/desk", 2)
    with pytest.raises(ConfigError, match="a drawer has no 'width'; it may have name, depth"):
        read_remote({"drawer": "/desk", "width": 2})
    with pytest.raises(ConfigError, match="must have one of store, gateway, kubo, pinata, drawer"):
        read_remote({"shelf": "/desk"})


@pytest.mark.parametrize("kind", settings.KINDS)
def test_every_kind_of_remotes_reads_its_own_entry(kind: str) -> None:
    url = {"store": "/data/store", "pinata": "public"}.get(kind, "https://ipfs.example")
    remote = read_remote({kind: url, "name": "mine"})
    assert isinstance(remote, Remote)
    assert remote.name == "mine"
    assert "name" not in type(remote).options


def test_a_kind_of_profiles_is_one_entry(monkeypatch: pytest.MonkeyPatch) -> None:
    kind = ProfileKind(
        lambda profile: profile,
        takes=(*kinds.EVERYWHERE, "queue", "address"),
        needs="address",
        batch_system="slurm",
        size=lambda profile: Size(3, 4),
        capacity=lambda profiles: profiles[0].queue,
    )
    monkeypatch.setitem(kinds.OWN, "grid", kind)
    with dask.config.set({"stargazer.profiles": {"mine": {"kind": "grid", "address": "tcp://h:1", "queue": "long"}}}):
        profile = find_profile("mine")
        assert (profile.kind, profile.queue, batch_system(profile)) == ("grid", "long", "slurm")
        assert offered([profile]) == "long"
        with pytest.raises(ConfigError, match="cpus=2, but is no option of kind grid"):
            find_profile("mine", cpus=2)
    with (
        dask.config.set({"stargazer.profiles": {"mine": {"kind": "grid"}}}),
        pytest.raises(ConfigError, match=r"profiles.mine.address is not set .* must be the address of a scheduler"),
    ):
        find_profile("mine")
    assert "grid" in kinds.kind_names()


@pytest.mark.parametrize("name", [*kinds.OWN, "slurm"])
def test_what_the_entry_of_a_kind_names_is_there(name: str) -> None:
    kind = kind_of(name)
    assert kind is not None
    named: list[Any] = [kind.connect, kind.capacity, kind.check]
    assert all(callable(plugins.imported(each)) for each in named if each)
    assert set(kind.takes) - {"kind"} <= CHECKS.keys()
    assert not kind.needs or kind.needs in kind.takes


def test_a_service_of_object_stores_is_one_entry(monkeypatch: pytest.MonkeyPatch) -> None:
    ours = Service(("cloud",), {"endpoint": "endpoint_url"}, endpoints=("https",), has_users=True)
    monkeypatch.setattr(addresses, "SERVICES", (*SERVICES, ours))
    read = read_address("cloud://me@box/?endpoint=https://a.example")
    assert (read.place, read.options, read.service) == ("cloud://me@box", {"endpoint_url": "https://a.example"}, ours)
    with pytest.raises(StoreError, match="no option 'region', but endpoint"):
        read_address("cloud://box?region=x")
    with pytest.raises(StoreError, match="begins with https://"):
        read_address("cloud://box?endpoint=http://a.example")
