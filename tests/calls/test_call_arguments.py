"""Wrong definitions and wrong arguments: told at once, with what is wanted and what to do."""

from __future__ import annotations

import enum
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Protocol

import dask
import numpy as np
import pytest

import stargazer as sg
from stargazer.errors import ArgumentError, DefinitionError, OutputError
from stargazer.store import Store

dask.config.set(scheduler="threads")


class Mode(enum.Enum):
    FAST = "fast"


@dataclass(frozen=True)
class Options:
    depth: int = 1
    names: tuple[str, ...] = ()


@sg.task
def reads(work: sg.Workdir) -> sg.R1:
    return sg.R1(path=work.file("x"))


@sg.task
def index(work: sg.Workdir) -> tuple[sg.AlignerIndex, int]:
    return sg.AlignerIndex(path=work.file("x")), 1


@sg.task
def many(work: sg.Workdir) -> list[sg.R1]:
    return []


@sg.task
def named(work: sg.Workdir) -> dict[str, sg.R1]:
    return {}


@sg.task
def size(work: sg.Workdir) -> int:
    return 1


@sg.task
def sizes(work: sg.Workdir) -> list[int]:
    return [1]


@sg.task
def unions(work: sg.Workdir) -> list[sg.R1 | sg.R2]:
    return []


@sg.task
def use(
    work: sg.Workdir,
    r1: sg.R1,
    r2: sg.R2 | None = None,
    more: list[sg.R1] | None = None,
    table: dict[str, sg.R1] | None = None,
    *,
    n: int = 1,
    x: float = 1.0,
    text: str = "",
    flag: bool = False,
    mode: Mode = Mode.FAST,
    options: Options = Options(),
    kind: Literal["a", 1] = "a",
    names: Sequence[str] = (),
    pair: tuple[int, str] = (1, "a"),
    mapping: Mapping[str, float] | None = None,
    either: int | str | None = None,
    noted: Annotated[int, "a note"] = 1,
    items: list = [],  # noqa: B006
    anything: Any = None,
) -> str:
    return repr([n, x, names, mapping, either, anything])


@pytest.fixture
def r1(store: Store, tmp_path: Path) -> sg.R1:
    (tmp_path / "r1.fq").write_text("@r\nA\n+\nI\n")
    stored: sg.R1 = store.add(tmp_path / "r1.fq", sg.R1(sample_id="s1"))
    return stored


