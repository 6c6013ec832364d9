"""The routes of the service, asked over HTTP as any program asks them."""

from __future__ import annotations

import io
import json
import tarfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from services import Served, until

import stargazer as sg
from stargazer.cid import cid_of_file, cid_of_path
from stargazer.service.settings import Limits, Settings

Serve = Callable[[Settings], Served]
Pair = tuple[sg.Asset, sg.Asset]
TUS = {"Tus-Resumable": "1.0.0"}
PART = {**TUS, "Content-Type": "application/offset+octet-stream"}


@pytest.fixture
def service(serve: Serve, lab: Settings, letters: Pair) -> Served:
    return serve(lab)


def wanted(*inputs: sg.Asset | str, executor: str = "except@v1", params: Any = None, **more: Any) -> dict[str, Any]:
    named = [each if isinstance(each, str) else each.cid for each in inputs]
    return {"inputs": named, "transform": {"executor": executor, "params": params or {}}, **more}


def test_materialize_names_data_lineage(service: Served, letters: Pair) -> None:
    a, b = letters
    one = service.ask("POST", "/v1/materialize", "anna-token", json=wanted(a, b, name="demo/rest")).json()
    two = service.ask("POST", "/v1/materialize", "anna-token", json=wanted(b, a, name="demo/rest")).json()
    assert (one["state"], one["hit"], one["name"]) == ("ready", False, {"name": "demo/rest", "version": 1})
    assert two["cid"] != one["cid"]
    assert two["name"]["version"] == 2
    again = service.ask("POST", "/v1/materialize", "anna-token", json=wanted(a, b)).json()
    assert again["hit"]
    assert {name: again[name] for name in ("cid", "id", "uri", "key", "record")} == {
        name: one[name] for name in ("cid", "id", "uri", "key", "record")
    }
    assert "path" not in json.dumps(one["asset"])
    data = service.ask("GET", f"/v1/assets/{one['id']}/data", "ben-token")
    assert data.content == b"a"
    assert data.headers["etag"] == f'"{one["cid"]}"'
    assert data.headers["x-ipfs-path"] == f"/ipfs/{one['cid']}"
    told = {"If-None-Match": data.headers["etag"]}
    assert service.ask("GET", f"/v1/assets/{one['id']}/data", "ben-token", told=told).status_code == 304
    part = service.ask("GET", f"/v1/assets/{a.id}/data", "ben-token", told={"Range": "bytes=1-1"})
    assert (part.status_code, part.content, part.headers["content-range"]) == (206, b"b", "bytes 1-1/3")
    lineage = service.ask("GET", f"/v1/assets/{one['id']}/lineage", "ben-token").json()
    (record,) = lineage["records"].values()
    assert (record["task"], record["principal"]) == ("except_", "anna")
    assert (
        service.ask("GET", f"/v1/assets/{one['cid']}/records", "ben-token").json()["records"][0]["id"] == one["record"]
    )
    down = service.ask("GET", f"/v1/assets/{a.id}/dependents", "ben-token").json()
    assert {each["asset"]["cid"] for each in down["roots"][0]["next"]} == {one["cid"], two["cid"]}
    named = service.ask("GET", "/v1/names/demo/rest?version=1&stale=1", "ben-token").json()
    assert (named["asset"]["id"], named["user"]) == (one["id"], "anna")
    versions = service.ask("GET", "/v1/names/demo/rest?history=true", "ben-token").json()["versions"]
    assert [each["version"] for each in versions] == [2, 1]
    reuse = service.ask(
        "POST", "/v1/materialize", "anna-token", json=wanted("stargazer://name/demo/rest@v=1", b)
    ).json()
    assert reuse["state"] == "ready"


def test_explain_runs_nothing(service: Served, letters: Pair, lab: Settings) -> None:
    plan = service.ask("POST", "/v1/materialize", "anna-token", json=wanted(*letters, explain=True)).json()
    assert (plan["to_run"], plan["calls"][0]["reasons"][0]["text"]) == (1, "never ran")
    assert service.ask("GET", "/v1/runs", "anna-token").json() == {"runs": []}


