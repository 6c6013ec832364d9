"""Assets and their types in other processes, and what importing them costs there."""

import pickle
import subprocess
import sys
import textwrap
from pathlib import Path

import cloudpickle  # type: ignore[import-untyped]

from stargazer.assets import R1, Asset, Variants

NOTEBOOK = """
from __future__ import annotations
import sys, cloudpickle
from dataclasses import field
from typing import Literal, Optional
from collections.abc import Sequence
from enum import Enum
import stargazer.assets as sg

class Colour(Enum):
    RED = "red"

class Peaks(sg.Asset):
    '''Peaks.'''
    count: int = 0
    colour: Optional[Colour] = None
    width: Literal["narrow", "broad"] = "narrow"
    tags: Sequence[str] = field(default_factory=list)

class Alignment(sg.Asset, key="long_read_alignment"):
    pass

class Later(sg.Asset):
    asset_key = "never_constructed_here"
    count: int = 0

def work(asset, text):
    import json, stargazer.assets as sg
    again = sg.Asset.from_dict(json.loads(text))
    assert type(again) is type(asset) and again == asset, again
    made = Later(count=3)
    assert sg.asset_type("never_constructed_here") is Later and sg.asset_type("alignment").__module__ != "__main__"
    assert sg.asset_type("long_read_alignment") is Alignment and Alignment().asset_key == "long_read_alignment"
    try:
        Peaks(colour="blue")
    except sg.asset.AssetError as error:
        assert "colour" in str(error)
    else:
        raise SystemExit("not checked")
    return [again, Peaks(path="b.bed", count=4, colour="red"), made]

import json
peaks = Peaks(path="a.bed", count=3, colour=Colour.RED, tags=["x"])
sys.stdout.buffer.write(cloudpickle.dumps((work, peaks, json.dumps(peaks.to_dict()))))
"""

WORKER = """
import pickle, sys, cloudpickle
work, asset, text = pickle.loads(sys.stdin.buffer.read())
sys.stdout.buffer.write(cloudpickle.dumps([repr(x) for x in work(asset, text)]))
"""


def python(code: str, data: bytes = b"") -> bytes:
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], input=data, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


def test_a_class_of_a_notebook_is_registered_on_the_worker_that_gets_it() -> None:
    sent = python(NOTEBOOK)
    assert pickle.loads(python(WORKER, sent)) == [
        "Peaks(count=3, colour=<Colour.RED: 'red'>, tags=('x',), path='a.bed')",
        "Peaks(count=4, colour=<Colour.RED: 'red'>, path='b.bed')",
        "Later(count=3)",
    ]


def test_assets_pickle() -> None:
    asset = Variants(path=Path("a.vcf"), companions=(R1(sample_id="s1"),), source_samples=("s1",))
    bare = Asset(cid="bafkreib6vj3os7l4lqqytaw5vju46iorcknttfiwfnlbizjcqn7xd5hrvy", facts={"a": {"b": [1]}})
    assert bare.id
    for dumps in (pickle.dumps, cloudpickle.dumps):
        assert pickle.loads(dumps(asset)) == asset
        assert pickle.loads(dumps(bare)) == bare
        assert pickle.loads(dumps(bare)).id == bare.id


def test_importing_assets_stays_light() -> None:
    heavy = "dask fsspec rich sqlite3 numpy pydantic asyncio concurrent.futures importlib.metadata distributed typer"
    code = f"import sys, stargazer.assets; print([m for m in {heavy.split()} if m in sys.modules])"
    assert python(code).strip() == b"[]"
