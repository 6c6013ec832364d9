"""Requests that mean something else than they seem to, and answers that must say all: nothing is passed over."""

from __future__ import annotations

import base64
import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import httpx
import pytest
from services import Served, person

import stargazer as sg
from stargazer.errors import ArgumentError, ConfigError, NotAReference
from stargazer.runs.history import Note
from stargazer.service.problems import hidden_from
from stargazer.service.routes import ROUTES
from stargazer.service.settings import Settings, read_settings
from stargazer.service.shown import HIDDEN, note_json

Serve = Callable[[Settings], Served]
Pair = tuple[sg.Asset, sg.Asset]


@pytest.fixture
def service(serve: Serve, lab: Settings) -> Served:
    return serve(lab)


# Tables.


@pytest.fixture
def parquet(tmp_path: Path) -> Path:
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    pytest.importorskip("pyiceberg")
    for name in ("open", "closed"):
        (tmp_path / name).mkdir()
        pq.write_table(pa.table({"word": [name]}), tmp_path / name / "a.parquet")
    return tmp_path


def scanned(service: Served, who: str, uri: str, **params: Any) -> Any:
    wanted = {"inputs": [uri], "transform": {"executor": "scan@v1", "params": params}}
    return service.ask("POST", "/v1/materialize", f"{who}-token", json=wanted)


@pytest.mark.parametrize("way", [".\t./", ".\n./", "\r../", "../", "%2e%2e/", ".%09./"])
def test_no_way_leads_around_the_patterns_of_tables(serve: Serve, lab: Settings, parquet: Path, way: str) -> None:
    guest = person("guest", "lab", "read", "run", tables=(f"{parquet.as_uri()}/open/*",))
    service = serve(lab._replace(tokens=(*lab.tokens, guest)))
    assert scanned(service, "guest", f"{parquet.as_uri()}/open/a.parquet").status_code == 200
    found = scanned(service, "guest", f"{parquet.as_uri()}/open/{way}closed/a.parquet")
    assert (found.status_code, found.headers["content-type"]) == (404, "application/problem+json")


@pytest.mark.parametrize("uri", ["open/..?x", "open/..?#db.t", "open/..?x#db.t", "open/..%3F", "closed?/open.parquet"])
def test_what_would_be_passed_over_of_an_address_leads_around_no_pattern(
    serve: Serve, lab: Settings, parquet: Path, uri: str
) -> None:
    """``open/..?x`` was read as ``open/..``; and of ``closed?/open.parquet`` the folder ``closed``."""
    base = parquet.as_uri()
    guest = person("guest", "lab", "read", "run", tables=(f"{base}/open/*", f"{base}/*/open.parquet"))
    found = scanned(serve(lab._replace(tokens=(*lab.tokens, guest))), "guest", f"{base}/{uri}")
    assert found.status_code in (404, 422)
    assert "closed" not in found.text.replace(uri, "")


@pytest.mark.parametrize(
    "uri",
    [
        "iceberg://own/closed.t?.open",
        "iceberg://own/closed.t#.open",
        "file:///x?y",
        "file:///x#a.b?c",
        "file://[x/",
        "iceberg://[::1/a.b",
        "file:///x#./etc.b",
        "file:///x#a..b",
        "file:///x#/b",
    ],
)
def test_what_is_no_address_of_a_table_is_the_clients_fault(service: Served, uri: str) -> None:
    assert scanned(service, "anna", uri).status_code == 422


@pytest.mark.parametrize(
    "params", [{"where": 0}, {"where": []}, {"where": False}, {"where": 5}, {"columns": 5}, {"snapshot": True}]
)
def test_parameters_of_a_scan_are_what_they_should_be(service: Served, parquet: Path, params: dict[str, Any]) -> None:
    found = scanned(service, "anna", f"{parquet.as_uri()}/open", **params)
    assert (found.status_code, next(iter(params)) in found.json()["detail"]) == (422, True)


def test_records_do_not_say_which_tables_others_read(service: Served, parquet: Path) -> None:
    cid = scanned(service, "anna", f"{parquet.as_uri()}/closed/a.parquet").json()["cid"]
    for path in ("records", "lineage"):
        assert "closed/a.parquet" in service.ask("GET", f"/v1/assets/{cid}/{path}", "anna-token").text
        told = service.ask("GET", f"/v1/assets/{cid}/{path}", "ben-token")
        assert (told.status_code, "closed" in told.text) == (200, False)


