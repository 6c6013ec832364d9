"""What odd clients ask: nothing is lost, nobody gets what another one asked for, limits hold."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from services import Served, until

import stargazer as sg
from stargazer.service.settings import Limits, Settings
from stargazer.service.uploads import Uploads

Serve = Callable[[Settings], Served]
Pair = tuple[sg.Asset, sg.Asset]
TUS = {"Tus-Resumable": "1.0.0"}
PART = {**TUS, "Content-Type": "application/offset+octet-stream"}


@pytest.fixture
def service(serve: Serve, lab: Settings, letters: Pair) -> Served:
    return serve(lab)


def test_an_empty_file_needs_no_part(service: Served) -> None:
    made = service.ask("POST", "/v1/assets", "anna-token", told={**TUS, "Upload-Length": "0"})
    assert (made.status_code, made.json()["size"], made.headers["upload-offset"]) == (201, 0, "0")


def test_an_upload_that_came_whole_before_the_service_ended_is_an_asset(service: Served, lab: Settings) -> None:
    begun = service.ask("POST", "/v1/assets", "anna-token", told={**TUS, "Upload-Length": "5"})
    place = begun.headers["location"]
    store = sg.Store(lab.stores["lab"])
    (Uploads.folder(store) / f"{place.rpartition('/')[2]}.part").write_bytes(b"whole")
    asked = service.ask("HEAD", place, "anna-token")
    assert asked.headers["upload-offset"] == "5"
    assert service.ask("GET", f"{asked.headers['location']}/data", "anna-token").content == b"whole"
    assert list(Uploads.folder(store).iterdir()) == []


@pytest.mark.parametrize("path", ["/v1/assets/{cid}/data", "/ipfs/{cid}", "/ipfs/{cid}?format=raw", "/v1/names"])
def test_no_cache_in_front_gives_one_tenants_bytes_to_another(service: Served, letters: Pair, path: str) -> None:
    told = service.ask("GET", path.format(cid=letters[0].cid), "anna-token")
    assert told.status_code == 200
    assert "private" in told.headers["cache-control"]
    assert "public" not in told.headers["cache-control"]


def test_what_everybody_of_this_machine_may_read_is_kept_by_caches(serve: Serve, lab: Settings, letters: Pair) -> None:
    alone = serve(Settings({"default": lab.stores["lab"]}))
    told = alone.ask("GET", f"/ipfs/{letters[0].cid}")
    assert told.headers["cache-control"] == "public, max-age=29030400, immutable"


@pytest.mark.filterwarnings("ignore")
def test_refreshing_is_no_way_around_the_limit(serve: Serve, lab: Settings, letters: Pair, tmp_path: Path) -> None:
    service, flag = serve(lab._replace(allow_code=True, limits=Limits(1, 1 << 40))), tmp_path / "flag"
    transform = {"executor": "wait@v1", "params": {"until": str(flag)}}
    body: dict[str, Any] = {"inputs": [letters[0].id], "transform": transform, "wait": 0}
    first = service.ask("POST", "/v1/materialize", "anna-token", json=body).json()
    refused = service.ask("POST", "/v1/materialize", "anna-token", json={**body, "refresh": True})
    assert (refused.status_code, "being made just now" in refused.json()["detail"]) == (409, True)
    flag.touch()
    place = f"/v1/builds/{first['build']}?wait=20"
    until(lambda: service.ask("GET", place, "anna-token").json()["state"] == "ready")
    flag.unlink()
    again = [service.ask("POST", "/v1/materialize", "anna-token", json={**body, "refresh": True}) for _ in range(2)]
    assert [each.status_code for each in again] == [202, 202]
    assert len({each.json()["run"] for each in again}) == 1
    flag.touch()
    until(lambda: service.ask("GET", place, "anna-token").json()["state"] == "ready")


@pytest.mark.parametrize("number", ["²", "٣" * 2, "1" * 5000, "-1", "1e3", ""])
def test_numbers_that_are_none(service: Served, number: str) -> None:
    told = service.ask("GET", "/v1/runs", "anna-token", params={"limit": number})
    assert (told.status_code, told.json()["type"]) == (422, "urn:stargazer:error:ArgumentError")


@pytest.mark.parametrize(("wait", "status"), [("NaN", 422), ("-Infinity", 422), ("1e999", 200)])
def test_odd_waits(service: Served, letters: Pair, wait: str, status: int) -> None:
    asked = f'{{"inputs": ["{letters[0].cid}"], "transform": {{"executor": "copy@v1"}}, "wait": {wait}}}'
    headers = {"Content-Type": "application/json"}
    assert service.ask("POST", "/v1/materialize", "anna-token", content=asked, told=headers).status_code == status


@pytest.mark.parametrize("name", ["../../x", "..", "/etc/x", "x"])
def test_who_wrote_an_address_does_not_say_where_a_tar_is_unpacked(service: Served, lab: Settings, name: str) -> None:
    with sg.Store(lab.stores["lab"]):
        (folder := Path(lab.stores["lab"]).parent / "folder").mkdir()
        (folder / "a.txt").write_text("a")
        stored = sg.add(folder)
    told = service.ask("GET", f"/ipfs/{stored.cid}", "anna-token", params={"format": "tar", "filename": name})
    with tarfile.open(fileobj=io.BytesIO(told.content)) as archive:
        tops = {each.name.split("/")[0] for each in archive}
    assert tops == ({"x"} if name != ".." else {stored.cid})
