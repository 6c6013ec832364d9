"""Values of cells come back as they were, and equal values have equal bytes."""

from __future__ import annotations

import collections
import math
import os
import subprocess
import sys
import types
from pathlib import Path
from typing import Any

import dask.config
import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import pandas as hp

import stargazer as sg
from stargazer.errors import NotKept
from stargazer.notebook.encoding import decode, encode
from stargazer.notebook.frames import same_frame
from stargazer.notebook.values import NOTEBOOK, Value

pytest.importorskip("pyarrow")
SHORT = bool(os.environ.get("STARGAZER_SHORT"))


def there_and_back(value: Any, folder: Path, scope: Any = None) -> tuple[str, Any]:
    path = folder / "value"
    encoded = encode(value, path, scope)
    return encoded.codec, decode(Value(path=path, **encoded._asdict()), path, scope)


PLAIN = [
    None, True, 0, -1, 2**53, -(2**70), 0.1, 1.0, -0.0, 1e300, "é\ud800", b"\x00\xff", 1 + 2j, ..., range(1, 9, 2),
    [1, [2.0, (3,)], {"a": {1: 2}}], {1: "int", "1": "text", (1, 2): "tuple"}, {3, 1, 2}, frozenset({"b", "a"}),
    slice(1, None), bytearray(b"x"), {"b": 1, "a": 2},
]  # fmt: skip


def stable(value: Any) -> str:
    """Names a case alike under every hash seed, as processes that share the tests must."""
    return f"{type(value).__name__}{sorted(value)}" if isinstance(value, (set, frozenset)) else repr(value)


@pytest.mark.parametrize("value", PLAIN, ids=stable)
def test_plain_data_are_json_and_exact(value: Any, tmp_path: Path) -> None:
    codec, back = there_and_back(value, tmp_path)
    assert codec == "json"
    assert back == value
    assert repr(back) == repr(value) or isinstance(value, (set, frozenset))
    assert type(back) is type(value)


@given(st.floats())
@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_every_float_is_exact(tmp_path: Path, value: float) -> None:
    _, back = there_and_back([value], tmp_path)
    assert (math.isnan(value) and math.isnan(back[0])) or back[0].hex() == value.hex()


def test_one_list_in_two_places_stays_one(tmp_path: Path) -> None:
    row = [0]
    codec, back = there_and_back([row, row], tmp_path)
    assert codec == "pickle"
    assert back[0] is back[1]


ARRAYS = [
    np.arange(6.0).reshape(2, 3), np.asfortranarray(np.eye(3)), np.array([], dtype="u1"), np.array(["a", "bb"]),
    np.array([(1, 2.0)], dtype=[("a", "i4"), ("b", "f8")]), np.array(["2020-01-01"], dtype="M8[ns]"), np.float32(0.1),
    np.int64(3), np.bool_(True), np.datetime64("2020-01-01"),
]  # fmt: skip


@pytest.mark.parametrize("value", ARRAYS, ids=repr)
def test_arrays_come_back(value: Any, tmp_path: Path) -> None:
    codec, back = there_and_back(value, tmp_path)
    assert codec == ("npy" if isinstance(value, np.ndarray) else "npy-scalar")
    assert type(back) is type(value)
    assert back.dtype == value.dtype
    assert np.array_equal(back, value)


def test_arrays_of_objects_are_pickled(tmp_path: Path) -> None:
    assert there_and_back(np.array([1, "a", None], dtype=object), tmp_path)[0] == "pickle"


@pytest.mark.parametrize("kind", ["csr_matrix", "csc_array", "coo_matrix"])
def test_sparse_matrices_come_back(kind: str, tmp_path: Path) -> None:
    from scipy import sparse

    value = getattr(sparse, kind)(np.eye(4, dtype="f4"))
    codec, back = there_and_back(value, tmp_path)
    assert codec == "sparse"
    assert type(back) is type(value)
    assert np.array_equal(back.toarray(), value.toarray())


def test_cells_are_a_zarr_tree_that_shares_its_parts(tmp_path: Path, store: sg.Store) -> None:
    anndata = pytest.importorskip("anndata")
    from scipy import sparse

    cells = anndata.AnnData(sparse.random(50, 20, 0.2, format="csr", dtype=np.float32, random_state=1))
    cells.obs["batch"] = pd.Categorical(["a", "b"] * 25)
    more = cells.copy()
    more.obs["cluster"] = np.arange(50)
    assets = []
    for number, each in enumerate((cells, cells.copy(), more)):
        path = tmp_path / f"{number}.zarr"
        assert encode(each, path).codec == "zarr"
        assets.append(store.save(Value(path=path, codec="zarr")))
    assert assets[0].cid == assets[1].cid != assets[2].cid
    one, two = ({cid for _, cid in store.walk(str(asset.cid)) if cid} for asset in (assets[0], assets[2]))
    assert len(one & two) > len(one) / 2
    back = decode(assets[2], assets[2].fetch())
    assert back.obs.equals(more.obs)
    assert (back.X != more.X).nnz == 0


