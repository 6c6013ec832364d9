"""Two hundred inputs that nobody should send: each is refused in our words, and nothing is read, written or told."""

from __future__ import annotations

import http.server
import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest
from mcp import Client
from mcp.types import ListRootsResult, Root
from mcp_agents import asked, refused, with_client

import stargazer as sg
from stargazer.mcp.catalog import check_path
from stargazer.mcp.folders import Folders
from stargazer.mcp.place import Place
from stargazer.mcp.server import make_server
from stargazer.mcp.transfers import Transfers

SECRET = "the-content-of-a-file-of-somebody-else"
ABSENT = "bafkreib6vj3os7l4lqqytaw5vju46iorcknttfiwfnlbizjcqn7xd5hrvy"
FORBIDDEN = (SECRET, "Traceback", "pydantic", "site-packages", "root:")


@pytest.fixture
def outside(tmp_path: Path, folder: Path) -> Path:
    """A folder beside that of the server, and ways that lead there."""
    place = tmp_path / "outside"
    place.mkdir()
    (place / "secret.txt").write_text(SECRET)
    (place / "secret.py").write_text(f"# %%\nx = '{SECRET}'\n")
    (folder / "link.txt").symlink_to(place / "secret.txt")
    (folder / "link.py").symlink_to(place / "secret.py")
    (folder / "linked").symlink_to(place)
    (folder / "inner").mkdir()
    (folder / "inner" / "deep").symlink_to(place / "secret.txt")
    (folder / "loop").symlink_to(folder / "loop")
    (folder / "dangling").symlink_to(folder / "nowhere")
    os.mkfifo(folder / "pipe")
    os.mkfifo(folder / "pipe.py")
    (folder / "pipes").mkdir()
    os.mkfifo(folder / "pipes" / "pipe")
    return place


def paths(outside: Path) -> list[str]:
    """Paths to what is not to be read."""
    up = "../" * 9
    return [
        "../outside/secret.txt", "../outside/secret.py", f"{up}etc/passwd", "/etc/passwd", "/etc/shadow",
        "/proc/self/environ", "~nobody-there/x", "/proc/self/mem", "/dev/zero", "/dev/stdin", "/dev/null", "/dev/fd/0",
        "~/.ssh/id_rsa", "~root/.bashrc",
        str(outside), str(outside / "secret.txt"), str(outside / "secret.py"), "link.txt", "link.py",
        "linked/secret.txt", "linked/secret.py", "linked", "inner", "inner/deep", "inner/../../outside/secret.txt",
        "./.././outside/secret.txt", "loop", "dangling", "pipe", "pipe.py", "pipes", "", " ", "\0", "a\0b",
        "x" * 5000, "/" * 4096, "nothing.txt",
        "nothing.py", "file:///etc/passwd", "http://127.0.0.1/x", "..", "/", "%2e%2e/outside/secret.txt",
        "..\\outside\\secret.txt", "\u202e../outside", "\x1b]0;title\x07", "$HOME/x", "`id`", "; rm -rf .", "-rf",
        "--help",
    ]  # fmt: skip


