"""What all tests share: a store and a cache of their own, the real tools, the public data."""

from __future__ import annotations

import functools
import gc
import logging
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dask.config
import hypothesis
import pytest
from typer.main import get_command
from xdist.scheduler import LoadScopeScheduling

from stargazer import config
from stargazer.errors import ToolMissing
from stargazer.store import Store
from stargazer.tools.identity import locate_tool

try:
    GATK = locate_tool("gatk")
    """The GATK of this machine, looked for before tests get a cache of their own."""
except ToolMissing:
    GATK = ""


def pytest_configure() -> None:
    """Let Ctrl-C count in all processes of the tests, and let drawn examples take their time.

    What a script starts in its background ignores Ctrl-C otherwise; how long an example takes says how loaded the
    machine is.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)
    hypothesis.settings.register_profile(
        "loaded", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
    )
    hypothesis.settings.load_profile("loaded")
    if gone := [place for place in ALONE if not (Path(__file__).parent / place).exists()]:
        raise pytest.UsageError(f"no tests stand in {', '.join(gone)}: name in ALONE where those are that stood there")


TOGETHER = ("slurm", "gatk", "scrna")
"""Folders whose tests share a fixture that is dear: one process runs all of a folder."""

ALONE = (
    "app/", "calls/", "cli/test_cli_demo_scrna.py", "docs/", "fingerprint/test_code_edits.py", "mcp/", "notebook/",
    "remotes/test_remote_fuzz.py", "scrna/test_project.py", "service/", "store/test_store_fuzz.py", "tables/",
    "workflows/test_workflows_projects.py",
)  # fmt: skip
"""Where slow tests stand that nothing quicker stands for: CI runs them in their short forms."""


@pytest.hookimpl(tryfirst=True)  # before tests are chosen by their marks
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes longest in one process, so that the others do all the rest beside it.

    Where CI asks for it, what fails is tried once more: most folders have tests that wait for servers, browsers,
    threads and processes that others schedule. It is listed as RERUN then, and to be looked at though it passes.
    """
    twice = os.environ.get("STARGAZER_TRY_TWICE")
    for item in items:
        if item.get_closest_marker("slow") and _place(item).startswith(ALONE):
            item.add_marker(pytest.mark.alone)
        if twice:
            item.add_marker(pytest.mark.flaky(reruns=1))
    long = {_place(item) for item in items if item.get_closest_marker("alone")}
    items.sort(key=lambda item: (_rank(_place(item)), _place(item) not in long))


def _place(item: pytest.Item) -> str:
    """Path of a test's file below the folder of all tests."""
    return item.path.relative_to(Path(__file__).parent).as_posix()


def _rank(place: str) -> int:
    """Where a file stands in the order: whole folders first, as they are named above."""
    folder = place.partition("/")[0]
    return TOGETHER.index(folder) if folder in TOGETHER else len(TOGETHER)


class WholeFiles(LoadScopeScheduling):  # type: ignore[misc]
    """Give each process that runs tests whole files, or folders, so that what their tests share is made once."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        folder = file.partition("tests/")[2].partition("/")[0]
        return folder if folder in TOGETHER else file


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> WholeFiles:
    """Let several processes share the tests by place."""
    config.option.loadscopereorder = False
    return WholeFiles(config, log)


FAILED = pytest.StashKey[bool]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Keep in mind what failed."""
    report = yield
    item.stash[FAILED] = item.stash.get(FAILED, False) or report.failed  # type: ignore[attr-defined]
    return report


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item) -> Iterator[None]:
    """Where CI asks for it, empty the folder of a test that passed, before its files come to the disk.

    All tests leave 400,000 files, and to delete these afterwards takes minutes. The folder itself stays: the next test
    of that name gets another one, and never finds a path that this process knows already.
    """
    done = yield
    if os.environ.get("STARGAZER_TIDY") and not item.stash.get(FAILED, False):
        _empty(getattr(item, "funcargs", {}).get("tmp_path"), item.config.getoption("basetemp"))
    return done