def test_runs_that_failed_do_not_say_which_tables_others_read(service: Served, lab: Settings, parquet: Path) -> None:
    place = f"{parquet.as_uri()}/closed/a.parquet"
    failures = {"scan": f"{place}: cut short ({place}), of file:///open/b.parquet in {lab.stores['lab']}/blobs."}
    with sg.Store(lab.stores["lab"]) as own:
        note = Note(
            id="scan-1", started="2026-12-01T00:00:00+00:00", user="anna", host="h", pid=1, where="", failures=failures
        )
        told = note_json(note, hidden_from(lab.tokens[0].principal, own), lambda uri: uri.startswith("file:///open/"))
    kept = f"{HIDDEN}: cut short ({HIDDEN}), of file:///open/b.parquet in the store/blobs."
    assert told["failures"] == {"scan": kept}


def test_who_asks_whether_a_name_is_stale_is_not_told_of_what_it_was_made(
    serve: Serve, lab: Settings, parquet: Path
) -> None:
    """The refusal named the table; of an old version, the newest was looked at, which nobody had judged."""
    opened = (f"{parquet.as_uri()}/open/*",)
    guest = person("guest", "lab", "read", names=("*",), tables=opened)
    service = serve(lab._replace(tokens=(*lab.tokens, guest)))
    for place in ("open", "closed"):
        wanted = {
            "inputs": [f"{parquet.as_uri()}/{place}/a.parquet"],
            "transform": {"executor": "scan@v1"},
            "name": "demo/t",
        }
        assert service.ask("POST", "/v1/materialize", "anna-token", json=wanted).status_code == 200
        found = service.ask("GET", "/v1/names/demo/t?stale=1", "guest-token")
        assert (found.status_code, "closed" in found.text) == (200 if place == "open" else 404, False)
    assert service.ask("GET", "/v1/names/demo/t?version=1", "guest-token").status_code == 200
    assert service.ask("GET", "/v1/names/demo/t?version=1&stale=1", "guest-token").status_code == 404
    assert service.ask("GET", "/v1/names/demo/t?stale=1", "anna-token").json()["stale"] is False


# Names and queries.


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/v1/names/demo/a?version=0", 404),
        ("/v1/names/demo/a?version=2", 404),
        ("/v1/names/demo/a?ver=2", 422),
        ("/v1/names/demo/a?version=1&version=2", 422),
        ("/v1/runs?limt=5", 422),
        ("/v1/catalog?words=x", 422),
        ("/v1/names?name=a", 422),
    ],
)
def test_no_parameter_of_a_query_is_passed_over(service: Served, letters: Pair, path: str, status: int) -> None:
    assert service.ask("PUT", "/v1/names/demo/a", "anna-token", json={"asset": letters[0].id}).status_code == 200
    assert service.ask("GET", path, "anna-token").status_code == status


@pytest.mark.parametrize("version", ["1x", "0", "-1", "01", "1@2", "newest"])
def test_a_client_of_a_service_takes_no_version_for_another(
    service: Served, lab: Settings, letters: Pair, store: sg.Store, version: str
) -> None:
    far = sg.ServiceClient(service.url, "anna-token", store=store)
    far.set_name("demo/a", letters[0].id)
    far.set_name("demo/a", letters[1].id)
    assert far.fetch("demo/a@1").read_text() == "abc"
    with sg.Store(lab.stores["lab"]) as own:
        for client in (far, sg.ServiceClient(store=own)):
            with pytest.raises(NotAReference):
                client.fetch(f"stargazer://name/demo/a@{version}")


def test_clients_here_and_there_take_the_same(service: Served, lab: Settings, letters: Pair, store: sg.Store) -> None:
    from services import copy

    left, right = letters
    far = sg.ServiceClient(service.url, "anna-token", store=store)
    with sg.Store(lab.stores["lab"]) as own:
        for client in (sg.ServiceClient(store=own), far):
            by_name = {"executor": "except@v1", "params": {"left": left, "right": right}}
            assert client.materialize([], by_name).fetch().read_text() == "a"
            for inputs, wanted in ((left.cid, "copy@v1"), ([Path("a.txt")], "copy@v1"), ([left], 5)):
                with pytest.raises(ArgumentError):
                    client.materialize(inputs, wanted)  # type: ignore[arg-type]
        with pytest.raises(ArgumentError, match="computed here"):
            far.materialize([copy(left)], "copy@v1")


