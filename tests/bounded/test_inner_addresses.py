"""Addresses that lead into networks of one's own are none of the public ones, however they are written."""

from __future__ import annotations

import pytest

from stargazer.hosts import is_public

INNER = (
    "127.0.0.1", "10.1.2.3", "192.168.0.1", "169.254.169.254", "0.0.0.0", "224.0.0.1", "::1", "::", "fe80::1%eth0",
    "fc00::1", "::ffff:127.0.0.1", "::127.0.0.1", "64:ff9b::7f00:1", "64:ff9b::10.0.0.1", "2002:7f00:1::1",
    "2002:0a00:0001::", "fec0::1", "ff02::1",
)  # fmt: skip
PUBLIC = ("8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::8.8.8.8", "2002:0808:0808::1")


@pytest.mark.parametrize("address", INNER)
def test_an_inner_address_is_known(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", PUBLIC)
def test_a_public_address_is_known(address: str) -> None:
    assert is_public(address)