def _empty(folder: Path | None, below: str | None) -> None:
    """Delete what lies in the folder of a test; not in one that the test has from elsewhere."""
    if folder is None or below is None or os.path.realpath(below) not in map(str, folder.parents):
        return
    for each in os.scandir(folder):
        if each.is_dir(follow_symlinks=False):
            shutil.rmtree(each.path, ignore_errors=True)
        else:
            Path(each).unlink(missing_ok=True)


def pytest_collection_finish() -> None:
    """Spare the garbage collector the thousands of tests that were collected: it would look at all of them again."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def room() -> Iterator[None]:
    """Keep what failed calls wrote however full the disk of this machine is."""
    from stargazer.tools import scratch

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scratch, "ROOM", 0.0)
        yield


@pytest.fixture(scope="session", autouse=True)
def commands() -> Iterator[None]:
    """Make the command line of its functions once, as a process of a user does: it takes a tenth of a second."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("typer.testing._get_command", functools.cache(get_command))
        yield


@pytest.fixture(autouse=True)
def isolated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Keep the user's store and caches out of every test, and out of the processes that it starts; GATK stays."""
    places = {"store": str(tmp_path / "default-store"), "cache": str(tmp_path / "cache")}
    places["key"] = str(tmp_path / "key.pem")
    if GATK.endswith(".jar"):
        places["gatk-jar"] = GATK
    for name, place in places.items():
        monkeypatch.setenv(f"DASK_STARGAZER__{name.upper().replace('-', '_')}", place)
    monkeypatch.setenv("DASK_STARGAZER__DEFAULT_GATEWAYS", "[]")
    settings: dict[str, object] = {f"stargazer.{name}": place for name, place in places.items()}
    with dask.config.set({**settings, "stargazer.default-gateways": []}):
        yield


@pytest.fixture(autouse=True)
def heard() -> None:
    """Let warnings be heard, whatever the libraries of other tests did to the loggers of this process."""
    logging.disable(logging.NOTSET)
    logging.getLogger().setLevel(logging.WARNING)
    ours = logging.getLogger("stargazer")
    ours.disabled, ours.propagate = False, True
    ours.setLevel(logging.NOTSET)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """A new store on the local disk; it is the active one."""
    with Store(str(tmp_path / "store")) as opened:
        yield opened


@pytest.fixture(scope="session")
def tool() -> Callable[[str], str]:
    """Path of a real tool; skips the test where it is absent, unless STARGAZER_REQUIRE_TOOLS names it."""

    def find(name: str) -> str:
        path = shutil.which(name)
        if path is not None:
            return path
        if name in config.required_tools():
            pytest.fail(f"{name} is not on PATH, but STARGAZER_REQUIRE_TOOLS names it")
        pytest.skip(f"{name} is not on PATH")

    return find


@pytest.fixture(scope="session")
def gatk() -> Path:
    """The real GATK; skips the test where it is absent, unless STARGAZER_REQUIRE_TOOLS names it."""
    if GATK:
        return Path(GATK)
    if "gatk" in config.required_tools():
        pytest.fail("GATK is not here, but STARGAZER_REQUIRE_TOOLS names it: stargazer tools install gatk")
    pytest.skip("GATK is not here: stargazer tools install gatk")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of public test data."""
    folder = os.environ.get("STARGAZER_TEST_DATA")
    if not folder:
        pytest.skip("STARGAZER_TEST_DATA is not set: it names the folder of public test data")
    return Path(folder)


@pytest.fixture(scope="session")
def short() -> bool:
    """Whether slow tests run in their short form."""
    return bool(os.environ.get("STARGAZER_SHORT"))


@pytest.fixture(scope="session")
def seeds(short: bool) -> Callable[[range, range], range]:
    """Seeds of a test that draws: few in the short form, else many; STARGAZER_SEEDS=300:1000 names others.

    A long form is so run in parts, gone on with where it stopped, or begun at the seed that failed.
    """
    named = os.environ.get("STARGAZER_SEEDS")

    def chosen(few: range, many: range) -> range:
        return range(*map(int, named.split(":"))) if named else few if short else many

    return chosen
