"""Records say in which image all of it ran."""

from __future__ import annotations

import dask
import pytest

import stargazer as sg
from stargazer.errors import ConfigError
from stargazer.ledger import Record

IMAGE = "sha256:" + "ab" * 32


@sg.task
def greeting(work: sg.Workdir, *, name: str) -> sg.Asset:
    out = work.file("greeting.txt")
    out.write_text(f"hello {name}")
    return sg.Asset(path=out)


def record_of(asset: sg.Asset) -> Record:
    return sg.trace(asset).records[0]


def test_the_image_is_told_where_it_is_known_and_in_no_key(store: sg.Store) -> None:
    with dask.config.set({"stargazer.image": IMAGE}):
        inside = record_of(greeting(name="a").compute())
        other = record_of(greeting(name="b").compute())
    outside = record_of(greeting(name="c").compute())
    assert (inside.image, other.image, outside.image) == (IMAGE, IMAGE, "")
    assert IMAGE in inside._repr_html_()
    assert b'"image"' not in outside.to_bytes()
    assert record_of(greeting(name="a").compute()).id == inside.id
    with dask.config.set({"stargazer.image": "sha256:" + "cd" * 32}):
        assert greeting(name="a").known() is not None


def test_an_image_that_is_no_text_is_refused(store: sg.Store) -> None:
    with dask.config.set({"stargazer.image": 5}), pytest.raises(ConfigError, match=r"stargazer\.image is 5"):
        greeting(name="a").compute()