def test_paths_of_the_server_may_not_be_named(service: Served, letters: Pair, tmp_path: Path) -> None:
    for path in (str(tmp_path / "flag"), "../flag", "~/flag", "file:///flag"):
        body = wanted(letters[0], executor="wait@v1", params={"until": path}, wait=0)
        denied = service.ask("POST", "/v1/materialize", "anna-token", json=body)
        assert (denied.status_code, "paths of the server" in denied.json()["detail"]) == (422, True)


def slow(
    serve: Serve, lab: Settings, letters: Pair, tmp_path: Path, **more: Any
) -> tuple[Served, dict[str, Any], Path]:
    """A service whose transforms may be told of paths, and a request that waits for a file."""
    service = serve(lab._replace(allow_code=True))
    flag = tmp_path / "flag"
    return service, wanted(letters[0], executor="wait@v1", params={"until": str(flag)}, wait=0, **more), flag


@pytest.mark.filterwarnings("ignore")
def test_a_long_build(serve: Serve, lab: Settings, letters: Pair, tmp_path: Path) -> None:
    service, body, flag = slow(serve, lab, letters, tmp_path, name="demo/slow")
    begun = service.ask("POST", "/v1/materialize", "anna-token", json=body)
    assert begun.status_code == 202
    told = begun.json()
    assert begun.headers["location"] == f"/v1/builds/{told['build']}"
    assert service.ask("POST", "/v1/materialize", "anna-token", json=body).json()["build"] == told["build"]
    place = f"/v1/builds/{told['build']}"
    assert service.ask("GET", place, "ben-token").json()["state"] == "building"
    assert service.ask("GET", place, "carl-token").status_code == 404
    assert service.ask("DELETE", place, "dora-token").status_code == 404
    assert len(service.ask("GET", "/v1/builds", "ben-token").json()["builds"]) == 1
    events: list[str] = []

    def watch() -> None:
        with service.client("ben-token", Accept="text/event-stream") as client, client.stream("GET", place) as answer:
            events.extend(line for line in answer.iter_lines() if line.startswith("event:"))

    watching = threading.Thread(target=watch)
    watching.start()
    flag.touch()
    ended = until(
        lambda: (found := service.ask("GET", f"{place}?wait=20", "ben-token").json())["state"] == "ready" and found
    )
    assert (ended["hit"], ended["build"]) == (False, told["build"])
    watching.join(60)
    assert events[-1] == "event: ready"
    assert service.ask("GET", "/v1/names/demo/slow", "ben-token").json()["asset"]["cid"] == ended["cid"]
    text = service.ask("GET", "/metrics", "ben-token").text
    assert 'stargazer_materialized_total{how="run"} 1' in text
    assert 'stargazer_materialized_total{how="joined"} 1' in text


@pytest.mark.filterwarnings("ignore")
def test_cancelling_ends_the_tools(serve: Serve, lab: Settings, letters: Pair, tmp_path: Path) -> None:
    service, body, _ = slow(serve, lab, letters, tmp_path)
    told = service.ask("POST", "/v1/materialize", "anna-token", json=body).json()
    ended = service.ask("DELETE", f"/v1/builds/{told['build']}", "anna-token").json()
    assert (ended["state"], ended["cancelled"]) == ("cancelled", True)
    assert service.ask("GET", f"/v1/builds/{told['build']}", "anna-token").json()["state"] == "cancelled"


@pytest.mark.filterwarnings("ignore")
def test_limits_are_told_with_a_time(serve: Serve, lab: Settings, letters: Pair, tmp_path: Path) -> None:
    service, body, flag = slow(serve, lab._replace(limits=Limits(1, 1 << 40)), letters, tmp_path)
    service.ask("POST", "/v1/materialize", "anna-token", json=body)
    other = {**body, "transform": {"executor": "wait@v1", "params": {"until": f"{flag}2"}}}
    refused = service.ask("POST", "/v1/materialize", "anna-token", json=other)
    assert (refused.status_code, refused.headers["retry-after"]) == (429, "5")
    flag.touch()