WRONG: dict[str, tuple[Callable[[Any], Any], str]] = {
    "nothing": (lambda r: use(), "use needs r1 (R1)"),
    "too many": (lambda r: use(r, None, None, None, 5), "takes 4 positional arguments (r1, r2, more, table, n, x"),
    "twice": (lambda r: use(r, r1=r), "r1 is given twice"),
    "unknown, where another is missing": (lambda r: use(m=1), "use has no parameter 'm'; it has r1, r2, more"),
    "unknown": (lambda r: use(r, m=1), "use has no parameter 'm'; it has r1, r2, more"),
    "none": (lambda r: use(None), "r1 must be R1, not NoneType"),
    "path": (lambda r: use("r1.fq"), "not str; add a file first: sg.add(path, sg.R1(…))"),
    "pathlib": (lambda r: use(Path("r1.fq")), "not PosixPath; add a file first"),
    "task": (lambda r: use(reads), "not Task; call the task, and pass what that gives"),
    "delayed": (lambda r: use(dask.delayed(1)), "compute it first, and pass what that gives"),
    "draft": (lambda r: use(sg.R1(path="x.fq")), "which is not in the store yet; sg.add it first"),
    "other type": (lambda r: use(r, r), "r2 must be R2, but is R1("),
    "call of another type": (lambda r: use(r, reads()), "r2 must be R2, but reads makes R1"),
    "call of a tuple": (lambda r: use(index()), "r1 must be R1, but index returns a tuple; choose one of its results"),
    "call of a list": (lambda r: use(many()), "but many returns a list; choose one of its results, as in call[0]"),
    "call of a plain value": (lambda r: use(size()), "r1 must be R1, but size returns a plain value"),
    "call of plain values": (
        lambda r: use(r, more=sizes()),
        "more must be list[R1] | None, but sizes returns a plain value",
    ),
    "one for a list": (lambda r: use(r, more=r), "more must be list[R1] | None, not R1"),
    "call of one for a list": (
        lambda r: use(r, more=reads()),
        "more must be list[R1] | None, but reads returns an asset",
    ),
    "tuple for a list": (lambda r: use(r, more=index()), "returns a tuple; pass its results, as in [*call]"),
    "wrong in a list": (lambda r: use(r, more=[r, 5]), "more[1] must be R1, not int"),
    "call of a tuple in a list": (lambda r: use(r, more=[index()]), "more[0] must be R1, but index returns a tuple"),
    "list for a dict": (lambda r: use(r, table=[r]), "table must be dict[str, R1] | None, not list"),
    "wrong in a dict": (lambda r: use(r, table={"a": 5}), "table['a'] must be R1, not int"),
    "number keys": (lambda r: use(r, table={1: r}), "table must be dict[str, R1] | None, not dict"),
    "text for int": (lambda r: use(r, n="1"), "n must be int, but is '1'"),
    "bool for int": (lambda r: use(r, n=True), "n must be int, but is True"),
    "float for int": (lambda r: use(r, n=1.0), "n must be int, but is 1.0"),
    "bool for float": (lambda r: use(r, x=True), "x must be float, but is True"),
    "int for str": (lambda r: use(r, text=1), "text must be str, but is 1"),
    "int for bool": (lambda r: use(r, flag=1), "flag must be bool, but is 1"),
    "value of an enum": (lambda r: use(r, mode="fast"), "mode must be Mode, but is 'fast'"),
    "dict for a dataclass": (lambda r: use(r, options={"depth": 1}), "options must be Options, but is {'depth': 1}"),
    "not a literal": (lambda r: use(r, kind="b"), "but is 'b' (one of 'a', 1 expected)"),
    "true for a literal 1": (lambda r: use(r, kind=True), "one of 'a', 1 expected"),
    "wrong in a sequence": (lambda r: use(r, names=["a", 1]), "but is ['a', 1] (str expected)"),
    "text for a sequence": (lambda r: use(r, names="abc"), "names must be"),
    "short tuple": (lambda r: use(r, pair=(1,)), "pair must be tuple[int, str], but is (1,)"),
    "wrong in a mapping": (lambda r: use(r, mapping={"a": "b"}), "mapping must be"),
    "no member of a union": (lambda r: use(r, either=1.5), "either must be int | str | None, but is 1.5"),
    "annotated": (lambda r: use(r, noted="1"), "noted must be int, but is '1'"),
    "no list": (lambda r: use(r, items=(1,)), "items must be list, but is (1,)"),
    "an object": (lambda r: use(r, anything=object()), "object is no plain value"),
    "a generator": (lambda r: use(r, anything=(x for x in "ab")), "generator is no plain value"),
    "a path as text": (lambda r: use(r, text=Path("x")), "text must be str, but is PosixPath('x'); pass files"),
    "an asset as a value": (lambda r: use(r, anything=r), "assets are positional"),
    "a call of files as a value": (lambda r: use(r, n=reads()), "makes files; pass it by position"),
    "an object in a dataclass": (lambda r: use(r, options=Options(depth=object())), "(Options.depth: int expected)"),
}


@pytest.mark.parametrize("what", WRONG)
def test_a_wrong_argument_is_refused_when_the_call_is_made(r1: sg.R1, what: str) -> None:
    make, message = WRONG[what]
    with pytest.raises(ArgumentError, match=re.escape(message)):
        make(r1)


