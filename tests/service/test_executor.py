"""Cells on an executor: what is sent comes back, within limits, in the shapes of protocol v1."""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import re
import resource
import socket
import ssl
import tarfile
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import httpx
import pytest
from services import PATIENCE, listen, until

from stargazer.errors import CIDMismatch, RemoteError, RemoteRefused
from stargazer.executors.asking import Bundle, Sent, _check
from stargazer.executors.desk import Desk
from stargazer.executors.values import Unsendable, decode, encode
from stargazer.service.executor import Executor
from stargazer.service.executor import pulling as pulling_module
from stargazer.service.executor.processes import Process, Processes
from stargazer.service.executor.worker import WorkerLimits, worker_application

pd = pytest.importorskip("pandas")
np = pytest.importorskip("numpy")


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    limits = WorkerLimits(seconds=120.0, memory=512 << 20, bytes=64 << 20, at_once=2)
    with listen(worker_application("secret", limits)) as found:
        yield found


@pytest.fixture
def executor(url: str) -> Executor:
    return Executor(url, "secret")


def test_a_cell_gets_its_inputs_and_gives_what_it_makes(executor: Executor) -> None:
    source = "print('far away')\nb = int(df['a'].sum()) + n\ndf2 = df * 2\nimport math\nf = lambda x: x\ndf2"
    done = executor.execute(source, {"df": pd.DataFrame({"a": [1, 2, 3]}), "n": 4})
    assert done.success, done.traceback
    assert (done.stdout, done.variables["b"]) == ("far away\n", 10)
    assert done.variables["df2"].equals(pd.DataFrame({"a": [2, 4, 6]}))
    assert done.variables["_"].equals(done.variables["df2"])
    assert done.variables["math"].pi > 3
    assert "pickles are not trusted" in done.unsent["f"]
    assert "df" not in done.variables


def test_certificates_are_read_once(executor: Executor, monkeypatch: pytest.MonkeyPatch) -> None:
    """To read them takes longer than a small cell, and a plain connection asks none of them."""
    executor.health()
    read: list[object] = []

    def counted(*args: Any, make: Any = ssl.create_default_context, **options: Any) -> Any:
        read.append(args)
        return make(*args, **options)

    monkeypatch.setattr(ssl, "create_default_context", counted)
    assert executor.execute("b = a", {"a": 1}).variables == {"b": 1}
    assert executor.health()["status"] == "healthy"
    assert read == []


def test_what_a_cell_raises_is_its_result(executor: Executor) -> None:
    done = executor.execute("x = 1\nraise ValueError('no columns')")
    assert (done.success, done.error, done.variables) == (False, "ValueError: no columns", {})
    assert done.traceback is not None
    assert 'File "<cell>", line 2' in done.traceback
    assert executor.execute("import sys; sys.exit(3)").error == "SystemExit: 3"
    assert executor.execute("x =").error.startswith("SyntaxError")  # type: ignore[union-attr]
    assert not executor.execute("import os; os._exit(9)").success


def test_limits(url: str, executor: Executor) -> None:
    with pytest.raises(RemoteError, match=r"408.*took longer"):
        executor.execute("import time\nwhile True: time.sleep(0.1)", timeout=2.0)
    with pytest.raises(RemoteError, match="413"):
        executor.execute("x = 'a' * 70_000_000")
    heavy = executor.execute(
        "x = bytearray(3 << 29)\nfor i in range(0, len(x), 4096): x[i] = 1\nimport time; time.sleep(60)"
    )
    assert "of memory" in str(heavy.error)
    with pytest.raises(RemoteError, match="401"):
        Executor(url, "guess").execute("1")


def test_the_network_is_forbidden_where_that_can_be(executor: Executor) -> None:
    if executor.health()["capabilities"]["features"]["network"]:
        pytest.skip("this system lets nobody start a process without a network")
    done = executor.execute("import socket\nsocket.create_connection(('127.0.0.1', 9), 1)")
    assert "unreachable" in str(done.error)