def test_bytes_are_limited(serve: Serve, lab: Settings, letters: Pair) -> None:
    service = serve(lab._replace(limits=Limits(2, 100)))
    assert service.ask("GET", f"/v1/assets/{letters[0].id}", "ben-token").status_code == 200
    refused = until(
        lambda: (found := service.ask("GET", f"/v1/assets/{letters[0].id}", "ben-token")).status_code == 429 and found
    )
    assert int(refused.headers["retry-after"]) > 3000
    assert service.ask("GET", f"/v1/assets/{letters[0].id}", "dora-token").status_code == 200


def test_what_fails_says_so_in_the_engines_words(service: Served, letters: Pair) -> None:
    found = service.ask("POST", "/v1/materialize", "anna-token", json=wanted(letters[0], executor="fail@v1"))
    problem = found.json()
    assert found.status_code == 500
    assert found.headers["content-type"] == "application/problem+json"
    assert problem["type"] == "urn:stargazer:error:RunFailed"
    assert "a.txt has no columns" in problem["detail"]
    assert problem["where"] == "POST /v1/materialize"
    assert "DataError" in next(iter(problem["failures"].values()))


@pytest.mark.parametrize(
    ("body", "status", "told"),
    [
        ({"transform": {"executor": "except@v1"}}, 422, "left, right missing"),
        ({"transform": {"executor": "no@v1"}}, 404, "no transform"),
        ({"transform": {"executor": "os:system"}}, 404, "runs no other code"),
        ({"transform": {"executor": "except@v1"}, "inputs": "x"}, 422, "inputs"),
        ({"transform": {"executor": "except@v1"}, "waits": 1}, 422, "no member waits"),
        ({"transform": {"executor": "except@v1"}, "wait": -1}, 422, "wait"),
        ({"transform": {"executor": "except@v1"}, "priority": "now"}, 422, "priority"),
        ({"inputs": ["file:///etc#a.b"], "transform": {"executor": "scan@v1"}}, 404, "nor a table"),
    ],
)
def test_wrong_requests(service: Served, body: dict[str, Any], status: int, told: str) -> None:
    found = service.ask("POST", "/v1/materialize", "anna-token", json=body)
    assert (found.status_code, told in found.json()["detail"]) == (status, True), found.text


def test_wrong_shapes(service: Served) -> None:
    ask = service.ask
    assert (
        ask(
            "POST", "/v1/materialize", "anna-token", content=b"{", told={"Content-Type": "application/json"}
        ).status_code
        == 400
    )
    assert (
        ask("POST", "/v1/materialize", "anna-token", content=b"{}", told={"Content-Type": "text/plain"}).status_code
        == 415
    )
    assert ask("GET", "/v2/none", "anna-token").json()["type"] == "urn:stargazer:error:NotFound"
    assert ask("DELETE", "/v1/runs", "anna-token").status_code == 405
    assert ask("GET", "/v1/assets/abc/data", "anna-token").status_code == 422
    assert ask("GET", "/v1/runs?limit=x", "anna-token").status_code == 422


def metadata(**members: str) -> str:
    import base64

    return ",".join(f"{name} {base64.b64encode(value.encode()).decode()}" for name, value in members.items())


def test_a_file_is_sent_in_one_request(service: Served, lab: Settings) -> None:
    told = service.ask("POST", "/v1/assets?name=s1.fq&type=r1&fact.sample_id=s1", "anna-token", content=b"@a\n")
    found = told.json()
    assert (told.status_code, found["type"], found["facts"]["sample_id"], found["size"]) == (201, "r1", "s1", 3)
    query = service.ask("POST", "/v1/query", "ben-token", json={"asset": "r1", "sample_id": "s1"}).json()
    assert [each["id"] for each in query["assets"]] == [found["id"]]
    wrong = service.ask("POST", f"/v1/assets?cid={found['cid']}", "anna-token", content=b"@b\n")
    assert (wrong.status_code, "nothing was kept" in wrong.json()["detail"]) == (422, True)
    with sg.Store(lab.stores["lab"]) as store:
        assert not store.gc(dry_run=True, grace=0, recent=0).removed


