"""What a trusted store knows need not run: it is asked while planning, and gives what is needed."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from gateways import Gateway, blocks_of
from text_tasks import made, twice, upper, wired

import stargazer as sg
from stargazer.errors import BlobLost, RemoteError
from stargazer.remotes import RemoteWarning, fallback
from stargazer.store import Store, layout

Configure = Callable[..., None]


@pytest.fixture
def lab(store: Store, tmp_path: Path) -> tuple[Store, sg.Asset]:
    """A shared store that has a result with its history; and the source, which it has not."""
    source, result = made(store, tmp_path)
    sg.push(result, to=str(tmp_path / "lab"), lineage=True)
    return Store(tmp_path / "lab"), source


def source_in(store: Store, folder: Path) -> sg.Asset:
    return store.add(folder / "text.txt")


def states(*calls: sg.Call) -> dict[str, tuple[str, str]]:
    return {each.call.name.rpartition(":")[2].rpartition(".")[2]: (each.state, each.where) for each in sg.plan(*calls)}


def tasks_run(*calls: sg.Call) -> int:
    return sg.run(*calls, progress=False).tasks_run


def test_on_an_empty_store_the_whole_workflow_is_a_hit(
    lab: tuple[Store, sg.Asset], tmp_path: Path, configure: Configure
) -> None:
    with Store(tmp_path / "mine") as mine:
        call = wired(source_in(mine, tmp_path))
        assert states(call) == {"upper": ("run", ""), "twice": ("run", "")}
        configure({"store": lab[0].url, "name": "lab", "trust": True})
        assert states(call) == {"twice": ("known", "lab")}
        assert "known  twice  at lab" in " ".join(str(sg.plan(call)).split("\n")).replace("text_tasks:", "")
        assert not mine.find(name="twice.txt")
        flight = sg.run(call, progress=False)
        assert (flight.known, flight.tasks_run) == (1, 0)
        result = flight.result()
        assert mine.has(str(result.cid))
        configure()
        assert result.fetch().read_text() == "HELLO-HELLO"
        assert call.known() is not None
        assert len(sg.trace(result).records) == 2
        assert mine.fsck().ok


@pytest.mark.parametrize("way", ["compute", "dask"])
def test_dask_takes_it_as_well(way: str, lab: tuple[Store, sg.Asset], tmp_path: Path, configure: Configure) -> None:
    import dask

    configure({"store": lab[0].url, "trust": True})
    with Store(tmp_path / "mine") as mine:
        call = wired(source_in(mine, tmp_path))
        result = call.compute() if way == "compute" else dask.compute(call)[0]
        assert mine.has(str(result.cid))
        taken = [record.id for record in sg.trace(result).records]
    assert taken == [record.id for record in sg.trace(wired(lab[1]).compute()).records]


def test_of_what_lies_between_only_what_is_needed_comes(
    lab: tuple[Store, sg.Asset], store: Store, tmp_path: Path, configure: Configure
) -> None:
    upper_case, count = upper(lab[1]).compute()
    sg.push(upper_case, to=lab[0].url, lineage=True)
    configure({"store": lab[0].url, "name": "lab", "trust": True})
    with Store(tmp_path / "mine") as mine:
        call = wired(source_in(mine, tmp_path), sep="+")
        assert states(call) == {"upper": ("known", "lab"), "twice": ("run", "")}
        flight = sg.run(call, progress=False)
        assert flight.tasks_run == 1
        assert flight.result().fetch().read_text() == "HELLO+HELLO"
        assert mine.has(str(upper_case.cid))
        assert not mine.has(str(count.cid))
        assert mine.fsck().ok
        assert len(sg.trace(flight.result()).records) == 2


def test_workers_in_other_processes_fetch_their_inputs(
    lab: tuple[Store, sg.Asset], store: Store, tmp_path: Path, configure: Configure
) -> None:
    from distributed import Client, LocalCluster

    upper_case, _ = upper(lab[1]).compute()
    sg.push(upper_case, to=lab[0].url, lineage=True)
    configure({"store": lab[0].url, "trust": True})
    with (
        LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=":0") as cluster,
        Client(cluster) as client,
        Store(tmp_path / "mine") as mine,
    ):
        flight = sg.run(wired(source_in(mine, tmp_path), sep="*"), client=client, progress=False)
        assert flight.tasks_run == 1
        assert flight.result().fetch().read_text() == "HELLO*HELLO"


def test_what_came_by_other_bytes_is_known_by_its_content(
    lab: tuple[Store, sg.Asset], store: Store, tmp_path: Path, configure: Configure
) -> None:
    """Another wiring that reaches the same bytes: its plan key is new, and its content key is not."""
    configure({"store": lab[0].url, "trust": True})
    upper_case, _ = upper(lab[1]).compute()
    with Store(tmp_path / "mine") as mine:
        (tmp_path / "upper.txt").write_text("HELLO")
        own = mine.add(tmp_path / "upper.txt")
        assert own.id == upper_case.id
        assert tasks_run(twice(own, sep="-")) == 0


def test_inputs_and_handles_come_from_any_remote(
    store: Store, tmp_path: Path, configure: Configure, serve: Callable[..., Gateway]
) -> None:
    (tmp_path / "text.txt").write_text("from a gateway")
    source = store.add(tmp_path / "text.txt")
    gateway = serve(blocks_of(store, str(source.cid)))
    store.backend.remove(layout.blob(str(source.cid)))
    with pytest.raises(BlobLost):
        source.fetch()
    with pytest.raises(sg.errors.RunFailed, match="missing"):
        sg.run(upper(source), progress=False)
    configure({"gateway": gateway.url})
    assert upper(source)[0].compute().fetch().read_text() == "FROM A GATEWAY"
    store.backend.remove(layout.blob(str(source.cid)))
    assert source.fetch().read_text() == "from a gateway"
    assert store.fsck().ok


def test_a_corrupt_input_is_fetched_again(
    store: Store, tmp_path: Path, configure: Configure, serve: Callable[..., Gateway]
) -> None:
    (tmp_path / "text.txt").write_text("hello")
    source = store.add(tmp_path / "text.txt")
    configure({"gateway": serve(blocks_of(store, str(source.cid))).url})
    path = Path(store.backend.path(layout.blob(str(source.cid))))
    path.chmod(0o644)
    path.write_text("HALLO")
    assert upper(source)[0].compute().fetch().read_text() == "HELLO"
    assert store.fsck().ok


def harm(lab: Store, cid: str) -> None:
    path = Path(lab.backend.path(layout.blob(cid)))
    path.chmod(0o644)
    path.write_bytes(b"!" * path.stat().st_size)


def test_what_a_trusted_store_has_corrupt_is_refused_and_runs_here(
    lab: tuple[Store, sg.Asset], store: Store, tmp_path: Path, configure: Configure
) -> None:
    upper_case, _ = upper(lab[1]).compute()
    sg.push(upper_case, to=lab[0].url, lineage=True)
    for cid in (str(upper_case.cid), str(wired(lab[1]).compute().cid)):
        harm(lab[0], cid)
    configure({"store": lab[0].url, "name": "lab", "trust": True})
    with Store(tmp_path / "mine") as mine:
        call = wired(source_in(mine, tmp_path))
        with pytest.warns(RemoteWarning, match="lab could not be asked for results"):
            assert call.compute().fetch().read_text() == "HELLO-HELLO"
        fallback._failed.clear()
        other = wired(source_in(mine, tmp_path), sep="+")
        mine.backend.remove(layout.blob(str(upper_case.cid)))
        assert sg.run(other, progress=False).result().fetch().read_text() == "HELLO+HELLO"
        assert mine.fsck().ok


def test_a_store_that_fails_is_named_once_and_left_in_peace(
    lab: tuple[Store, sg.Asset], tmp_path: Path, configure: Configure
) -> None:
    (tmp_path / "torn").mkdir()
    (tmp_path / "torn/store.json").write_text("{")
    configure(
        {"store": str(tmp_path / "torn"), "name": "torn", "trust": True},
        {"store": lab[0].url, "name": "lab", "trust": True},
    )
    with Store(tmp_path / "mine") as mine:
        call = wired(source_in(mine, tmp_path))
        with pytest.warns(RemoteWarning, match=r"torn could not be asked for results .*damaged"):
            assert states(call) == {"twice": ("known", "lab")}
        assert states(call) == {"twice": ("known", "lab")}
        assert tasks_run(call) == 0


def test_stores_that_are_not_trusted_are_not_asked(
    lab: tuple[Store, sg.Asset], tmp_path: Path, configure: Configure
) -> None:
    configure({"store": lab[0].url, "name": "lab"}, {"store": str(tmp_path / "none"), "trust": True})
    with Store(tmp_path / "mine") as mine:
        assert tasks_run(wired(source_in(mine, tmp_path))) == 2
        assert not (tmp_path / "none").exists()


def test_one_question_for_many_calls(
    lab: tuple[Store, sg.Asset], tmp_path: Path, configure: Configure, monkeypatch: pytest.MonkeyPatch
) -> None:
    configure({"store": lab[0].url, "name": "lab", "trust": True})
    asked: list[int] = []
    behind = fallback.trusted_behind
    monkeypatch.setattr(fallback, "trusted_behind", lambda r, keys: asked.append(len(keys)) or behind(r, keys))
    with Store(tmp_path / "mine") as mine:
        source = source_in(mine, tmp_path)
        sg.plan([wired(source, sep=str(number)) for number in range(50)])
    assert asked == [50, 1]


def test_without_remotes_nothing_is_imported(store: Store, tmp_path: Path) -> None:
    made(store, tmp_path)
    code = (
        "import sys, stargazer as sg\n"
        "from text_tasks import made\n"
        "from pathlib import Path\n"
        f"store = sg.Store({store.url!r})\n"
        "with store:\n"
        f"    source, result = made(store, Path({str(tmp_path)!r}))\n"
        "    sg.plan(result.source and __import__('text_tasks').wired(source))\n"
        "assert not {'httpx', 'tenacity', 'stargazer.remotes', 'cryptography'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parent)


def test_nobody_has_what_a_handle_names(store: Store, tmp_path: Path, configure: Configure) -> None:
    (tmp_path / "text.txt").write_text("gone")
    source = store.add(tmp_path / "text.txt")
    store.backend.remove(layout.blob(str(source.cid)))
    configure({"store": str(tmp_path / "lab"), "name": "lab"})
    with pytest.raises(RemoteError, match="lab: lab does not have"):
        source.fetch()
    with pytest.raises(BlobLost, match=r"(?s)did not come from elsewhere either.*lab does not have"):
        upper(source)[0].compute()
