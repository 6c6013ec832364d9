"""Wrong usage is told in a sentence of our own, in Python and on the command line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import dask
import pytest

import stargazer as sg
from stargazer.catalog.arguments import read_arguments
from stargazer.cli.options import print_json
from stargazer.client.connect import check_guard
from stargazer.errors import (
    ArgumentError,
    ConfigError,
    DataError,
    InvalidField,
    NotFound,
    OutputError,
    StoreError,
    StoreReadOnly,
)

HUGE = 10**5000
ENDLESS: list[Any] = []
ENDLESS.append(ENDLESS)


def nested(depth: int) -> list[Any]:
    found: list[Any] = []
    for _ in range(depth):
        found = [found]
    return found


@sg.task
def odd(work: sg.Workdir, *, how: str) -> sg.Asset:
    out = work.directory("made")
    (out / "a").write_text("1")
    if how == "a NUL byte in a command":
        work.run(["echo", "a\0b"])
    if how == "a NUL byte in a name":
        work.file("a\0b")
    if how == "a NUL byte in a path":
        return sg.Asset(path=work.path / "a\0b")
    if how == "a huge fact":
        return sg.Asset(path=out, n=HUGE)
    target = {"a link to a file outside": "/etc/hostname", "a link to outside": "/etc", "a broken link": "nosuch"}
    (out / "deep").mkdir()
    (out / "deep" / "link").symlink_to(target.get(how, "../a"))
    return sg.Asset(path=out)


@pytest.mark.parametrize(
    ("how", "kind", "told"),
    [
        ("a NUL byte in a command", DataError, "an argument of 'echo' has a NUL byte in it"),
        ("a NUL byte in a name", DataError, "is no name of a file: it has a NUL byte in it"),
        ("a NUL byte in a path", OutputError, "but wrote no file"),
        ("a huge fact", InvalidField, "an integer of at most 4,000 digits"),
        ("a link to a file outside", OutputError, "made/deep/link is a link to /etc/hostname, outside of its work"),
        ("a link to outside", OutputError, "made/deep/link is a link to /etc, outside of its work directory"),
        ("a broken link", OutputError, "made/deep/link is a link to .*nosuch, which does not exist"),
    ],
)
@pytest.mark.usefixtures("store")
def test_what_a_body_must_not_do(how: str, kind: type[Exception], told: str) -> None:
    with pytest.raises(kind, match=told):
        odd(how=how).compute(scheduler="threads")


def test_links_within_a_directory_are_kept_as_what_they_lead_to(store: sg.Store) -> None:
    made = odd(how="a link within").compute(scheduler="threads")
    assert (made.fetch() / "deep" / "link").read_text() == "1"


@sg.task
def value(work: sg.Workdir, *, what: str):  # type: ignore[no-untyped-def]
    endless: list[Any] = []
    endless.append(endless)
    return {"huge": HUGE, "endless": endless, "deep": nested(5000)}[what]


@sg.task
def number(work: sg.Workdir) -> int:
    return HUGE


@pytest.mark.usefixtures("store")
@pytest.mark.parametrize("what", ["huge", "endless", "deep"])
def test_values_that_no_record_holds(what: str) -> None:
    with pytest.raises(OutputError, match=r"thousands of digits|holds itself, or is nested too deeply"):
        value(what=what).compute(scheduler="threads")
    with pytest.raises(OutputError, match="thousands of digits"):
        number().compute(scheduler="threads")


WRONG: dict[str, tuple[Callable[[], object], type[Exception], str]] = {
    "nothing to add": (lambda: sg.add(""), NotFound, "the path is empty; for the directory that you are in, write '.'"),
    "a NUL byte to add": (lambda: sg.add("a\0b"), NotFound, "no name of a file has a NUL byte in it"),
    "a huge fact": (lambda: sg.Asset(n=HUGE), InvalidField, "at most 4,000 digits, got something that cannot"),
    "an endless fact": (lambda: sg.Asset(n=ENDLESS), InvalidField, "a value that does not hold itself"),
    "a deep fact": (lambda: sg.Asset(n=nested(5000)), InvalidField, "nor is nested too deeply"),
    "a huge question": (lambda: sg.assemble(n=HUGE), InvalidField, "at most 4,000 digits"),
    "an endless question": (lambda: sg.assemble(n=ENDLESS), InvalidField, "a value that does not hold itself"),
    "an endless run": (lambda: sg.run(ENDLESS), ArgumentError, "a list of calls holds itself"),
    "an endless plan": (lambda: sg.plan(ENDLESS), ArgumentError, "a list of calls holds itself"),
    "one slash": (lambda: sg.Store("s3:/b/x"), StoreError, r"did you mean s3://b/x\? \(A directory: ./s3:/b/x\)"),
    "no slash": (lambda: sg.Store.open("gs:b/x"), StoreError, "did you mean gs://b/x"),
    "a NUL byte in a store": (lambda: sg.Store("/tmp/a\0b"), StoreError, "no path has a NUL byte in it"),
    "nobody listens": (
        lambda: sg.connect("tcp://127.0.0.1:1"),
        ConfigError,
        "no scheduler listens at tcp://127.0.0.1:1",
    ),
    "no port": (lambda: sg.connect("tcp://127.0.0.1:x"), ConfigError, "is no address of a scheduler"),
}


@pytest.mark.timeout(60)
@pytest.mark.usefixtures("store")
@pytest.mark.parametrize("what", WRONG)
def test_wrong_usage_fails_at_once(what: str) -> None:
    act, kind, told = WRONG[what]
    with pytest.raises(kind, match=told):
        act()


def test_a_directory_with_a_colon_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "f").write_text("x")
    with sg.Store("./s3:") as store:
        sg.add("f")
    assert (tmp_path / "s3:" / "store.json").exists()
    assert sg.Store.open("./s3:") == store


def test_an_unknown_cid_profile_names_those_that_there_are(tmp_path: Path) -> None:
    (tmp_path / "f").write_text("x")
    with (
        dask.config.set({"stargazer.cid-profile": "foo"}),
        pytest.raises(ConfigError, match=r"stargazer.cid-profile is 'foo' .*, but there are kubo-v1-256k-174, unixfs"),
    ):
        sg.Store(str(tmp_path / "new")).add(tmp_path / "f")


@pytest.mark.parametrize("command", ["ls", "pins", "trace bafkqaaa", "unpin x", "gc", "fsck"])
def test_a_store_that_is_named_must_be_there(stargazer: Callable[..., Any], command: str) -> None:
    told = stargazer(*command.split(), "--store", "nowhere/store", code=1).err
    assert "there is no store at file://" in told
    assert not Path("nowhere").exists()


def test_an_empty_path_is_no_directory(stargazer: Callable[..., Any]) -> None:
    assert "the path is empty" in stargazer("add", "", code=1).err
    assert "did you mean s3://b/x?" in stargazer("ls", "--store", "s3:/b/x", code=1).err


def test_numbers_that_are_none_are_null(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"a": [float("nan"), (float("inf"), 1.5)], "b": {"c": -float("inf")}})
    assert json.loads(capsys.readouterr().out, parse_constant=pytest.fail) == {
        "a": [None, [None, 1.5]],
        "b": {"c": None},
    }


def test_a_home_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "f").write_text("x")
    env = {name: text for name, text in os.environ.items() if not name.startswith(("DASK_STARGAZER", "XDG"))}
    env |= {"HOME": "/proc/nowhere", "TMPDIR": str(tmp_path)}
    program = "import stargazer as sg\nprint(sg.add('f').cid, len(sg.assemble()))"

    def run(**more: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", program]
        return subprocess.run(command, cwd=tmp_path, env=env | more, capture_output=True, text=True, check=False)

    assert f"{StoreReadOnly.__name__}: no store can be made at file:///proc/nowhere/.stargazer/store" in run().stderr
    done = run(DASK_STARGAZER__STORE="store")
    assert done.stdout.split()[1:] == ["1"], done.stderr
    assert f"caches are in {tmp_path}/stargazer-{os.getuid()} until the setting stargazer.cache" in done.stderr


GUARDED = {
    "connect()": False,
    "x = 1\nif x:\n    connect()": False,
    "def main():\n    connect()\nmain()": False,
    'if __name__ == "__main__":\n    x = 1\nconnect()': False,
    'if __name__ == "__main__":\n    connect()': True,
    'def main():\n    connect()\nif __name__ == "__main__":\n    main()': True,
    'import sys\nif __name__ != "__main__":\n    sys.exit()\nconnect()': True,
    'if __name__ != "__main__":\n    raise ImportError\nconnect()': True,
    'try:\n    if "__main__" == __name__:\n        connect()\nfinally:\n    pass': True,
    "import multiprocessing\nif multiprocessing.parent_process() is None:\n    connect()": True,
}


@pytest.mark.parametrize("script", GUARDED)
def test_a_script_without_a_main_guard_is_told_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    file = tmp_path / "script.py"
    file.write_text(script)
    main = type(sys)("__main__")
    main.__file__, main.connect = str(file), check_guard  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "__main__", main)
    code = compile(script, str(file), "exec")
    if GUARDED[script]:
        exec(code, vars(main))
        return
    with pytest.raises(ConfigError, match=r'script.py, line \d: .* below `if __name__ == "__main__":`') as refused:
        exec(code, vars(main))
    assert "\n" not in str(refused.value)


def test_a_script_without_a_main_guard_starts_nothing(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text("import stargazer as sg\nsg.connect('local', workers=2)\n")
    done = subprocess.run([sys.executable, "script.py"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) < 20
    assert done.stderr.count("processes on this machine run the script again as they start") == 1


def test_sessions_and_notebooks_need_no_main_guard() -> None:
    check_guard()
    program = "from stargazer.client.connect import check_guard\ncheck_guard()"
    subprocess.run([sys.executable, "-c", program], check=True)


def typed(*, price: Decimal, day: date, place: Path, share: Fraction | None = None) -> None: ...


def test_values_of_pythons_own_types_are_read_from_text(store: sg.Store) -> None:
    read = read_arguments(typed, ["price=1.50", "day=2026-01-02", "place=a/b", "share=1/3"], store)
    assert read == {"price": Decimal("1.50"), "day": date(2026, 1, 2), "place": Path("a/b"), "share": Fraction(1, 3)}
    for wrong in ("price=much", "day=today", "share=x/3"):
        with pytest.raises(ArgumentError, match=wrong):
            read_arguments(
                typed,
                [*(each for each in ("price=1", "day=2026-01-02", "place=a") if each[:4] != wrong[:4]), wrong],
                store,
            )
