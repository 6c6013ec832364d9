"""Addresses of stores in object stores, with the options that they hold."""

from __future__ import annotations

from typing import Any

import pytest

from stargazer.errors import ConfigError, StoreError
from stargazer.remotes import read_remote
from stargazer.store.backends.addresses import read_address, with_options

READ: list[tuple[str, str, dict[str, Any]]] = [
    ("s3://lab", "s3://lab", {}),
    ("s3://lab/x/", "s3://lab/x", {}),
    ("s3://lab/x?profile=me", "s3://lab/x?profile=me", {"profile": "me"}),
    ("s3://lab/a%20b+c?profile=a%20b", "s3://lab/a%20b+c?profile=a%20b", {"profile": "a b"}),
    (
        "s3://lab/x/?profile=me&endpoint=https://minio.lab:9000",
        "s3://lab/x?endpoint=https://minio.lab:9000&profile=me",
        {"endpoint_url": "https://minio.lab:9000", "profile": "me"},
    ),
    (
        "s3://lab/x?requester-pays=true&anonymous=false&region=eu-west-1",
        "s3://lab/x?anonymous=false&region=eu-west-1&requester-pays=true",
        {"requester_pays": True, "client_kwargs": {"region_name": "eu-west-1"}},
    ),
    ("s3://lab/x?anonymous=true", "s3://lab/x?anonymous=true", {"anon": True}),
    ("gs://lab/x?anonymous=true&project=p", "gs://lab/x?anonymous=true&project=p", {"token": "anon", "project": "p"}),
    ("gs://lab/x?endpoint=http://127.0.0.1:4443", "gs://lab/x?endpoint=http://127.0.0.1:4443",
     {"endpoint_url": "http://127.0.0.1:4443"}),
    ("abfs://lab/x?account=me", "abfs://lab/x?account=me", {"account_name": "me"}),
    ("abfs://lab@me.dfs.core.windows.net/x/", "abfs://lab@me.dfs.core.windows.net/x", {}),
    ("az://lab/x?endpoint=https://blobs.lab/me/", "az://lab/x?endpoint=https://blobs.lab/me/",
     {"account_host": "blobs.lab/me"}),
    ("memory://x?y=1", "memory://x?y=1", {}),
]  # fmt: skip

WRONG = {
    "s3://lab/x?": None,
    "s3://lab/x?profil=me": "no option 'profil'",
    "s3://lab/x?profile=": "profile is empty",
    "s3://lab/x?profile=a&profile=b": "twice",
    "s3://lab/x?requester-pays=yes": "must be true or false",
    "s3://lab/x?endpoint=minio.lab": "http:// or https://",
    "s3://lab/x?endpoint=https://u:p@minio.lab": "belong in the environment",
    "s3://lab/x?endpoint=https://minio.lab:port": "no URL",
    "s3://lab/x?endpoint=https://minio.lab/?a=1": "http:// or https://",
    "s3://lab/x?secret=abc": "no option 'secret'",
    "s3://key:secret@lab/x": "belong in the environment",
    "gs://lab/x?profile=me": "no option 'profile'",
    "abfs://lab/x?requester-pays=true": "no option 'requester-pays'",
    "abfs://lab/x?endpoint=http://127.0.0.1:10000": "https://",
}


@pytest.mark.parametrize(("url", "whole", "options"), READ)
def test_an_address_is_spelt_in_one_way_and_its_options_are_those_of_the_file_system(
    url: str, whole: str, options: dict[str, Any]
) -> None:
    address = read_address(url)
    assert (address.url, address.options) == (whole, options)
    assert read_address(whole) == address


@pytest.mark.parametrize(("url", "told"), WRONG.items())
def test_what_is_wrong_in_an_address_is_said(url: str, told: str | None) -> None:
    if told is None:
        assert read_address(url).url == "s3://lab/x"
        return
    with pytest.raises(StoreError, match=told):
        read_address(url)


def test_all_that_is_wrong_is_said_at_once() -> None:
    with pytest.raises(StoreError, match=r"'a'.*requester-pays is 'x'.*'b'"):
        read_address("s3://lab/x?a=1&requester-pays=x&b=2")


def test_options_beside_a_remote_become_part_of_its_address() -> None:
    entry = {"store": "s3://lab/x", "name": "lab", "endpoint": "https://minio.lab:9000", "requester-pays": True}
    remote = read_remote(entry)
    assert remote.name == "lab"
    assert remote.url == "s3://lab/x?endpoint=https://minio.lab:9000&requester-pays=true"
    assert with_options("s3://lab/x?a=1", {"b": "c d"}) == "s3://lab/x?a=1&b=c%20d"
    assert read_remote({"store": "abfs://lab@me.dfs.core.windows.net/x"}).url == "abfs://lab@me.dfs.core.windows.net/x"


@pytest.mark.parametrize(
    ("entry", "told"),
    [
        ({"store": "/data/lab", "profile": "me"}, "mean nothing"),
        ({"store": "s3://lab", "requester-pays": "yes"}, "wrong type"),
        ({"store": "s3://lab", "account": "me"}, "no option 'account'"),
        ({"store": "gs://lab", "profile": "me"}, "no option 'profile'"),
        ({"store": "s3://lab", "endpoint": "minio"}, "http or https"),
        ({"store": "s3://key:secret@lab"}, "belong in the environment"),
        ({"gateway": "https://ipfs.io", "profile": "me"}, "no 'profile'"),
    ],
)
def test_options_of_remotes_that_make_no_sense_are_refused(entry: dict[str, object], told: str) -> None:
    with pytest.raises(ConfigError, match=told) as caught:
        read_remote(entry)
    assert "secret@" not in str(caught.value)