def test_arguments_of_every_kind_are_taken(r1: sg.R1) -> None:
    call = use(
        r1,
        more=[r1, reads()],
        table={"a": reads()},
        n=np.int64(3),
        x=2,
        names=["a"],
        mapping={"a": np.float32(1)},
        either=np.str_("a"),
        anything=[np.float64(0.5), {"k": None}],
    )
    assert call.parameters["n"] == 3
    assert type(call.parameters["n"]) is int
    assert type(call.parameters["x"]) is float
    assert [type(value) for value in (call.parameters["either"], call.parameters["anything"][0])] == [str, float]
    assert use(r1, more=many()) != use(r1)
    assert use(r1, more=unions()).compute is not None
    assert use(r1, n=size()).parameters["n"] == size()
    assert use(r1, items=sizes()).parameters["items"] == sizes()


def test_equal_values_are_equal_calls_and_others_are_not(r1: sg.R1) -> None:
    same = [
        use(r1),
        use(r1=r1),
        use(r1, None),
        use(r1, n=1),
        use(r1, x=1),
        use(r1, options=Options()),
        use(r1, names=[]),
    ]
    assert len({call.plan_key for call in same}) == 1
    values: list[Any] = [
        1,
        True,
        1.0,
        "1",
        None,
        [1],
        (1,),
        {"a": 1},
        {"b": 1},
        Mode.FAST,
        "fast",
        Options(),
        float("nan"),
    ]
    values += [0.0, -0.0, float("inf"), [], (), {}, [[]], "", Options(depth=2), {"a": 1, "b": 2}, {"b": 2, "a": 1}]
    assert len({use(r1, anything=value).plan_key for value in values}) == len(values)


def test_a_result_that_does_not_fit_the_next_call_is_told_where_it_is_taken(store: Store) -> None:
    @sg.task
    def anything(work: sg.Workdir):  # type: ignore[no-untyped-def]
        return "text"

    with pytest.raises(ArgumentError, match="use: r1 must be R1, not str"):
        use(anything()).compute()
    with pytest.raises(ArgumentError, match="plus: n must be int, but is 'text'"):
        plus(n=anything()).compute()


@sg.task
def plus(work: sg.Workdir, *, n: int) -> int:
    return n


def _draft(work: sg.Workdir, kind: type[sg.Asset] = sg.Asset) -> sg.Asset:
    work.file("x").write_text("x")
    return kind(path=work.file("x"))


def _asset(work: sg.Workdir) -> sg.R1:
    return _draft(work)  # type: ignore[return-value]


def _forgotten(work: sg.Workdir) -> sg.Asset:  # type: ignore[empty-body]
    _draft(work)


def _short(work: sg.Workdir) -> tuple[sg.Asset, sg.Asset]:
    return (_draft(work),)  # type: ignore[return-value]


def _typed(work: sg.Workdir) -> tuple[sg.Asset, sg.R1]:
    return _draft(work), _draft(work)  # type: ignore[return-value]


def _no_list(work: sg.Workdir) -> list[sg.Asset]:
    return _draft(work)  # type: ignore[return-value]


def _text(work: sg.Workdir) -> int:
    return "1"  # type: ignore[return-value]


def _object(work: sg.Workdir):  # type: ignore[no-untyped-def]
    return {"a": [object()]}


def _keys(work: sg.Workdir):  # type: ignore[no-untyped-def]
    return {1: 2}


def _huge(work: sg.Workdir) -> str:
    return "x" * 2_000_000


RESULTS = {
    _asset: "_asset: its result is declared to be R1, but is Asset(",
    _forgotten: "its result is declared to be Asset, but is None; is a return missing?",
    _short: "declared to return 2 results, but returned 1",
    _typed: "[1] is declared to be R1, but is Asset(",
    _no_list: "declared to return a list, but returned Asset",
    _text: "_text returned '1', but is declared to return something else: int",
    _object: "a task returned object; it may return assets",
    _keys: "a task returned dict; it may return assets",
    _huge: "plain values of 2,000,013 characters",
}


@pytest.mark.parametrize("body", RESULTS, ids=lambda body: body.__name__)
def test_a_result_other_than_declared_is_an_error_and_nothing_is_stored(store: Store, body: Callable[..., Any]) -> None:
    with pytest.raises(OutputError, match=re.escape(RESULTS[body])):
        sg.task(body)().compute()
    blobs = [path.read_bytes() for path in Path(store.url.removeprefix("file://")).glob("blobs/*/*")]
    diff = b"diff --git"  # a changed checkout is kept so
    assert [blob for blob in blobs if not blob.startswith(diff)] == []
    assert store.find() == []


