"""Tokens and private keys stand in no store, record, log, note of a run, error or key, and tools do not see them."""

from __future__ import annotations

import base64
import json
import logging
import os
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

import dask.config
import pytest
from gateways import Gateway, Request, blocks_of
from typer.testing import CliRunner

import stargazer as sg
from stargazer.cli.app import app
from stargazer.errors import StargazerError
from stargazer.remotes import configured, fetch_into, read_remote
from stargazer.remotes.trust import make_key
from stargazer.store import Store, layout

TOKEN = "t0ken-that-nobody-may-see"
VARIABLE = "LAB_GATEWAY_TOKEN"
JWT = "eyJhbGciOiJIUzI1NiJ9.another-secret-of-pinata"
Serve = Callable[..., Gateway]


@sg.task(tools=[])
def looks_around(work: sg.Workdir, text: sg.Asset) -> sg.Asset:
    """What a tool sees of its environment; its stderr goes to the log."""
    out = work.file("environment.txt")
    work.run(["sh", "-c", "env >&2; env"], stdout=out)
    return sg.Asset(path=out)


@sg.task
def fails(work: sg.Workdir, text: sg.Asset) -> sg.Asset:
    """A tool that fails with all that it knows."""
    work.run(["sh", "-c", "env >&2; exit 3"])
    return sg.Asset(path=work.file("x"))


def tells(request: Request, body: bytes) -> None:
    """Refuses, and repeats what it was sent."""
    request.answer(str(request.headers).encode(), 403)


@pytest.fixture
def secrets(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[list[bytes]]:
    """What must be nowhere: two tokens, and the private key in all its forms."""
    monkeypatch.setenv(VARIABLE, TOKEN)
    monkeypatch.setenv("PINATA_JWT", JWT)
    key = tmp_path.parent / f"{tmp_path.name}-key.pem"
    with dask.config.set({"stargazer.key": str(key)}):
        make_key()
        private = "".join(key.read_text().splitlines()[1:-1])
        seed = base64.b64decode(private)[-32:]
        yield [TOKEN.encode(), JWT.encode(), private.encode(), seed, seed.hex().encode(), base64.b64encode(seed)]
    key.unlink()


def everything_written(folder: Path) -> Iterator[tuple[str, bytes]]:
    for base, _, names in os.walk(folder):
        for name in names:
            yield f"{base}/{name}", Path(base, name).read_bytes()


def test_nothing_tells_a_secret(
    secrets: list[bytes], store: Store, origin: Store, tmp_path: Path, serve: Serve,
    configure: Callable[..., None], caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    caplog.set_level(logging.DEBUG)
    (tmp_path / "text.txt").write_text("hello")
    cid = str(origin.add(tmp_path / "text.txt").cid)
    evil, good = serve(blocks_of(origin, cid), tells), serve(blocks_of(origin, cid))
    configure(
        {"gateway": evil.url, "name": "evil", "token": VARIABLE},
        {"kubo": evil.url, "name": "node", "token": VARIABLE},
        {"pinata": "private", "api": evil.url, "uploads": evil.url, "gateway": evil.url},
        {"gateway": good.url, "name": "good", "token": VARIABLE},
    )
    told: list[object] = []

    def tried(act: Callable[[], object]) -> None:
        try:
            told.append(act())
        except StargazerError as error:
            told.append("".join(traceback.format_exception(error)))
            told.extend(map(repr, getattr(error, "failures", {}).values()))

    for remote in configured():
        tried(lambda remote=remote: fetch_into(store, cid, [remote]))
        told.append([repr(remote), remote.offers, remote.url])
        store.backend.remove(layout.blob(cid))
    with pytest.warns(match="was skipped"):
        sg.fetch(cid)
    source = store.add(tmp_path / "text.txt")
    seen = looks_around(source).compute()
    tried(lambda: sg.run(fails(source), progress=False))
    sg.push(seen, to=str(tmp_path / "lab"), lineage=True)
    run = CliRunner()
    for command in (["config"], ["remotes", "--json"], ["runs", "--json"], ["keys", "show"], ["trace", str(seen.cid)]):
        told.append(run.invoke(app, command).output)
    told += [repr(looks_around(source)), looks_around(source).plan_key, repr(sg.plan(fails(source))), source.id]
    told.append(json.dumps(sg.trace(seen).to_dict()))
    everything = " ".join(map(str, told)) + caplog.text + "".join(capfd.readouterr())
    assert "evil answered 403" in everything
    assert any(isinstance(each, str) and "exit code 3" in each for each in told)
    assert VARIABLE not in seen.fetch().read_text()
    assert "HOME=" in seen.fetch().read_text()
    assert list(Store(tmp_path / "lab").backend.entries("signatures"))
    for place, data in [("what was told", everything.encode()), *everything_written(tmp_path)]:
        assert not [secret for secret in secrets if secret in data or secret in place.encode()], place


def test_a_redirect_elsewhere_does_not_take_the_token_along(
    secrets: list[bytes], store: Store, origin: Store, tmp_path: Path, serve: Serve
) -> None:
    (tmp_path / "text.txt").write_text("hello")
    cid = str(origin.add(tmp_path / "text.txt").cid)
    seen: dict[str, str | None] = {}

    def notes(request: Request, body: bytes) -> None:
        seen["elsewhere"] = request.headers.get("Authorization")
        request.answer(body)

    elsewhere = serve(blocks_of(origin, cid), notes)

    def redirects(request: Request, body: bytes) -> None:
        seen["first"] = request.headers.get("Authorization")
        request.send_response(302)
        request.send_header("Location", elsewhere.url.replace("127.0.0.1", "localhost") + request.path)
        request.send_header("Content-Length", "0")
        request.end_headers()

    remote = read_remote({"gateway": serve(blocks_of(origin, cid), redirects).url, "token": VARIABLE})
    fetch_into(store, cid, [remote])
    assert seen == {"first": f"Bearer {TOKEN}", "elsewhere": None}