FRAMES = {
    "plain": pd.DataFrame({"a": [1, 2], "b": [0.5, float("nan")], "c": ["x", "y"]}),
    "nullable": pd.DataFrame({"a": pd.array([1, None], "Int64"), "b": pd.array([True, None], "boolean")}),
    "categorical": pd.DataFrame({"a": pd.Categorical(["x", None], categories=["y", "x"], ordered=True)}),
    "zone": pd.DataFrame({"a": pd.to_datetime(["2020-01-01"]).tz_localize("Europe/Berlin")}),
    "multi": pd.DataFrame({"a": [1, 2]}, index=pd.MultiIndex.from_tuples([(1, "a"), (2, "b")], names=["n", None])),
    "columns": pd.DataFrame([[1, 2]], columns=pd.Index([3, 4], name="c")),
    "indexed": pd.DataFrame({"a": [1]}, index=pd.Index(["s"], name="sample")),
}
PICKLED = {
    "empty": pd.DataFrame(),
    "duplicates": pd.DataFrame([[1, 2]], columns=["a", "a"]),
    "objects": pd.DataFrame({"a": [1, "x", None]}),
    "gaps": pd.DataFrame({"a": ["x", float("nan"), None]}),
    "mixed names": pd.DataFrame([[1, 2]], columns=["a", 1]),
}


@pytest.mark.parametrize("name", [*FRAMES, *PICKLED])
def test_frames_come_back_the_same(name: str, tmp_path: Path) -> None:
    frame = {**FRAMES, **PICKLED}[name]
    codec, back = there_and_back(frame, tmp_path)
    assert codec == ("pickle" if name in PICKLED else "frame")
    pd.testing.assert_frame_equal(back, frame, check_freq=True)
    assert name in ("objects", "gaps") or same_frame(back, frame)


def test_series_come_back_with_their_names(tmp_path: Path) -> None:
    for name in (None, "a", 3):
        codec, back = there_and_back(pd.Series([1, 2], name=name), tmp_path)
        assert codec == "series"
        assert back.name == name
        assert type(back.name) is type(name)


COLUMNS = st.lists(
    st.sampled_from([
        hp.column("i", dtype=int), hp.column("f", dtype=float), hp.column("b", dtype=bool),
        hp.column("s", elements=st.text(max_size=3)),
        hp.column("o", elements=st.none() | st.text(max_size=2) | st.integers()),
        hp.column("t", dtype="M8[ns]"), hp.column("d", dtype="m8[ns]"), hp.column("u", dtype="u1"),
        hp.column("n", elements=st.none() | st.floats() | st.text(max_size=1), dtype=object),
    ]), min_size=1, max_size=4, unique_by=lambda column: column.name,
)  # fmt: skip
INDEXES = st.sampled_from([
    hp.range_indexes(max_size=5), hp.indexes(elements=st.text(max_size=2), max_size=5),
    hp.indexes(dtype=float, max_size=5), hp.indexes(dtype="M8[ns]", max_size=5),
])  # fmt: skip
CHANGES = [
    lambda frame: frame,
    lambda frame: frame.convert_dtypes(),
    lambda frame: frame.astype({frame.columns[0]: "category"}),
    lambda frame: frame.set_axis([frame.columns[0]] * frame.shape[1], axis=1),
    lambda frame: frame.set_index([*frame.columns]),
    lambda frame: frame.rename(columns=dict(zip(frame.columns, range(9), strict=False))),
    lambda frame: frame.iloc[::2],
    lambda frame: frame.assign(z=pd.Timestamp("2020", tz="UTC")),
    lambda frame: frame.T,
    lambda frame: frame.rename_axis("name"),
]