def test_results_become_what_is_declared(store: Store) -> None:
    @sg.task
    def scalar(work: sg.Workdir) -> int:
        return np.int64(3)  # type: ignore[return-value]

    @sg.task
    def floats(work: sg.Workdir) -> list[float]:
        return [1, np.float32(0.5), float("nan")]  # type: ignore[list-item]

    for _ in "fresh", "known":
        assert type(scalar().compute()) is int
        one, half, nan = floats().compute()
        assert (type(one), half, str(nan)) == (float, 0.5, "nan")


def _bad_first(*, x: int) -> None: ...
def _bad_none() -> None: ...
def _bad_args(work: sg.Workdir, *xs: sg.Asset) -> None: ...
def _bad_kwargs(work: sg.Workdir, **xs: int) -> None: ...
async def _bad_async(work: sg.Workdir) -> None: ...
def _bad_generator(work: sg.Workdir) -> Any:
    yield 1


@pytest.mark.parametrize("body", [_bad_first, _bad_none, _bad_args, _bad_kwargs, _bad_async, _bad_generator, len, 5])
def test_a_wrong_form_is_told_when_the_task_is_defined(body: Any) -> None:
    with pytest.raises(DefinitionError):
        sg.task(body)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"cpus": 0}, "cpus=0 must be a whole number"),
        ({"cpus": True}, "cpus=True"),
        ({"memory": "lots"}, "memory='lots' is no size"),
        ({"memory": -1}, "memory=-1 is no size"),
        ({"memory": "GB"}, "memory='GB' is no size"),
        ({"tools": "bwa"}, r"must be a list: tools=\['bwa'\]"),
        ({"uses": "numpy"}, "must be a list"),
        ({"stage": "move"}, "must be 'link' or 'copy'"),
    ],
)
def test_a_wrong_option_is_told_when_the_task_is_defined(options: dict[str, Any], message: str) -> None:
    with pytest.raises(DefinitionError, match=message):
        sg.task(**options)(lambda work: 1)


def _plain_first(tag: str) -> int:
    return len(tag)


def _asset_first(reads: sg.Asset, work: sg.Workdir) -> int:
    return reads.size


@pytest.mark.parametrize(
    ("body", "shown"), [(_plain_first, "tag is annotated str"), (_asset_first, "reads is annotated Asset")]
)
def test_a_first_parameter_that_is_no_work_directory_is_told_at_the_first_call(body: Any, shown: str) -> None:
    with pytest.raises(DefinitionError, match=f"the first parameter is the work directory, but {shown}"):
        sg.task(body)()


class _HasPath(Protocol):
    path: Path


@pytest.mark.parametrize("hint", [sg.Workdir | None, _HasPath, Any, object])
def test_a_first_parameter_may_be_written_more_widely(hint: Any, store: Store) -> None:
    def body(work: Any) -> int:
        return len(work.path.name[:1])

    body.__annotations__["work"] = hint
    assert sg.task(body)().compute() == 1


def test_a_positional_parameter_that_is_no_asset_is_told_at_the_first_call(store: Store) -> None:
    def body(work: sg.Workdir, n: int) -> int:
        return n

    with pytest.raises(DefinitionError, match=r"make plain values keyword-only: \(…, \*, n: …\)"):
        sg.task(body)(1)
    with pytest.raises(DefinitionError, match="import what they name outside of"):
        sg.task(_unresolved)()


def _unresolved(work: sg.Workdir, x: Nowhere) -> None: ...  # type: ignore[name-defined]  # noqa: F821


def test_attributes_of_a_body_do_not_replace_those_of_its_task() -> None:
    def body(work: sg.Workdir) -> int:
        return 1

    body.cpus = 99  # type: ignore[attr-defined]
    body.name = "x"  # type: ignore[attr-defined]
    task = sg.task(body)
    assert (task.needs.cpus, task.name, task.__doc__) == (1, "body", None)