def questions(outside: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Questions that are all to be refused."""
    for path in paths(outside):
        yield "upload_file", {"path": path, "keyvalues": {"asset": "asset"}}
        yield "read_notebook", {"path": path}
        if path not in ("nothing.py",):
            yield "create_notebook", {"path": path, "cells": [{"source": "x = 1"}]}
    for path in paths(outside)[:20]:
        yield "run_notebook", {"path": path}
    for name in (
        ABSENT,
        "bafy",
        "0" * 64,
        "g" * 64,
        "../x",
        "stargazer://asset/x",
        "stargazer://name/x@1",
        "x@latest",
        "",
    ):
        for tool in ("describe_file", "download_file", "delete_file", "trace"):
            yield tool, {"cid": name} | ({"confirm": True} if tool == "delete_file" else {})
        yield "update_file", {"cid": name, "keyvalues": {"sample_id": "s"}}
    for facts in (
        {"asset": "no"}, {"asset": 7}, {"asset": "r1", "cid": ABSENT}, {"asset": "r1", "path": "/etc/passwd"},
        {"asset": "r1", "name": "../x"}, {"asset": "r1", "name": "a/b"}, {"asset": "r1", "name": ".."},
        {"asset": "r1", "name": ""}, {"asset": "r1", "name": "\0"}, {"asset": "r1", "no_such_fact": "1"},
        {"asset": "r1", "companions": []}, {"asset": "r1", "id": "0" * 64},
    ):  # fmt: skip
        yield "upload_file", {"path": "fine.txt", "keyvalues": facts}
    deep: Any = "x"
    for _ in range(200):
        deep = [deep]
    for value in ("x" * (5 << 20), ["x" * 1000] * 5000, {str(n): "x" * 100 for n in range(50_000)}, deep, {"a": deep}):
        yield "plan_workflow", {"workflow_name": "adding", "inputs": {"n": value}}
        yield "query_files", {"keyvalues": {"sample_id": value}}
    for inputs in (
        {"n": "3; import os"},
        {"n": None},
        {"n": 1, "__class__": 1},
        {"self": 1},
        {"n": 1, "work": "/"},
        [],
        "x",
    ):
        yield "run_workflow", {"workflow_name": "adding", "inputs": inputs}
    for name in (
        "os.system",
        "stargazer.workflows:adding",
        "/etc/passwd:x",
        "mcp_flows.py:adding",
        "__import__",
        "adding ",
        "",
    ):
        yield "run_workflow", {"workflow_name": name, "inputs": {"n": 1}}
        yield "run_task", {"task_name": name}
        yield "describe_task", {"name": name}
    for cursor in ("x", "MA", "../..", "-1", "9" * 150, "MC4wMDAwMDAwMDAwMDA"):
        yield "list_tasks", {"cursor": cursor}
    for run in ("../../x", "nothing", "0" * 64, "a" * 299, "\0"):
        yield "wait_for_run", {"run": run, "wait": 0}
        yield "cancel_run", {"run": run}
        yield "read_log", {"name": run}
    for wait in (-1, 1e9, "soon", None):
        yield "run_workflow", {"workflow_name": "adding", "inputs": {"n": 1}, "wait": wait}
    for bundle in ("../../x", "/etc/passwd", "x.yaml", "/tmp/x.yaml", ""):
        yield "fetch_resource_bundle", {"bundle_name": bundle}


def test_what_nobody_should_send(place: Place, store: sg.Store, folder: Path, outside: Path) -> None:
    (folder / "fine.txt").write_text("fine")
    before = sorted(map(str, folder.iterdir()))
    asked_for = list(questions(outside))
    assert len(asked_for) >= 200

    async def work(client: Client) -> None:
        for tool, arguments in asked_for:
            answer = await client.call_tool(tool, arguments)
            told = str(answer.content[0].text) if answer.content else ""  # type: ignore[union-attr]
            shown = {name: str(value)[:60] for name, value in arguments.items()}
            assert answer.is_error, (tool, shown, told[:300])
            assert len(told) < 6000, (tool, shown)
            assert not [word for word in FORBIDDEN if word in told], (tool, shown, told)
            assert "nobody foresaw" not in told, (tool, shown, told)
            assert "\x1b" not in told

    with_client(make_server(place), work)
    assert sorted(map(str, folder.iterdir())) == before
    assert sorted(each.name for each in outside.iterdir()) == ["secret.py", "secret.txt"]
    assert store.find() == []
    assert place.flights.all() == []


@pytest.mark.parametrize(
    "uri",
    [
        "stargazer://notebooks/../outside/secret.py", "stargazer://notebooks//etc/passwd", "stargazer://notebooks/link.py",
        "stargazer://notebooks/%2e%2e/outside/secret.py", f"stargazer://assets/{ABSENT}", "stargazer://assets/..",
        "stargazer://runs/..", "stargazer://nothing", "file:///etc/passwd", "stargazer://notebooks/%00",
        "stargazer://notebooks/%0a",
    ],
)  # fmt: skip
def test_resources_that_nobody_may_read(place: Place, outside: Path, uri: str) -> None:
    async def work(client: Client) -> str:
        with pytest.raises(Exception) as caught:
            await client.read_resource(uri)
        return str(caught.value)

    told = with_client(make_server(place), work)
    assert not [word for word in (*FORBIDDEN, "nobody foresaw") if word in told]


def test_one_notebook_that_nobody_can_read_hides_no_other(place: Place, folder: Path) -> None:
    (folder / "fine.py").write_text("# %%\nx = 1\n")
    odd = {
        "deep.ipynb": '{"cells":' + "[" * 50_000 + "]" * 50_000 + "}",
        "number.ipynb": '{"cells": 5}',
        "list.ipynb": "[]",
        "header.ipynb": '{"cells": [], "metadata": 5}',
        "deep.py": "# %%\nx = " + "(" * 5_000 + ")" * 5_000 + "\n",
    }
    for name, text in odd.items():
        (folder / name).write_text(text)

    async def work(client: Client) -> None:
        listed = await asked(client, "list_notebooks")
        found = {Path(each["path"]).name: each for each in listed["notebooks"]}
        assert (found["fine.py"]["cells"], found["fine.py"]["problems"]) == (1, [])
        for name in odd:
            answer = await client.call_tool("read_notebook", {"path": name})
            told = str(answer.content[0].text)  # type: ignore[union-attr]
            assert answer.is_error or found[name]["problems"], name
            assert not [word for word in (*FORBIDDEN, "nobody foresaw") if word in told], (name, told)

    with_client(make_server(place), work)


@pytest.mark.parametrize("path", ["a\nb.py", "\u202eyp.py", "a\x1b.py"], ids=["line", "direction", "control"])
def test_names_that_no_notebook_gets_from_an_agent(place: Place, folder: Path, path: str) -> None:
    def work(client: Client) -> Any:
        return refused(client, "create_notebook", path=path, cells=[{"source": "x = 1"}])

    assert "no file is named" in with_client(make_server(place), work)
    assert list(folder.iterdir()) == []


def test_roots_of_the_client_narrow(place: Place, folder: Path, tmp_path: Path) -> None:
    (folder / "sub").mkdir()
    (folder / "sub" / "in.txt").write_text("in")
    (folder / "out.txt").write_text("out")
    facts = {"asset": "asset"}

    def told(*uris: str) -> Any:
        async def roots(_: Any) -> ListRootsResult:
            return ListRootsResult(roots=[Root(uri=uri) for uri in uris])  # type: ignore[arg-type]

        async def work(client: Client) -> tuple[str, str]:
            return (
                await refused(client, "upload_file", path=str(folder / "out.txt"), keyvalues=facts),
                str(await asked(client, "upload_file", path=str(folder / "sub" / "in.txt"), keyvalues=facts)),
            )

        return with_client(make_server(place), work, mode="legacy", list_roots_callback=roots)

    refusal, taken = told((folder / "sub").as_uri(), tmp_path.joinpath("elsewhere").as_uri())
    assert "outside of what may be read" in refusal
    assert "in.txt" in taken


def test_folders_of_the_settings(tmp_path: Path, folder: Path) -> None:
    import dask.config

    data = tmp_path / "data"
    data.mkdir()
    (data / "a").write_text("a")
    with dask.config.set({"stargazer.mcp": {"folders": [str(data)]}}):
        folders = Folders()
    assert folders.file(str(data / "a")) == data / "a"
    assert folders.within([tmp_path]) == [data]
    assert folders.within([tmp_path / "other"]) == []
    with pytest.raises(sg.errors.ArgumentError, match="outside"):
        folders.file(str(folder))


def test_workflows_read_what_tools_may_read(place: Place, store: sg.Store, folder: Path, outside: Path) -> None:
    """A workflow that takes the path of a sheet read any file of the machine for an agent, and what the sheet named."""
    columns = "sample,lane,fastq_1,fastq_2\n"
    (outside / "s_R1.fq").write_text("@r\nACGT\n+\nIIII\n")
    (outside / "s_R2.fq").write_text("@r\nACGA\n+\nIIII\n")
    (folder / "ref.fa").write_text(">1\n" + "ACGT" * 20 + "\n")
    store.add(folder / "ref.fa", sg.Reference(build="b"))
    (folder / "link.csv").symlink_to(outside / "secret.txt")
    named = {"out": f"{outside}/s_R1.fq,{outside}/s_R2.fq", "up": "../outside/s_R1.fq,../outside/s_R2.fq",
             "url": f"file://{outside}/s_R1.fq,file://{outside}/s_R2.fq",
             "chain": f"simplecache::file://{outside}/s_R1.fq,x.fq"}  # fmt: skip
    for name, files in named.items():
        (folder / f"{name}.csv").write_text(f"{columns}s,L1,{files}\n")
    sheets = [outside / "secret.txt", "/etc/passwd", folder / "link.csv", *(folder / f"{name}.csv" for name in named)]
    before = {asset.id for asset in store.find()}

    async def work(client: Client) -> None:
        for sheet in sheets:
            for tool, extra in (("plan_workflow", {}), ("run_workflow", {}), ("run_workflow", {"detach": True})):
                arguments = {"workflow_name": "call_sheet", "inputs": {"sheet": str(sheet), "build": "b"}, **extra}
                told = await refused(client, tool, **arguments)
                assert "outside of what may be read" in told or "addresses that are read" in told, (sheet, told)
            told = await refused(client, "why", name="call_sheet", inputs={"sheet": str(sheet), "build": "b"})
            assert not [word for word in FORBIDDEN if word in told], told

    with_client(make_server(place), work)
    assert {asset.id for asset in store.find()} == before, "what is only planned takes nothing in"
    (folder / "s_R1.fq").write_text("@r\nACGT\n+\nIIII\n")
    (folder / "s_R2.fq").write_text("@r\nACGA\n+\nIIII\n")
    (folder / "in.csv").write_text(f"{columns}s,L1,s_R1.fq,s_R2.fq\n")
    inside = {"workflow_name": "call_sheet", "inputs": {"sheet": "in.csv", "build": "b"}}

    async def reads(client: Client) -> dict[str, Any]:
        return await asked(client, "plan_workflow", **inside)

    assert with_client(make_server(place), reads)["to_run"] > 0

    async def remote(client: Client) -> str:
        return await refused(client, "plan_workflow", **inside)

    elsewhere = Place(store, Transfers(store))
    assert "reads no paths" in with_client(make_server(elsewhere), remote)


class Inner(http.server.BaseHTTPRequestHandler):
    """A service of this machine, that notes who asks; it leads those who ask for `/away/PORT` to another one."""

    asked: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        self.asked.append(f"{self.headers['Host']}{self.path}")
        if self.path.startswith("/away/"):
            self.send_response(302)
            self.send_header("Location", f"http://localhost:{self.path.split('/')[2]}/s_R1.fq")
            self.end_headers()
            return
        data = b"@r\nACGT\n+\nIIII\n"
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data if self.command == "GET" else b"")

    do_HEAD = do_GET

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture
def inner(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """The port of a service that listens on loopback."""
    monkeypatch.setattr(Inner, "asked", [])
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Inner) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


def planned(place: Place, folder: Path, address: str) -> str:
    """What an agent is told of a sheet that names an address."""
    (folder / "sheet.csv").write_text(f"sample,lane,fastq_1\ns,L1,{address}\n")

    async def work(client: Client) -> str:
        answer = await client.call_tool(
            "plan_workflow", {"workflow_name": "call_sheet", "inputs": {"sheet": "sheet.csv", "build": "b"}}
        )
        return str(answer.content[0].text)  # type: ignore[union-attr]

    return with_client(make_server(place), work)


@pytest.mark.parametrize(
    "address",
    [
        "http://127.0.0.1:{}/s_R1.fq", "HTTP://LOCALHOST:{}/s_R1.fq", "http://127.1:{}/s_R1.fq", "http://0:{}/s_R1.fq",
        "http://2130706433:{}/s_R1.fq", "http://0x7f000001:{}/s_R1.fq", "http://[::1]:{}/s_R1.fq",
        "http://[::ffff:127.0.0.1]:{}/s_R1.fq", "http://example.org@127.0.0.1:{}/s_R1.fq", "ftp://127.0.0.1:{}/s_R1.fq",
        "http://①②⑦.0.0.1:{}/s_R1.fq", "http://127.0.0.1:{}/x?y=s_R1.fq", "http://169.254.169.254/latest/s_R1.fq",
        "https://10.0.0.7/s_R1.fq", "http://192.168.1.1/s_R1.fq", "http://example.org\\@127.0.0.1:{}/s_R1.fq",
        "http://nobody.invalid/s_R1.fq", "http://:{}/s_R1.fq", "http:///s_R1.fq",
    ],
)  # fmt: skip
def test_sheets_of_agents_ask_nothing_of_inner_networks(place: Place, folder: Path, inner: int, address: str) -> None:
    told = planned(place, folder, address.format(inner))
    refusals = ("lies in a private network", "there is no such host", "names no host", "addresses that are read")
    assert any(each in told for each in refusals), told
    assert Inner.asked == []


def test_hosts_of_the_settings_may_be_asked(
    place: Place, store: sg.Store, folder: Path, inner: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import dask.config

    (folder / "ref.fa").write_text(">1\n" + "ACGT" * 20 + "\n")
    store.add(folder / "ref.fa", sg.Reference(build="b"))
    with dask.config.set({"stargazer.mcp": {"hosts": ["127.0.0.1"]}}):
        assert '"to_run"' in planned(place, folder, f"http://127.0.0.1:{inner}/s_R1.fq")
        assert "lies in a private network" in planned(place, folder, f"http://localhost:{inner}/t_R1.fq")
        before = list(Inner.asked)
        told = planned(place, folder, f"http://127.0.0.1:{inner}/away/{inner}/s_R1.fq")
    assert "localhost (" in told, told
    assert "lies in a private network" in told, told
    assert {each.partition("/")[2].partition("/")[0] for each in Inner.asked[len(before) :]} == {"away"}
    assert not any("localhost" in each for each in Inner.asked)


def test_an_address_that_becomes_an_inner_one_is_not_asked(
    place: Place, store: sg.Store, folder: Path, inner: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name server may say one thing to who judges, and another to who asks: what was judged is asked."""
    (folder / "ref.fa").write_text(">1\n" + "ACGT" * 20 + "\n")
    store.add(folder / "ref.fa", sg.Reference(build="b"))
    answers, resolve = ["8.8.8.8"], socket.getaddrinfo

    def flipping(host: Any, *rest: Any, **options: Any) -> Any:
        if host in ("flips.invalid", b"flips.invalid"):
            host = answers.pop(0) if answers else "127.0.0.1"
        return resolve(host, *rest, **options)

    monkeypatch.setattr(socket, "getaddrinfo", flipping)
    told = planned(place, folder, f"http://flips.invalid:{inner}/s_R1.fq")
    assert answers == []
    assert "flips.invalid (127.0.0.1)" in told, told
    assert Inner.asked == []


def test_a_way_up_behind_a_link_is_that_of_where_it_leads(place: Place, folder: Path, tmp_path: Path) -> None:
    """``link/../secret.txt`` was looked for beside the link, and read beside the folder to which it leads."""
    (tmp_path / "outside" / "inner").mkdir(parents=True)
    for each in (folder, tmp_path / "outside"):
        (each / "secret.txt").write_text("x")
    (folder / "link").symlink_to(tmp_path / "outside" / "inner")
    check_path(place, None, "secret.txt")
    with pytest.raises(sg.errors.ArgumentError, match="outside of what may be read"):
        check_path(place, None, "link/../secret.txt")