@given(data=st.data())
@settings(
    max_examples=60 if SHORT else 500,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@pytest.mark.slow
def test_generated_frames_come_back_the_same_or_go_by_pickle(tmp_path: Path, data: Any) -> None:
    frame = data.draw(hp.data_frames(data.draw(COLUMNS), index=data.draw(INDEXES)))
    frame = data.draw(st.sampled_from(CHANGES))(frame)
    codec, back = there_and_back(frame, tmp_path)
    assert codec in ("frame", "pickle")
    pd.testing.assert_frame_equal(back, frame, check_exact=True, check_freq=True, check_flags=True)
    if codec == "frame":
        assert back.map(type).equals(frame.map(type)) or frame.empty


def test_libraries_and_what_they_name_are_kept_by_name(tmp_path: Path) -> None:
    for value, codec in ((math, "module"), (np, "module"), (collections.Counter, "name"), (math.sqrt, "name")):
        found, back = there_and_back(value, tmp_path)
        assert found == codec
        assert back is value


class Notes:
    """A scope with the names of a notebook."""

    def __init__(self, source: str) -> None:
        module = types.ModuleType(NOTEBOOK)
        exec(source, module.__dict__)
        self.namespace = module.__dict__

    def code_of(self, name: str) -> str:
        return f"code of {name}"


def test_classes_of_the_notebook_are_kept_by_name(tmp_path: Path) -> None:
    source = "class Rec:\n    def __init__(self, v): self.v = v\n"
    one, other = Notes(source), Notes(source)
    value = [one.namespace["Rec"](3), {"s": {"b", "a", "c"}}]
    path = tmp_path / "v"
    encoded = encode(value, path, one)
    assert encoded.codec == "pickle"
    assert encoded.code
    back = decode(Value(path=path, **encoded._asdict()), path, other)
    assert isinstance(back[0], other.namespace["Rec"])
    assert back[1] == value[1]
    with pytest.raises(NotKept, match="no Rec any more"):
        decode(Value(path=path, **encoded._asdict()), path, Notes(""))


def test_what_has_no_bytes_is_refused_with_its_type(tmp_path: Path, store: sg.Store) -> None:
    import threading

    (tmp_path / "f").write_text("x")
    asset = sg.add(tmp_path / "f")

    for value, message in (
        (threading.Lock(), "lock"),
        ((i for i in range(3)), "generator"),
        (open(tmp_path / "f"), "TextIOWrapper"),  # noqa: SIM115
        ([asset], "handles are not pickled"),
        (lambda: 1, "function"),
    ):
        with pytest.raises(NotKept, match=message):
            encode(value, tmp_path / "value")


def test_too_large_a_value_is_refused_before_it_is_written(tmp_path: Path) -> None:
    huge = np.lib.stride_tricks.as_strided(np.zeros(1), (20 << 27,), (0,))
    with pytest.raises(NotKept, match=r"21,474,836,480 bytes, more than the 4,294,967,296"):
        encode(huge, tmp_path / "value")
    assert not (tmp_path / "value").exists()
    with dask.config.set({"stargazer.notebook": {"largest": "1 kB"}}), pytest.raises(NotKept, match="stays in memory"):
        encode(np.zeros(1000), tmp_path / "value")


@pytest.mark.parametrize("seeds", [2, pytest.param(3 if SHORT else 10, marks=pytest.mark.slow)], ids=["few", "many"])
def test_values_are_the_same_whatever_the_hash_seed(tmp_path: Path, seeds: int) -> None:
    code = (
        "import sys, hashlib, pathlib, collections\n"
        "from stargazer.notebook.encoding import encode\n"
        "words = set('the quick brown fox jumps over a lazy dog'.split())\n"
        "p = pathlib.Path(sys.argv[1])\n"
        "for v in (words, {'a': words}, collections.OrderedDict(s=words), [frozenset(words), words]):\n"
        "    encode(v, p); print(hashlib.sha256(p.read_bytes()).hexdigest())\n"
    )
    outs = {
        subprocess.run(
            [sys.executable, "-c", code, str(tmp_path / "v")],
            env={**os.environ, "PYTHONHASHSEED": str(seed)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in range(seeds)
    }
    assert len(outs) == 1


def test_a_type_may_have_a_codec_of_its_own(tmp_path: Path) -> None:
    class Spectrum:
        def __init__(self, peaks: list[float]) -> None:
            self.peaks = peaks

    @sg.codec(Spectrum)
    class SpectrumCodec:
        @staticmethod
        def write(value: Spectrum, path: Path) -> None:
            path.write_text(" ".join(map(str, value.peaks)))

        @staticmethod
        def read(path: Path) -> Spectrum:
            return Spectrum([float(peak) for peak in path.read_text().split()])

    codec, back = there_and_back(Spectrum([1.5, 2.0]), tmp_path)
    assert codec.startswith("own:")
    assert back.peaks == [1.5, 2.0]


@pytest.mark.parametrize("kept", [{"k": {"a": [1, 2], "t": (0.5, 1.5)}, "colors": ["#a", "#b"]}, {"mixed": [1, "a"]}])
def test_lists_beside_cells_stay_lists(tmp_path: Path, kept: dict[str, object]) -> None:
    anndata, np = pytest.importorskip("anndata"), pytest.importorskip("numpy")
    cells = anndata.AnnData(np.ones((2, 3), "float32"), uns=kept)
    encoded = encode(cells, tmp_path / "value")
    back = decode(Value(path=tmp_path / "value", **encoded._asdict()), tmp_path / "value")
    assert back.uns == kept
    assert [type(each) for each in back.uns.values()] == [type(each) for each in kept.values()]
