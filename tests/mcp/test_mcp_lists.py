"""Lists that change between two pages, runs that are in no store, and the check that calls all that reads."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mcp import Client
from mcp_agents import asked, with_client

import stargazer as sg
from stargazer import api
from stargazer.errors import ArgumentError
from stargazer.mcp import notebooks
from stargazer.mcp.answers import page
from stargazer.mcp.check import check
from stargazer.mcp.place import Place
from stargazer.mcp.processes import NotebookProcess
from stargazer.mcp.server import make_server

Ask = Callable[..., dict[str, Any]]
Refuse = Callable[..., str]
SLOW = {"n": 2, "seconds": 60.5}


def add(store: sg.Store, name: str) -> sg.Asset:
    Path(name).write_text(name)
    return api.add(Path(name), store=store, progress=False)


def letters(items: list[str], cursor: str | None = None) -> tuple[list[str], str | None]:
    return page(items, cursor, 2, "letters", str)


def test_what_is_removed_or_added_between_two_pages_hides_nothing() -> None:
    first, cursor = letters(list("abcde"))
    assert first == ["a", "b"]
    assert letters(list("bcde"), cursor)[0] == ["c", "d"], "a is gone"
    assert letters(list("0abcde"), cursor)[0] == ["c", "d"], "one came before"
    assert letters(list("abcde"), cursor) == (["c", "d"], letters(list("abcde"), cursor)[1])
    with pytest.raises(ArgumentError, match="has changed"):
        letters(list("acde"), cursor)
    assert letters(list("aaaaa"), letters(list("aaaaa"))[1])[0] == ["a", "a"], "equal items are told apart by place"


def test_files_that_are_forgotten_while_they_are_listed(ask: Ask, store: sg.Store, folder: Path) -> None:
    for number in range(6):
        add(store, f"{number}.txt")
    first = ask("query_files", keyvalues={}, limit=2)
    ask("delete_file", cid=first["files"][0]["id"], confirm=True)
    rest = ask("query_files", keyvalues={}, limit=10, cursor=first["next_cursor"])
    names = [each["name"] for each in [*first["files"], *rest["files"]]]
    assert sorted(names) == [f"{number}.txt" for number in range(6)]


def test_runs_are_all_found_however_old(ask: Ask, store: sg.Store, monkeypatch: pytest.MonkeyPatch) -> None:
    ask("run_task", task_name="broken")
    for n in (1, 2, 3, 4):
        ask("run_workflow", workflow_name="adding", inputs={"n": n})
    store.backend.replace("runs/torn-unknown-20991231T000000Z", b"{")
    seen, cursor = list[str](), None
    while True:
        found = ask("list_runs", limit=1, cursor=cursor)
        seen += [each["what"] for each in found["runs"]]
        if (cursor := found["next_cursor"]) is None:
            break
    assert seen == ["adding"] * 4 + ["broken"]
    assert [each["what"] for each in ask("list_runs", state="failed")["runs"]] == ["broken"]


def test_a_notebook_that_runs_is_among_the_runs(place: Place, folder: Path) -> None:
    (folder / "slow.py").write_text("# %%\nimport time, pathlib\npathlib.Path('began').touch()\ntime.sleep(300)\n")

    async def work(client: Client) -> None:
        run = (await asked(client, "run_notebook", path="slow.py", wait=0))["run"]
        (row,) = (await asked(client, "list_runs", state="running"))["runs"]
        assert (row["run"], row["what"], row["mine"]) == (run, "slow.py", True)
        await asked(client, "cancel_run", run=run)
        rows = {each["run"]: each["state"] for each in (await asked(client, "list_runs"))["runs"]}
        assert rows[run] == "cancelled"
        answer = await client.call_tool("read_log", {"name": run})
        assert "ask wait_for_run" in str(answer.content[0].text)  # type: ignore[union-attr]

    with_client(make_server(place), work)


def test_the_beginning_of_a_handle_that_others_share_is_no_handle(place: Place, store: sg.Store) -> None:
    async def work(client: Client) -> None:
        run = (await asked(client, "run_workflow", workflow_name="adding", inputs=SLOW, wait=0))["run"]
        assert (await asked(client, "wait_for_run", run=run[:8], wait=0))["run"] == run
        store.backend.replace("runs/adding-unknown-20200101T000000Z", b"{}")
        answer = await client.call_tool("cancel_run", {"run": "adding"})
        assert answer.is_error
        assert (await asked(client, "wait_for_run", run=run, wait=0))["state"] == "running"
        await asked(client, "cancel_run", run=run)

    with_client(make_server(place), work)


def test_what_this_server_let_run_apart_is_its_own(ask: Ask, store: sg.Store) -> None:
    run = ask("run_workflow", workflow_name="adding", inputs={"n": 1}, detach=True)["run"]
    (row,) = ask("list_runs")["runs"]
    assert (row["run"], row["mine"]) == (run, True)


def test_a_list_of_notebooks_that_is_not_whole_says_so(ask: Ask, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "a").mkdir()
    for number in range(5):
        (folder / "a" / f"{number}.txt").touch()
    (folder / "b.py").write_text("# %%\nx = 1\n")
    assert ask("list_notebooks")["missed"] == ""
    monkeypatch.setattr(notebooks, "MOST_FILES", 3)
    found = ask("list_notebooks")
    assert "more than 3 files" in found["missed"]


def test_a_folder_stargazer_beside_a_notebook_shadows_nothing(store: sg.Store, folder: Path) -> None:
    (folder / "stargazer").mkdir()
    (folder / "stargazer" / "__init__.py").write_text(
        "import pathlib\npathlib.Path(__file__).with_name('ran').touch()\n"
    )
    (folder / "stargazer" / "cli.py").write_text("def main(): print('{\"cells\": []}')\n")
    (folder / "json.py").write_text("import pathlib\npathlib.Path(__file__).with_name('ran').touch()\n")
    (folder / "beside.py").write_text("VALUE = 41\n")
    (folder / "book.py").write_text("# %%\nimport beside\n\n# %%\nx = beside.VALUE + 1\nassert x == 42\n")
    for options in (["--plan"], []):
        process = NotebookProcess(folder / "book.py", store.url, options)
        assert process.wait(120)
        assert process.answer["success"], process.answer
    assert list(folder.rglob("ran")) == []


def test_the_check_is_not_that_of_the_folder(store: sg.Store, folder: Path) -> None:
    (folder / "stargazer").mkdir()
    (folder / "stargazer" / "__init__.py").write_text("raise SystemExit(3)\n")
    (folder / "book.py").write_text("# %%\nx = 1\n")
    add(store, "words.txt")
    found = check(store.url)
    assert [each for each in found if not each.ok] == []

    async def reading(client: Client) -> set[str]:
        tools = (await client.list_tools()).tools
        return {each.name for each in tools if each.annotations and each.annotations.read_only_hint}

    assert {each.what for each in found} == with_client(make_server(Place(store)), reading) | {"start"}
    told = {each.what: each.told for each in found}
    assert told["read_notebook"] == told["describe_file"] == told["trace"] == ""
    assert "it said" in told["plan_workflow"], "asked about what is not there, where nothing is known to fit"


@pytest.mark.parametrize("name", ["data.csv", ".env", "inner", "reads.fq.gz"])
def test_data_is_not_read_as_a_notebook(place: Place, folder: Path, name: str) -> None:
    (folder / "data.csv").write_text("id,secret\n")
    (folder / ".env").write_text("TOKEN=secret\n")
    (folder / "reads.fq.gz").write_bytes(b"\x1f\x8bsecret")
    (folder / "inner").mkdir()
    (folder / "book.py").write_text("# %%\nx = 1\n")

    async def work(client: Client) -> str:
        assert "x = 1" in (await client.read_resource("stargazer://notebooks/book.py")).contents[0].text  # type: ignore[union-attr]
        with pytest.raises(Exception) as caught:
            await client.read_resource(f"stargazer://notebooks/{name}")
        return str(caught.value)

    told = with_client(make_server(place), work)
    assert "is no notebook" in told
    assert "secret" not in told


def test_failures_that_are_not_told_are_counted(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    from stargazer.mcp import runs

    monkeypatch.setattr(runs, "MOST_FAILURES", 0)

    async def work(client: Client) -> None:
        found = await asked(client, "run_task", task_name="broken")
        assert found["state"] == "failed"
        assert "1 more calls failed" in found["failures"]["…"]

    with_client(make_server(place), work)


def test_what_replaces_says_so(place: Place) -> None:
    async def work(client: Client) -> dict[str, Any]:
        return {each.name: each.annotations for each in (await client.list_tools()).tools}

    told = with_client(make_server(place), work)
    assert (told["edit_notebook"].destructive_hint, told["edit_notebook"].idempotent_hint) == (True, False)
    assert told["fetch_resource_bundle"].open_world_hint is True


def test_who_filters_wants_something_to_fit(ask: Ask, refuse: Refuse, store: sg.Store, folder: Path) -> None:
    (folder / "s1.fq").write_text("@r\nA\n+\nI\n")
    api.add(folder / "s1.fq", sg.R1(sample_id="s1"), store=store, progress=False)
    (folder / "ref.fa").write_text(">1\nACGT\n")
    ref = api.add(folder / "ref.fa", sg.Reference(build="b37"), store=store, progress=False)
    told = refuse("run_task", task_name="letters", filters={"build": "hg19", "sample_id": "s1"})
    assert 'nothing fits {"build": "hg19"}, and ref would be left out' in told
    assert ask("plan_task", task_name="letters", filters={"sample_id": "s1"})["to_run"] == 1
    given = {"filters": {"build": "hg19", "sample_id": "s1"}, "inputs": {"ref": ref.id}}
    assert ask("plan_task", task_name="letters", **given)["to_run"] == 1, "who gives it wants that one"
    found = ask("run_task", task_name="letters", filters={"build": "b37", "sample_id": "s1"})
    assert found["run"].startswith("letters-"), "a run has the name of what was asked for"


def test_what_is_to_be_forgotten_says_what_holds_it(ask: Ask, refuse: Refuse, store: sg.Store, folder: Path) -> None:
    asset = add(store, "words.txt")
    store.names.set("lab/words", asset)
    store.pin("kept", asset)
    for called in (str(asset.cid), asset.id, "lab/words@1"):
        assert ask("delete_file", cid=called)["kept"] == ["pin kept", "the name lab/words@1"]
    assert "confirm" in refuse("delete_file", cid=asset.id, confirm="yes")
    assert store.get(asset.id) is not None


def test_questions_that_are_not_known(place: Place, refuse: Refuse) -> None:
    assert "state" in refuse("list_runs", state="broken")

    async def work(client: Client) -> str:
        with pytest.raises(Exception) as caught:
            await client.get_prompt("plan_analysis", {"question": "which?", "answer": "this"})
        return str(caught.value)

    assert with_client(make_server(place), work) == "plan_analysis has no argument 'answer'; it takes question"