def ask(url: str, metadata: Any, files: dict[str, bytes] | None = None, **headers: str) -> httpx.Response:
    told = {"Authorization": "Bearer secret", "X-Strata-Executor-Protocol": "v1", **headers}
    parts: list[Any] = [("metadata", ("metadata.json", json.dumps(metadata), "application/json"))]
    parts += [(name, (name, data)) for name, data in (files or {}).items()]
    return httpx.post(f"{url}/v1/execute", headers=told, files=parts, timeout=PATIENCE)


def request(source: str = "y = x", **changes: Any) -> dict[str, Any]:
    """As the published protocol writes it."""
    params = {"source": source, "timeout_seconds": 60, "env": {}, "mounts": [], **changes.pop("params", {})}
    transform = {"ref": "notebook_cell@v1", "code_hash": "0" * 64, "params": params}
    inputs = [{"name": "x", "format": "json/object", "uri": "x", "byte_size": 1}]
    told = {"protocol_version": "v1", "build_id": "b1", "tenant": None, "principal": None, "provenance_hash": "0" * 64}
    return {**told, "transform": transform, "inputs": inputs, **changes}


def test_the_shapes_of_the_protocol(url: str) -> None:
    answer = ask(url, request(), {"x": b"7"})
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/x-tar")
    with tarfile.open(fileobj=io.BytesIO(answer.content), mode="r:") as tar:
        assert set(tar.getnames()) == {"manifest.json", "stdout.txt", "stderr.txt", "files/0"}
        manifest = json.load(tar.extractfile("manifest.json"))  # type: ignore[arg-type]
        assert tar.extractfile("files/0").read() == b"7"  # type: ignore[union-attr]
    assert {"success", "variables", "stdout_file", "stderr_file", "mutation_warnings", "error"} <= set(manifest)
    assert manifest["variables"]["y"]["content_type"] == "json/object"
    health = httpx.get(f"{url}/health", timeout=PATIENCE).json()
    assert health["capabilities"]["protocol_versions"] == ["v1"]
    assert health["capabilities"]["transform_refs"] == ["notebook_cell@v1", "stargazer_task@v1"]


def test_requests_that_are_refused(url: str) -> None:
    assert ask(url, request(), {"x": b"7"}, **{"X-Strata-Executor-Protocol": "v2"}).status_code == 400
    assert ask(url, request(), {"x": b"7"}, Authorization="Bearer x").status_code == 401
    assert ask(url, request(), {}).status_code == 400
    assert ask(url, {"x": 1}).status_code == 400
    assert ask(url, request(params={"mounts": [{"path": "/etc"}]}), {"x": b"7"}).status_code == 400
    wrong = request(
        inputs=[
            {"name": "x", "format": "json/object", "cid": "bafkreib6vj3os7l4lqqytaw5vju46iorcknttfiwfnlbizjcqn7xd5hrvy"}
        ]
    )
    assert ask(url, wrong, {"x": b"7"}).json()["type"] == "urn:stargazer:error:CIDMismatch"
    pickled = request(inputs=[{"name": "x", "format": "pickle/object"}])
    body = ask(url, pickled, {"x": b"cos\nsystem\n(S'true'\ntR."})
    with tarfile.open(fileobj=io.BytesIO(body.content)) as tar:
        assert "not trusted" in json.load(tar.extractfile("manifest.json"))["error"]  # type: ignore[arg-type]


def test_closing_the_connection_cancels(url: str, tmp_path: Path) -> None:
    ticks = tmp_path / "ticks"
    source = f"import time\nwhile True:\n    open({str(ticks)!r}, 'a').write('.')\n    time.sleep(0.05)"

    told = {"Authorization": "Bearer secret", "X-Strata-Executor-Protocol": "v1"}
    parts = [("metadata", ("m", json.dumps(request(source, inputs=[]))))]
    asked = httpx.Request("POST", f"{url}/v1/execute", headers=told, files=parts)
    lines = [b"POST /v1/execute HTTP/1.1", *(name + b": " + value for name, value in asked.headers.raw)]
    with socket.create_connection((asked.url.host, asked.url.port or 80), PATIENCE) as connection:
        connection.sendall(b"\r\n".join([*lines, b"", asked.read()]))
        until(ticks.exists)
    until(lambda: httpx.get(f"{url}/health", timeout=PATIENCE).json()["active_executions"] == 0)
    assert ticks.stat().st_size


