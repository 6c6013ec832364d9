"""Digests of code are equal on every Python, and never change unnoticed: each change makes all results stale."""

from __future__ import annotations

import warnings

import digests

EXPECTED = {
    "0 plain": "99b82cd459fbe8e8",
    "1 strings": "b5aa4eed5932489f",
    "2 control": "33dfbdd7e73fff72",
    "3 matching": "be717b7806c1ecab",
    "4 comprehensions": "94d6edaa372b10b0",
    "5 libraries": "0200cc3e313f244b",
    "6 imports_inside": "16b23df3c9f206f7",
    "7 classes": "81a2719488b247a7",
    "8 recursion": "00f3d0b9931e008f",
    "9 generators": "e7987db8d5dc2694",
    "10 asynchronous": "1530f0e7b076082a",
    "11 defaults": "11a2f7ad7f516968",
    "12 counter.<locals>.step": "6310b5e18f904af7",
    "13 <lambda>": "05a3657cbdb51118",
    "14 add": "1686128d169da3dd",
}
"""First digits of the digest of each body in `samples`. If these change, raise the number in `identity.FORMAT`."""


def test_digests_are_what_they_have_always_been() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = {name: digest[:16] for name, digest in digests.sample_digests().items()}
    assert found == EXPECTED