def test_an_upload_goes_on_where_it_was_cut_off(service: Served, tmp_path: Path) -> None:
    data = bytes(range(256)) * 4096
    (tmp_path / "big").write_bytes(data)
    cid = cid_of_file(tmp_path / "big")
    told = {**TUS, "Upload-Length": str(len(data)), "Upload-Metadata": metadata(filename="big.bin", cid=cid)}
    begun = service.ask("POST", "/v1/assets", "anna-token", told=told)
    assert begun.status_code == 201
    place = begun.headers["location"]
    half = service.ask("PATCH", place, "anna-token", content=data[:300_000], told={**PART, "Upload-Offset": "0"})
    assert (half.status_code, half.headers["upload-offset"]) == (204, "300000")
    assert service.ask("HEAD", place, "anna-token").headers["upload-offset"] == "300000"
    assert service.ask("HEAD", place, "dora-token").status_code == 404
    wrong = service.ask("PATCH", place, "anna-token", content=b"x", told={**PART, "Upload-Offset": "7"})
    assert (wrong.status_code, wrong.headers["upload-offset"]) == (409, "300000")
    done = service.ask("PATCH", place, "anna-token", content=data[300_000:], told={**PART, "Upload-Offset": "300000"})
    assert (done.status_code, done.json()["cid"], done.json()["name"]) == (201, cid, "big.bin")
    assert service.ask("HEAD", place, "anna-token").status_code == 404
    assert service.ask("GET", f"/v1/assets/{cid}/data", "ben-token").content == data
    known = service.ask("POST", "/v1/assets", "anna-token", told=told)
    assert (known.status_code, known.json()["cid"]) == (200, cid)


def test_an_upload_of_other_bytes_is_not_kept(service: Served, letters: Pair, tmp_path: Path) -> None:
    (tmp_path / "x").write_text("other")
    told = {**PART, "Upload-Length": "5", "Upload-Metadata": metadata(cid=cid_of_file(tmp_path / "x"))}
    found = service.ask("POST", "/v1/assets", "anna-token", content=b"12345", told=told)
    assert (found.status_code, found.json()["type"]) == (422, "urn:stargazer:error:CIDMismatch")
    long = service.ask("POST", "/v1/assets", "anna-token", content=b"123456789", told=told)
    assert long.status_code == 413


def test_folders_and_tables(serve: Serve, lab: Settings, tmp_path: Path) -> None:
    import pyarrow as pa

    folder = tmp_path / "folder"
    (folder / "in").mkdir(parents=True)
    (folder / "in" / "one.txt").write_text("1")
    with (
        pa.OSFile(str(tmp_path / "t.arrow"), "wb") as file,
        pa.ipc.new_file(file, pa.schema([("id", pa.int64())])) as w,
    ):
        w.write_table(pa.table({"id": [1, 2, 3]}))
    with sg.Store(lab.stores["lab"]):
        tree, table = sg.add(folder), sg.add(tmp_path / "t.arrow", sg.Table(rows=3, columns=("id",)))
    service = serve(lab)
    tar = service.ask("GET", f"/v1/assets/{tree.id}/data", "ben-token")
    with tarfile.open(fileobj=io.BytesIO(tar.content)) as opened:
        assert opened.extractfile("folder/in/one.txt").read() == b"1"  # type: ignore[union-attr]
    assert service.ask("GET", f"/v1/assets/{tree.id}/data/in/one.txt", "ben-token").content == b"1"
    assert service.ask("GET", f"/v1/assets/{tree.id}/data/in/two.txt", "ben-token").status_code == 404
    stream = service.ask("GET", f"/v1/assets/{table.id}/data?format=arrow", "ben-token")
    assert stream.headers["content-type"] == "application/vnd.apache.arrow.stream"
    assert pa.ipc.open_stream(stream.content).read_all().to_pydict() == {"id": [1, 2, 3]}
    assert (
        pa.ipc.open_file(service.ask("GET", f"/v1/assets/{table.id}/data", "ben-token").content).read_all().num_rows
        == 3
    )