def test_a_process_waits_for_the_next_cell_and_knows_nothing_of_the_last(executor: Executor) -> None:
    first = executor.execute("import os, json\njson.left = 1\nme, here, began = os.getpid(), os.getcwd(), 1")
    seen = {(first.variables["me"], first.variables["here"])}
    for _ in range(4):
        source = "import os, json\nme, here, clean = os.getpid(), os.getcwd(), not hasattr(json, 'left')\njson.left = 1"
        done = executor.execute(source)
        assert done.variables["clean"], done.error
        seen.add((done.variables["me"], done.variables["here"]))
    assert len({pid for pid, _ in seen}) == len({folder for _, folder in seen}) == 5
    assert not any(Path(folder).exists() for _, folder in seen)


def test_a_cell_with_variables_has_them_from_its_start(url: str) -> None:
    """A process that waits was started without them, and some count only then."""
    for seed in ("1", "2"):
        source = "from os import environ\ny = [environ['GREETING'], str(hash('x')), environ['PYTHONHASHSEED']]"
        env = {"GREETING": "hello", "PYTHONHASHSEED": seed}
        told = [ask(url, request(source, inputs=[], params={"env": env})).content for _ in range(2)]
        values = []
        for each in told:
            with tarfile.open(fileobj=io.BytesIO(each)) as tar:
                made = json.load(tar.extractfile("manifest.json"))["variables"]  # type: ignore[arg-type]
                values.append(json.load(tar.extractfile(made["y"]["file"])))  # type: ignore[arg-type]
        assert values[0] == values[1]
        assert (values[0][0], values[0][2]) == ("hello", seed)


def test_cells_read_nothing_that_was_not_sent(executor: Executor) -> None:
    assert executor.execute("x = input()").error == "EOFError: EOF when reading a line"
    assert executor.execute("import sys\nx = sys.stdin.read()").variables["x"] == ""


async def finished(processes: Processes, expected: Process) -> Path:
    """Let a process that waits run a cell; return its folder."""
    async with processes.taken() as taken:
        assert taken is expected
        request = {"ref": "notebook_cell@v1", "source": "x = 1", "inputs": [], "params": {}, "trust": False}
        (taken.folder / "request.json").write_text(json.dumps(request))
        taken.begin(PATIENCE, lambda: False)
        await anyio.to_thread.run_sync(taken.wait)
        assert json.loads((taken.folder / "manifest.json").read_text())["success"]
        return taken.folder


def test_a_process_that_waits_no_more_is_not_given() -> None:
    processes = Processes((), 512 << 20, 2)
    try:
        processes.fill("notebook_cell@v1")
        one, other = processes._waiting
        one.end()
        assert not one.folder.exists()
        until(lambda: not one.waits)
        folder = anyio.run(finished, processes, other)
        assert not folder.exists()
        processes.fill("notebook_cell@v1")
        left = [process.folder for process in processes._waiting]
    finally:
        processes.close()
    assert len(left) == 2
    assert not any(folder.exists() for folder in left)
    processes.fill("notebook_cell@v1")
    assert processes._waiting == []  # after the end nobody is started


@pytest.mark.parametrize("value", [1, 1.5, "a", None, True, [1, {"a": "b"}], {"x": [None]}])
def test_json_comes_back_as_it_was(value: object) -> None:
    assert decode(*encode(value, trust=False), trust=False) == value


def test_values_that_json_would_change_are_not_sent_as_json() -> None:
    for value in ((1, 2), {1: 2}, float("nan"), 1 << 60, {1}, b"x", object()):
        with pytest.raises(Unsendable):
            encode(value, trust=False)
    assert decode(*encode((1, 2), trust=True), trust=True) == (1, 2)
    series = pd.Series([1.0, 2.0], name="v")
    assert decode(*encode(series, trust=False), trust=False).equals(series)
    assert (decode(*encode(np.arange(3), trust=False), trust=False) == np.arange(3)).all()
    assert decode(*encode(np.int64(3), trust=False), trust=False) == 3
    with pytest.raises(CIDMismatch):
        _check("x", b"other", "bafkreib6vj3os7l4lqqytaw5vju46iorcknttfiwfnlbizjcqn7xd5hrvy")


