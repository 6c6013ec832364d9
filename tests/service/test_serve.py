"""``stargazer serve``, ``worker serve`` and ``warm`` as people start them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from services import PATIENCE

import stargazer as sg
from stargazer.service.executor import Executor

COMMAND = [sys.executable, "-c", "from stargazer.cli import main; main()"]


@contextmanager
def started(*arguments: str, **env: str) -> Iterator[dict[str, Any]]:
    """A command that serves; what it says first."""
    process = subprocess.Popen(
        [*COMMAND, *arguments, "--port", "0", "--json"], stdout=subprocess.PIPE, text=True, env={**os.environ, **env}
    )
    assert process.stdout is not None
    try:
        text = process.stdout.readline()
        while not text.rstrip().endswith("}"):
            text += process.stdout.readline()
        yield json.loads(text)
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(PATIENCE)
        process.stdout.close()


def test_serve_says_where_it_is_and_serves(tmp_path: Path) -> None:
    (tmp_path / "ref.fa").write_text(">chr1\nACGT\n")
    with started("serve", "--store", str(tmp_path / "served")) as told:
        client = sg.ServiceClient(told["url"], store=sg.Store(str(tmp_path / "mine")))
        reference = client.add(tmp_path / "ref.fa", sg.Reference(build="b37"))
        assert client.find(reference.cid).build == "b37"
        assert httpx.get(f"{told['url']}/ipfs/{reference.cid}", timeout=PATIENCE).text == ">chr1\nACGT\n"
    assert sg.Store(str(tmp_path / "served")).has(reference.cid)


def test_a_worker_asks_for_a_token() -> None:
    with started("worker", "serve", STARGAZER_WORKER_TOKEN="kept") as told:
        assert "token" not in told
        assert Executor(told["url"], "kept").execute("b = a + 1", {"a": 1}).variables == {"b": 2}


def test_nothing_is_served_beyond_this_machine_without_tokens(tmp_path: Path) -> None:
    told = [*COMMAND, "serve", "--host", "0.0.0.0", "--port", "0"]
    done = subprocess.run(told, capture_output=True, text=True, check=False)
    assert (done.returncode, "--new-token" in done.stderr) == (1, True)


def test_a_new_token_fits_its_line(tmp_path: Path) -> None:
    import yaml

    from stargazer.service.settings import digest_of

    done = subprocess.run(
        [*COMMAND, "serve", "--new-token", "anna", "--json"], capture_output=True, text=True, check=True
    )
    told = json.loads(done.stdout)
    line = yaml.safe_load(told["setting"])
    assert (line["principal"], line["sha256"]) == ("anna", digest_of(told["token"]))


def test_warm_reads_once(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"id": list(range(20))}), tmp_path / "x.parquet", row_group_size=10)
    told = [*COMMAND, "warm", (tmp_path / "x.parquet").as_uri(), "--json"]
    first, second = (json.loads(subprocess.run(told, capture_output=True, text=True, check=True).stdout) for _ in "ab")
    assert (first["calls"], first["read"], second["read"]) == (2, 2, 0)