def test_what_a_query_misses_is_told(service: Served, lab: Settings, tmp_path: Path) -> None:
    (tmp_path / "s1.fq").write_text("@a\n")
    with sg.Store(lab.stores["lab"]):
        sg.add(tmp_path / "s1.fq", sg.R1(sample_id="s1"))
    asked = {"asset": "r1", "sample_id": ["s1", "s9"]}
    found = service.ask("POST", "/v1/query", "ben-token", json=asked).json()
    assert (found["total"], "'s9'" in found["missing"], "'s1'" in found["missing"]) == (1, True, False)
    assert str(tmp_path) not in json.dumps(found)
    assert service.ask("POST", "/v1/query", "ben-token", json={**asked, "sample_id": "s1"}).json()["missing"] == ""


def test_what_another_tenant_has_is_no_input(service: Served, letters: Pair) -> None:
    right = letters[1].id
    for named in (letters[0].id, letters[0].cid, f"stargazer://asset/{letters[0].id}"):
        for body in (
            {"inputs": [named, right], "transform": {"executor": "except@v1"}},
            {"transform": {"executor": "except@v1", "params": {"left": named, "right": right}}},
        ):
            assert service.ask("POST", "/v1/materialize", "anna-token", json=body).status_code == 200
            assert service.ask("POST", "/v1/materialize", "carl-token", json=body).status_code == 404


def test_a_part_of_a_second_is_waited(service: Served, letters: Pair) -> None:
    body = {"inputs": [letters[0].id], "transform": {"executor": "copy@v1"}, "wait": 0.999}
    assert service.ask("POST", "/v1/materialize", "anna-token", json=body).status_code == 200


def test_no_guess_tells_a_name_that_one_may_not_know(service: Served, letters: Pair) -> None:
    for name in ("closed/patients", "open/patient"):
        assert service.ask("PUT", f"/v1/names/{name}", "anna-token", json={"asset": letters[0].id}).status_code == 200
    wanted = {"inputs": ["open/patients@1", letters[1].id], "transform": {"executor": "except@v1"}}
    for method, path, body in (
        ("GET", "/v1/names/open/patients", None),
        ("POST", "/v1/materialize", wanted),
        ("PUT", "/v1/names/open/other", {"asset": "open/patients@latest"}),
    ):
        told = service.ask(method, path, "dora-token", json=body)
        assert (told.status_code, "Did you mean open/patient?" in told.text, "closed" in told.text) == (
            404,
            True,
            False,
        )
    assert "closed/patients" in service.ask("GET", "/v1/names/closed/patient", "anna-token").text


# Uploads.


def test_uploads_of_another_version_are_not_begun(service: Served) -> None:
    told = {"Tus-Resumable": "0.2.2", "Upload-Length": "3"}
    found = service.ask("POST", "/v1/assets", "anna-token", told=told)
    assert (found.status_code, found.headers["tus-version"]) == (412, "1.0.0")


def test_a_file_has_each_fact_once(service: Served) -> None:
    path = "/v1/assets?name=x&type=r1&fact.sample_id=s1&fact.sample_id=s2"
    assert service.ask("POST", path, "anna-token", content=b"@a\n").status_code == 422
    told = {"Tus-Resumable": "1.0.0", "Upload-Length": "3", "Upload-Metadata": "filename eA==,filename eQ=="}
    assert service.ask("POST", "/v1/assets", "anna-token", told=told).status_code == 422


# The shape of answers.


def test_a_range_beyond_the_end_is_a_problem_as_any(service: Served, letters: Pair) -> None:
    for path in (f"/v1/assets/{letters[0].id}/data", f"/ipfs/{letters[0].cid}"):
        found = service.ask("GET", path, "ben-token", told={"Range": "bytes=7-9"})
        assert (found.status_code, found.headers["content-range"]) == (416, "bytes */3")
        assert (found.headers["content-type"], found.json()["status"]) == ("application/problem+json", 416)


@pytest.mark.parametrize("asked", ["format=car&car-version=2", "format=car&car-order=bfs", "format=car&car-dups=x"])
def test_a_car_of_another_kind_is_not_given_for_it(service: Served, letters: Pair, asked: str) -> None:
    assert service.ask("GET", f"/ipfs/{letters[0].cid}?{asked}", "ben-token").status_code == 400
    told = {"Accept": "application/vnd.ipld.car; version=2"}
    assert service.ask("GET", f"/ipfs/{letters[0].cid}", "ben-token", told=told).status_code == 400
    told = {"Accept": "application/vnd.ipld.car; version=1; order=dfs; dups=y"}
    assert "dups=n" in service.ask("GET", f"/ipfs/{letters[0].cid}", "ben-token", told=told).headers["content-type"]


def references(value: Any) -> list[str]:
    if isinstance(value, list):
        return [found for each in value for found in references(each)]
    if not isinstance(value, dict):
        return []
    own = [value["$ref"]] if isinstance(value.get("$ref"), str) else []
    return own + [found for each in value.values() for found in references(each)]