@pytest.fixture(scope="module")
def pulling() -> Iterator[str]:
    limits = WorkerLimits(seconds=120.0, memory=512 << 20, bytes=64 << 20)
    with listen(worker_application("secret", limits, allowed=("127.0.0.1",))) as found:
        yield found


def test_an_executor_fetches_what_it_takes(pulling: str) -> None:
    far = Executor(pulling, "secret", pull="http://127.0.0.1:0")
    done = far.execute("y = x + 1\nbig = list(range(100_000))", {"x": 1})
    assert (done.variables["y"], len(done.variables["big"])) == (2, 100_000)
    assert far.execute("raise ValueError('no')").error == "ValueError: no"


def manifest(desk: Desk, source: str = "y = x") -> dict[str, Any]:
    inputs = [each.described() for each in desk.given]
    ref = {"ref": "notebook_cell@v1", "params": {"source": source, "timeout_seconds": 60}}
    return desk.manifest({"inputs": inputs, "transform": ref})


def pull(url: str, told: Any) -> httpx.Response:
    headers = {"Authorization": "Bearer secret"}
    return httpx.post(f"{url}/v1/execute-manifest", headers=headers, json=told, timeout=PATIENCE)


def test_the_shapes_of_manifests(url: str, pulling: str, tmp_path: Path) -> None:
    given = [Sent("x", "json/object", b"7")]
    with Desk("http://127.0.0.1:0", "b1", given, tmp_path / "bundle.tar", 1 << 20, 3600) as desk:
        told = manifest(desk)
        answer = pull(pulling, told).json()
        assert (answer["success"], answer["build_id"]) == (True, "b1")
        assert (answer["protocol_version"], answer["finalize"]["success"]) == ("notebook-build-manifest@v1", True)
        with Bundle(desk.taken(), pulling) as bundle:
            assert bundle.manifest["schema_version"] == "notebook-output-bundle@v1"
            assert bundle.read(bundle.manifest["variables"]["y"]["file"], 100) == b"7"
        refused = pull(url, told)
        assert (refused.status_code, "private network" in refused.json()["detail"]) == (400, True)
        small = {**told, "output": {**told["output"], "max_bytes": 10}}
        assert pull(pulling, small).status_code == 413
        late = {**told, "inputs": [{**told["inputs"][0], "expires_at": 1.0}]}
        assert "has expired" in pull(pulling, late).json()["detail"]
        file = {**told, "inputs": [{**told["inputs"][0], "url": "file:///etc/passwd"}]}
        assert pull(pulling, file).status_code == 400
        assert pull(pulling, {**told, "inputs": []}).status_code == 400
        assert pull(pulling, {"build_id": "b1"}).status_code == 400


@pytest.mark.parametrize("url", ["http://[::1/x", "http://h:99999/x", f"http://{'a' * 64}.example/x", "nothing"])
def test_what_is_no_url_is_refused_in_words(pulling: str, tmp_path: Path, url: str) -> None:
    with Desk("http://127.0.0.1:0", "b1", [Sent("x", "json/object", b"7")], tmp_path / "b.tar", 1 << 20, 3600) as desk:
        told = manifest(desk)
        answer = pull(pulling, {**told, "inputs": [{**told["inputs"][0], "url": url}]})
        assert answer.status_code == 400
        assert re.search("no URL|no host", answer.json()["detail"])