def test_catalog_runs_gc_openapi(service: Served, letters: Pair) -> None:
    import jsonschema

    assert service.ask("GET", "/health").json()["status"] == "ok"
    service.ask("POST", "/v1/materialize", "anna-token", json=wanted(*letters))
    (run,) = service.ask("GET", "/v1/runs", "ben-token").json()["runs"]
    assert service.ask("GET", f"/v1/runs/{run['id']}", "ben-token").json()["state"] == "done"
    entry = service.ask("GET", "/v1/catalog/except@v1", "ben-token").json()
    assert [param["name"] for param in entry["params"]] == ["left", "right"]
    swept = service.ask("POST", "/v1/gc", "root-token", json={}).json()
    assert (swept["dry_run"], swept["removed"]) == (True, 0)
    assert service.ask("POST", "/v1/gc", "root-token", json={"grace": 1}).status_code == 422
    named = service.ask("PUT", "/v1/names/demo/a", "anna-token", json={"asset": letters[0].cid}).json()
    assert (named["version"], named["uri"]) == (1, "stargazer://name/demo/a@1")
    assert service.ask("GET", "/v1/names", "ben-token").json()["names"] == {"demo/a": 1}
    described = service.ask("GET", "/openapi.json", "ben-token").json()
    jsonschema.Draft202012Validator.check_schema(described["components"]["schemas"]["transform.except_v1"])
    body = described["paths"]["/v1/materialize"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    jsonschema.validate(wanted(*letters, name="x", wait=1), body)
    assert "/v1/names/{name}" in described["paths"]


def test_folders_are_sent_as_they_are(serve: Callable[[Settings], Served], lab: Settings, tmp_path: Path) -> None:
    service = serve(lab)
    folder = tmp_path / "sample.zarr"
    (folder / "a" / "empty").mkdir(parents=True)
    (folder / ".zgroup").write_text("{}")
    (folder / "a" / "0.0").write_bytes(bytes(1000))
    client = sg.ServiceClient(service.url, "anna-token", store=sg.Store(str(tmp_path / "mine")))
    added = client.add(folder, sg.Asset(facts={"organ": "liver"}))
    assert (added.cid, added.name, added.facts["organ"]) == (cid_of_path(folder), "sample.zarr", "liver")
    assert sorted(path.name for path in client.fetch(added).rglob("*")) == [".zgroup", "0.0", "a", "empty"]
    assert client.add(folder).cid == added.cid, "what is there is not sent again"


def test_odd_folders_are_refused(serve: Callable[[Settings], Served], lab: Settings, tmp_path: Path) -> None:
    service = serve(lab)

    def send(name: str, kind: bytes = tarfile.REGTYPE) -> httpx.Response:
        sink = io.BytesIO()
        with tarfile.open(fileobj=sink, mode="w") as tar:
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "/etc/passwd"
            tar.addfile(info)
        path = "/v1/assets?name=folder&folder=tar"
        return service.ask("POST", path, "anna-token", content=sink.getvalue())

    assert send("fine.txt").status_code == 201
    for name, kind in (
        ("../x", tarfile.REGTYPE),
        ("/x", tarfile.REGTYPE),
        ("x", tarfile.SYMTYPE),
        ("x", tarfile.LNKTYPE),
    ):
        assert send(name, kind).json()["type"] == "urn:stargazer:error:DataError", name
    cut = service.ask("POST", "/v1/assets?name=folder&folder=tar", "anna-token", content=b"no tar")
    assert cut.json()["type"] == "urn:stargazer:error:DataError"
    other = service.ask("POST", "/v1/assets?name=folder&folder=zip", "anna-token", content=b"x")
    assert other.status_code == 422