def test_the_description_is_whole(service: Served) -> None:
    document = service.ask("GET", "/openapi.json", "ben-token").json()
    for reference in set(references(document)):
        place = document
        for part in reference.removeprefix("#/").split("/"):
            place = place[part.replace("~1", "/").replace("~0", "~")]
    routes = {(each.path.replace(":path", ""), each.method.lower()) for each in ROUTES} | {("/health", "get")}
    assert {(path, method) for path, each in document["paths"].items() for method in each} == routes
    named = {each["name"]: each["in"] for each in document["paths"]["/v1/names/{name}"]["get"]["parameters"]}
    assert named == {"name": "path", "version": "query", "history": "query", "stale": "query"}
    assert set(document["paths"]["/v1/materialize"]["post"]["responses"]) == {"200", "202", "default"}


# Who asks.


def test_a_header_of_the_proxy_comes_once(serve: Serve, lab: Settings) -> None:
    service = serve(lab._replace(proxy="secret"))
    told = [("X-Stargazer-Proxy-Token", "secret"), ("X-Stargazer-Principal", "eve"), ("X-Stargazer-Scopes", "read")]
    told.append(("X-Stargazer-Tenant", "lab"))
    client = service.client()
    assert client.get("/v1/names", headers=told).status_code == 200
    for name, value in told:
        other = "clinic" if value == "lab" else value
        assert client.get("/v1/names", headers=[(name, other), *told]).status_code == 401


@pytest.mark.parametrize(
    ("other", "is_one"),
    [
        ("s3://lab/x?region=eu-west-1", True),
        ("s3a://lab/x/", True),
        ("s3://lab/x/inner?profile=p", True),
        ("s3://lab/x?endpoint=https://elsewhere.example", False),
        ("s3://lab/xy", False),
        ("gs://lab/x", False),
    ],
)
def test_no_two_tenants_have_one_store_in_a_bucket(other: str, is_one: bool) -> None:
    import dask

    with dask.config.set({"stargazer.service": {"stores": {"lab": "s3://lab/x", "clinic": other}}}):
        if not is_one:
            assert read_settings().stores["clinic"] == other
            return
        with pytest.raises(ConfigError, match="one store"):
            read_settings()


@pytest.mark.parametrize("other", ["file://{}", "{}/", "{}/../lab", "{}/inner", "local://{}"])
def test_no_two_tenants_have_one_store_by_whatever_name(tmp_path: Path, other: str) -> None:
    import dask

    (tmp_path / "lab").mkdir()
    stores = {"lab": str(tmp_path / "lab"), "clinic": other.format(tmp_path / "lab")}
    with dask.config.set({"stargazer.service": {"stores": stores}}), pytest.raises(ConfigError, match="one store"):
        read_settings()
    (tmp_path / "link").symlink_to(tmp_path / "lab")
    linked = {"lab": str(tmp_path / "lab"), "clinic": str(tmp_path / "link")}
    with dask.config.set({"stargazer.service": {"stores": linked}}), pytest.raises(ConfigError, match="one store"):
        read_settings()
    beside = {"lab": str(tmp_path / "lab"), "clinic": str(tmp_path / "lab-2")}
    with dask.config.set({"stargazer.service": {"stores": beside}}):
        assert set(read_settings().stores) == {"lab", "clinic"}


# Bodies, names and forms.


@pytest.mark.parametrize(
    ("body", "twice"),
    [
        ('{"transform": {"executor": "copy@v1"}, "transform": {"executor": "except@v1"}}', "'transform'"),
        ('{"transform": {"executor": "copy@v1", "params": {"a": [{"b": 1, "c": 2, "b": 3}]}}}', "'b'"),
    ],
)
def test_what_a_body_says_twice_is_not_chosen_from(service: Served, body: str, twice: str) -> None:
    told = service.ask("POST", "/v1/materialize", "anna-token", content=body, told={"Content-Type": "application/json"})
    assert (told.status_code, told.json()["detail"]) == (422, f"{twice} stands in one object twice")


