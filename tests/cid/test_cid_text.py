from __future__ import annotations

import doctest
import hashlib
import pickle
from types import ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st

import stargazer.cid
import stargazer.cid.unixfs
from stargazer.cid import DAG_PB, RAW, UNIXFS_2025, Parsed, format_cid, parse, profile
from stargazer.errors import CIDError

HELLO = "bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e"
EMPTY_DIRECTORY_V0 = "QmUNLLsPACCz1vLxQVkXqqLX5R1X345qqfHbsf67hvA3Nn"
EMPTY_DIRECTORY = "bafybeiczsscdsbs7ffqz55asqdf3smv6klcw3gofszvwlyarci47bgf354"


def test_a_raw_cid_holds_the_sha256_of_its_bytes() -> None:
    assert parse(HELLO) == Parsed(1, RAW, hashlib.sha256(b"hello world").digest())


def test_version_0_and_version_1_of_one_node_agree() -> None:
    old, new = parse(EMPTY_DIRECTORY_V0), parse(EMPTY_DIRECTORY)
    assert (old.version, new.version) == (0, 1)
    assert (old.codec, old.digest) == (new.codec, new.digest)
    assert old.text == new.text == EMPTY_DIRECTORY


@given(st.sampled_from([RAW, DAG_PB]), st.binary(min_size=32, max_size=32))
def test_text_and_back(codec: str, digest: bytes) -> None:
    text = format_cid(codec, digest)
    assert len(text) == 59
    assert text.startswith("bafkrei" if codec == RAW else "bafybei")
    assert parse(text) == Parsed(1, codec, digest)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "no CID"),
        ("b", "too short"),
        ("hello", "begins with"),
        ("foo.txt", "begins with"),
        (HELLO[:-1], "cut off|whole byte"),
        (HELLO[:-8], "32"),
        (HELLO[:4], "cut off"),
        (HELLO + "a", "whole byte|32"),
        (HELLO[:-1] + "f", "whole byte"),
        (HELLO[:20] + "0" + HELLO[21:], "'0' is no character of base32"),
        (HELLO[:20] + "_" + HELLO[21:], "'_' is no character of base32"),
        (HELLO + "\n", "no character of base32"),
        (" " + HELLO, "begins with"),
        (HELLO.upper()[:-1] + "a", "upper-case|base32|begins with"),
        ("ipfs://" + HELLO, "path or URL"),
        ("/ipfs/" + HELLO + "/a", "path or URL"),
        ("zb2rhe5P4gXftAwvA4eXQ5HJwsER2owDyS9sKaQRRVQPn93b0", "base58"),
        ("k51qzi5uqu5dlvj2baxnqndepeb86cbk3ng7n3i46uzyxzyqj2xjonzllnv0v8", "libp2p-key|identity|itself"),
        ("mAVUSICwmtGto/8aP+ZtFPB0wQTQTQi1wZIO/oPmKXohiZueu", "base64"),
        ("QmUNLLsPACCz1vLxQVkXqqLX5R1X345qqfHbsf67hvA3N0", "base58"),
        ("QmUNLLsPACCz1vLxQVkXqqLX5R1X345qqfHbsf67hvA3N", "begins with"),
        ("bafyreigbtj4x7ip5legnfznufuopl4sg4knzc2cof6duas4b3q2fy6swua", "dag-cbor"),
        ("bafkr4iae4c5tt4yldi76xcpvg3etxykqkvec352im5fqbutolj2xo5yc5e", "blake3"),
        ("bafkqabtimvwgy3y", "itself|whole byte"),
    ],
)
def test_what_is_not_read_is_refused_with_the_reason(text: str, reason: str) -> None:
    with pytest.raises(CIDError, match=reason):
        parse(text)


def test_an_unknown_profile_lists_those_there_are() -> None:
    assert profile("unixfs-v1-2025") is UNIXFS_2025
    with pytest.raises(CIDError, match="kubo-v1-256k-174, unixfs-v1-2025"):
        profile("kubo")


def test_values_compare_and_pickle_by_their_fields_and_stay_as_they_are() -> None:
    again = pickle.loads(pickle.dumps(UNIXFS_2025))
    assert again == UNIXFS_2025
    assert {UNIXFS_2025: 1}[again] == 1
    with pytest.raises(AttributeError, match="cannot be set"):
        again.chunk = 1


@pytest.mark.parametrize("module", [stargazer.cid, stargazer.cid.unixfs])
def test_the_examples_in_the_documentation_hold(module: ModuleType) -> None:
    failed, tried = doctest.testmod(module)
    assert tried
    assert not failed
