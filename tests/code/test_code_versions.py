"""Digests of code are equal on every Python, and never change unnoticed: each change makes all results stale."""

from __future__ import annotations

import warnings

import digests

EXPECTED = {
    "0 plain": "0d81904f0cb5e939",
    "1 strings": "064d03e8684fcfbc",
    "2 control": "1939b159b1cca8fc",
    "3 matching": "d712c9ed74d5f454",
    "4 comprehensions": "a1ce01e28ff7e12f",
    "5 libraries": "37f8d4732f1f3dc4",
    "6 imports_inside": "c007c03357179667",
    "7 classes": "f2996d2c47ce530d",
    "8 recursion": "686387c3e968f15b",
    "9 generators": "5e15112542c4b9af",
    "10 asynchronous": "097875d6e46e8f2f",
    "11 defaults": "9ccfbffa0c1968c2",
    "12 counter.<locals>.step": "c89314648f7ca7c7",
    "13 <lambda>": "cb37538de329de3c",
    "14 add": "d5ff80e0300bc520",
}
"""First digits of the digest of each body in `samples`. If these change, raise the number in `identity.FORMAT`."""


def test_digests_are_what_they_have_always_been() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = {name: digest[:16] for name, digest in digests.sample_digests().items()}
    assert found == EXPECTED