def test_the_address_that_was_looked_at_is_the_one_that_is_asked(
    pulling: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name server may give a public address to who looks, and an inner one to who asks afterwards."""
    monkeypatch.setattr(pulling_module, "addresses_of", lambda host: {"flips.invalid": ["127.0.0.1"]}[host])
    monkeypatch.setattr(pulling_module, "is_public", {"127.0.0.1": True}.__getitem__)
    with Desk("http://127.0.0.1:0", "b1", [Sent("x", "json/object", b"7")], tmp_path / "b.tar", 1 << 20, 3600) as desk:
        told = json.loads(json.dumps(manifest(desk)).replace("//127.0.0.1:", "//flips.invalid:"))
        assert pull(pulling, told).json()["finalize"]["success"]


def test_a_port_that_there_is_not_is_refused(pulling: str, tmp_path: Path) -> None:
    with Desk("http://127.0.0.1:0", "b1", [Sent("x", "json/object", b"7")], tmp_path / "b.tar", 1 << 20, 3600) as desk:
        told = manifest(desk)
        answer = pull(pulling, {**told, "inputs": [{**told["inputs"][0], "url": "http://127.0.0.1:99999/x"}]})
        assert (answer.status_code, "no URL that is asked" in answer.json()["detail"]) == (400, True)


def test_what_was_signed_is_not_told_where_it_fails(pulling: str, tmp_path: Path) -> None:
    with Desk("http://127.0.0.1:0", "b1", [Sent("x", "json/object", b"7")], tmp_path / "b.tar", 1 << 20, 3600) as desk:
        told = manifest(desk)
        other = told["inputs"][0]["url"].replace("size=1", "size=2")
        answer = pull(pulling, {**told, "inputs": [{**told["inputs"][0], "url": other}]})
        assert (answer.status_code, "127.0.0.1 answered 403" in answer.json()["detail"]) == (502, True)
        assert "size=" not in answer.text
        for odd in ("x", -1, True, 1.5):
            assert pull(pulling, {**told, "output": {**told["output"], "max_bytes": odd}}).status_code == 400


class Compressed(BaseHTTPRequestHandler):
    """Answers four hundred kilobytes that stand for as many megabytes."""

    body = b""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Encoding", "gzip")
        self.send_header("Content-Length", str(len(self.body)))
        self.end_headers()
        with contextlib.suppress(OSError):
            self.wfile.write(self.body)

    def log_message(self, *_: Any) -> None:
        """Nothing."""


def test_a_small_answer_that_stands_for_a_large_one_takes_no_memory() -> None:
    Compressed.body = gzip.compress(bytes(400 << 20), 1)
    with ThreadingHTTPServer(("127.0.0.1", 0), Compressed) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        with pytest.raises(RemoteRefused, match="option largest"):
            Executor(f"http://127.0.0.1:{server.server_port}", "secret", largest=1 << 20).execute("y = 1")
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100 << 10
        server.shutdown()


def test_signed_urls_are_good_for_one_thing(tmp_path: Path) -> None:
    given = [Sent("x", "json/object", b"7")]
    with Desk("http://127.0.0.1:0", "b1", given, tmp_path / "bundle.tar", 10, 3600) as desk:
        told = manifest(desk)
        good, output = told["inputs"][0]["url"], told["output"]["url"]
        assert httpx.get(good, timeout=PATIENCE).content == b"7"
        for wrong in (
            good.replace("size=1", "size=2"),
            good.replace("expires=", "expires=9"),
            good.replace("/b1/", "/b2/"),
            good.replace("input-0", "output"),
            good[:-1] + ("0" if good[-1] != "0" else "1"),
            good.partition("?")[0],
            output,
        ):
            assert httpx.get(wrong, timeout=PATIENCE).status_code == 403, wrong
        assert httpx.post(good, content=b"x", timeout=PATIENCE).status_code == 403
        assert httpx.post(output, content=b"x" * 11, timeout=PATIENCE).status_code == 413
        with pytest.raises(RemoteRefused):
            desk.taken()
    with Desk("http://127.0.0.1:0", "b1", given, tmp_path / "late.tar", 10, -1) as desk:
        assert httpx.get(manifest(desk)["inputs"][0]["url"], timeout=PATIENCE).status_code == 403


def test_an_input_that_was_changed_is_not_taken(pulling: str, tmp_path: Path) -> None:
    given = [Sent("x", "json/object", b"7")]
    with Desk("http://127.0.0.1:0", "b1", given, tmp_path / "bundle.tar", 1 << 20, 3600) as desk:
        told = manifest(desk)
        desk.given[0] = Sent("x", "json/object", b"8")
        assert pull(pulling, told).json()["type"] == "urn:stargazer:error:CIDMismatch"
