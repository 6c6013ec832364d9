"""Digests of code are equal on every Python, and never change unnoticed: each change makes all results stale."""

from __future__ import annotations

import warnings

import digests

EXPECTED = {
    "0 plain": "cb2aa604acee7f2d",
    "1 strings": "f6845d4d6d46fb4f",
    "2 control": "1172f4b765390bb7",
    "3 matching": "4afc9a12ec1ee40a",
    "4 comprehensions": "55cd19f9b6c0abf2",
    "5 libraries": "257288e26e9caf33",
    "6 imports_inside": "03d6836f37ad6c95",
    "7 classes": "236ee0d4debb2dca",
    "8 recursion": "4c8d807cf12143a1",
    "9 generators": "441b069cc65af8b5",
    "10 asynchronous": "a1ebc4835b109896",
    "11 defaults": "7d4f2d22e04062b2",
    "12 counter.<locals>.step": "fc97c991edad790f",
    "13 <lambda>": "638836cefcf8134a",
    "14 add": "1938b5fce9d868c2",
}
"""First digits of the digest of each body in `samples`. If these change, raise the number in `identity.FORMAT`."""


def test_digests_are_what_they_have_always_been() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        counts = r"changes of these go unnoticed by task (recursion|step), .*: count, which code adds to"
        warnings.filterwarnings("ignore", counts)
        found = {name: digest[:16] for name, digest in digests.sample_digests().items()}
    assert found == EXPECTED