@pytest.mark.parametrize(
    ("query", "facts"),
    [
        ("name=q&type=r1&fact.asset=r2", {"asset": "r2"}),
        ("name=q&fact.name=r", {"name": "r"}),
        ("fact.path=/etc/passwd", {"path": "/etc/passwd"}),
        ("fact.=x", {"": "x"}),
        ("name=" + "x" * 256, None),
        ("name=" + "%C3%A4" * 128, None),
    ],
)
def test_what_no_file_can_be_called_and_no_fact_can_be(service: Served, query: str, facts: Any) -> None:
    told = [service.ask("POST", f"/v1/assets?{query}", "anna-token", content=b"x")]
    name = unquote(query.removeprefix("name=")) if facts is None else "x"
    said = {"filename": name, "facts": json.dumps(facts or {})}
    metadata = ",".join(f"{key} {base64.b64encode(value.encode()).decode()}" for key, value in said.items())
    headers = {"Tus-Resumable": "1.0.0", "Upload-Length": "1", "Upload-Metadata": metadata}
    told += [service.ask("POST", "/v1/assets", "anna-token", told=headers)]
    for each in told:
        assert (each.status_code, each.json()["where"]) == (422, "name" if facts is None else "facts")


@pytest.mark.parametrize(
    ("facts", "told"),
    [
        ('{"a": "1", "a": "2"}', "'a' stands in one object twice"),
        ('{"a": "\\ud800"}', "facts is a JSON object"),
        ('{"\\udc00": "a"}', "facts is a JSON object"),
        ("[1]", "facts is a JSON object"),
    ],
)
def test_facts_of_a_header_are_an_object_of_characters(service: Served, facts: str, told: str) -> None:
    metadata = f"filename eA==,facts {base64.b64encode(facts.encode()).decode()}"
    headers = {"Tus-Resumable": "1.0.0", "Upload-Length": "1", "Upload-Metadata": metadata}
    answer = service.ask("POST", "/v1/assets", "anna-token", told=headers)
    assert answer.status_code == 422, answer.text
    assert (answer.json()["detail"], answer.json()["where"]) == (told, "header upload-metadata")


@pytest.mark.parametrize("name", ["demo//x", "demo/../x", "demo/a b", "demo/@1", "demo/x@latest", "demo/" + "x" * 300])
def test_what_is_no_name_is_the_clients_fault(service: Served, letters: Pair, name: str) -> None:
    wanted = {"inputs": [letters[0].id], "transform": {"executor": "copy@v1"}, "name": name}
    answers = [service.ask("POST", "/v1/materialize", "anna-token", json=wanted)]
    url = httpx.URL(service.url, raw_path=f"/v1/names/{quote(name)}".replace("..", "%2E%2E").encode())
    answers += [service.ask("PUT", str(url), "anna-token", json={"asset": letters[0].id})]
    answers += [service.ask("GET", str(url), "anna-token")]
    assert [each.status_code for each in answers] == [422] * 3
    assert all("is no name" in each.json()["detail"] for each in answers)


def test_a_request_without_a_transform_says_so(service: Served) -> None:
    told = service.ask("POST", "/v1/materialize", "anna-token", json={"inputs": []})
    assert (told.status_code, told.json()["detail"][:20]) == (422, "transform is missing")


def test_a_form_that_is_asked_for_is_given_or_refused(service: Served, lab: Settings, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "a.txt").write_text("a" * 1000)
    with sg.Store(lab.stores["lab"]):
        folder, file = sg.add(tmp_path / "folder"), sg.add(tmp_path / "folder" / "a.txt")
    refused = service.ask("GET", f"/v1/assets/{folder.cid}/data?format=raw", "anna-token")
    assert (refused.status_code, "is a folder" in refused.json()["detail"]) == (406, True)
    for path in (f"/v1/assets/{file.cid}/data?format=tar", f"/ipfs/{file.cid}?format=tar&filename=a.txt",
                 f"/ipfs/{folder.cid}/a.txt?format=tar", f"/v1/assets/{folder.cid}/data/a.txt?format=tar"):  # fmt: skip
        given = service.ask("GET", path, "anna-token")
        assert (given.headers["content-type"], given.headers["etag"]) == ("application/x-tar", f'"{file.cid}.tar"')
        with tarfile.open(fileobj=io.BytesIO(given.content)) as archive:
            (member,) = archive.getmembers()
            opened = archive.extractfile(member)
            assert opened is not None
            assert (member.name, opened.read()) == ("a.txt", b"a" * 1000)


def test_bytes_that_are_wanted_again_are_those_or_none(service: Served, letters: Pair) -> None:
    path, tag = f"/v1/assets/{letters[0].id}/data", f'"{letters[0].cid}"'
    for wanted in (tag, "*", f'"x", {tag}'):
        assert service.ask("GET", path, "anna-token", told={"If-Match": wanted}).status_code == 200
    for wanted in ('"x"', f"W/{tag}"):  # weak tags never match here
        told = service.ask("GET", path, "anna-token", told={"If-Match": wanted})
        assert (told.status_code, told.headers["etag"]) == (412, tag)
