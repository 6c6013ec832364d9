"""Files that libraries in C open, of which no audit event tells: the kernel does, wherever a body got the path from."""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path

import dask
import h5py
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from opening_tasks import (
    begun_by_a_prefix,
    below,
    beside,
    by_a_shell,
    by_a_tool,
    counts,
    from_the_environment,
    globbed,
    imported_within,
    in_a_new_process,
    in_the_current_folder,
    listed,
    worked_out,
    writes,
)

import stargazer as sg
from stargazer.errors import UndeclaredInput
from stargazer.execute import opens
from stargazer.execute.findings import HiddenInput, _current_folder
from stargazer.execute.opens import Opens, folders_in
from stargazer.store import Store

pytestmark = [
    pytest.mark.filterwarnings("ignore::stargazer.execute.findings.HiddenInput"),
    pytest.mark.skipif(sys.platform != "linux", reason="inotify"),
]

LIBC = ctypes.CDLL(None)


def fill(folder: Path, number: int) -> None:
    """The same number in a file of each kind."""
    (folder / "deep").mkdir(exist_ok=True)
    with h5py.File(folder / "s1.h5", "w") as file:
        file["x"] = number
    pq.write_table(pa.table({"x": [number]}), folder / "deep" / "s1.parquet")
    (folder / "s1.h5.txt").write_text(str(number))
    head = "##fileformat=VCFv4.2\n##contig=<ID=1,length=1000>\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"
    (folder / "s1.vcf").write_text(f"{head}1\t{number}\t.\tA\tT\t.\t.\t.\n")


TASKS = [
    globbed,
    listed,
    worked_out,
    below,
    from_the_environment,
    in_the_current_folder,
    imported_within,
    in_a_new_process,
    by_a_tool,
    by_a_shell,
]


@pytest.fixture
def folder(tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch) -> Path:
    found = tmp_path / "numbers"
    found.mkdir()
    fill(found, 5)
    monkeypatch.setenv("MY_NUMBERS", str(found))
    monkeypatch.chdir(found)
    return found


@pytest.mark.parametrize("task", [*TASKS, begun_by_a_prefix], ids=lambda task: str(task.name))
def test_a_file_that_is_opened_in_c_counts_wherever_its_path_comes_from(task: sg.Task, folder: Path) -> None:
    place = f"{folder}/s" if task is begun_by_a_prefix else str(folder)
    with pytest.warns(HiddenInput, match=r"read .*s1\.(h5|vcf|parquet)"):
        assert task(folder=place).compute() == 5
    assert "nothing would run" in str(sg.plan(task(folder=place)))
    fill(folder, 7)
    assert task(folder=place).compute() == 7


def test_strict_refuses_it(folder: Path) -> None:
    with (
        dask.config.set({"stargazer.strict": True}),
        pytest.raises(
            UndeclaredInput, match=r"s1\.vcf beside its inputs: .* does not say who opened .*s1\.vcf: it may be"
        ),
    ):
        worked_out(folder=str(folder)).compute()


def test_what_the_body_writes_itself_is_told_and_not_read(folder: Path) -> None:
    assert writes(folder=str(folder)).compute() == 1
    (folder / "made.h5").unlink()
    assert "nothing would run" in str(sg.plan(writes(folder=str(folder))))


@pytest.mark.filterwarnings("error::stargazer.execute.findings.HiddenInput")
def test_an_input_is_no_hidden_one(folder: Path) -> None:
    assert counts(sg.add(folder / "s1.vcf"), folder=str(folder)).compute() == 1


def test_where_the_kernel_lost_count_it_runs_each_time(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opens, "_events", lambda _: iter([(-1, opens.OVERFLOW, "")]))
    with pytest.warns(HiddenInput, match="opened more files than can be told of"):
        assert worked_out(folder=str(folder)).compute() == 5
    assert "1 call" in str(sg.plan(worked_out(folder=str(folder))))


@pytest.mark.filterwarnings("error::stargazer.execute.findings.HiddenInput")
def test_files_of_editors_in_the_current_folder_do_not_count(folder: Path) -> None:
    (folder / "notes.ipynb").write_text("{}")
    assert beside(sg.add(folder / "s1.h5")).compute() == 5


def test_folders_are_found_in_texts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    texts = [b"a", "a/b/s", Path("a"), "/", "no", "", "x\ny", 5, None, f"{tmp_path}/a/none/x", "a\0", "."]
    assert list(folders_in(texts)) == [str(tmp_path / "a"), str(tmp_path / "a" / "b"), str(tmp_path / "a")]


def test_no_more_folders_are_watched_than_there_is_room_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opens, "MOST_FOLDERS", 3)
    for name in "abcde":
        (tmp_path / name).mkdir()
    watched = Opens(())
    watched.watch(str(tmp_path), deep=True)
    for name in "ae":
        LIBC.close(LIBC.open(os.fsencode(tmp_path / name / "x"), os.O_CREAT, 0o600))
    assert watched.read() == ({str(tmp_path / "a" / "x")}, {str(tmp_path / "a" / "x")}, False)


def open_in_c(path: Path, flags: int = os.O_RDONLY) -> int:
    return int(LIBC.open(os.fsencode(path), flags, 0o600))


def test_what_was_read_before_another_wrote_it_is_read(tmp_path: Path) -> None:
    for name in ("read", "rewritten", "changed"):
        (tmp_path / name).write_text("1")
    watched = Opens(())
    watched.watch(str(tmp_path))
    LIBC.close(open_in_c(tmp_path / "read"))
    changed = open_in_c(tmp_path / "changed")
    for name in ("read", "rewritten", "changed"):
        (tmp_path / name).write_text("2")
    LIBC.close(changed)
    LIBC.close(open_in_c(tmp_path / "rewritten"))
    opened, written, _ = watched.read()
    assert written == {str(tmp_path / "rewritten")}
    assert opened - written == {str(tmp_path / "read"), str(tmp_path / "changed")}


def test_a_link_to_a_file_elsewhere_is_told_of_and_not_what_lies_beside_that(tmp_path: Path) -> None:
    for name in ("here", "there"):
        (tmp_path / name).mkdir()
    for name in ("a", "b"):
        (tmp_path / "there" / name).touch()
    (tmp_path / "here" / "link").symlink_to(tmp_path / "there" / "a")
    watched = Opens(())
    watched.watch(str(tmp_path / "here"))
    LIBC.close(open_in_c(tmp_path / "here" / "link"))
    LIBC.close(open_in_c(tmp_path / "there" / "b"))
    assert watched.read() == ({str(tmp_path / "here" / "link")}, set(), False)


def test_watches_are_used_again_without_what_they_told_before(tmp_path: Path) -> None:
    (tmp_path / "x").touch()
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(20):
        watched = Opens(())
        watched.watch(str(tmp_path))
        LIBC.close(open_in_c(tmp_path / "x"))
        assert watched.read()[0] == {str(tmp_path / "x")}
    (tmp_path / "y").mkdir()
    watched = Opens(())
    watched.watch(str(tmp_path / "y"))
    LIBC.close(open_in_c(tmp_path / "x"))
    assert watched.read() == (set(), set(), False)
    watched.watch(str(tmp_path))
    assert len(os.listdir("/proc/self/fd")) <= before + 1


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_forked_child_takes_nothing_of_what_its_parent_is_told(tmp_path: Path) -> None:
    (tmp_path / "x").touch()
    watched = Opens(())
    watched.watch(str(tmp_path))
    LIBC.close(open_in_c(tmp_path / "x"))
    if (child := os.fork()) == 0:
        watched.close()
        other = Opens(())
        other.watch(str(tmp_path))
        other.close()
        os._exit(0)
    os.waitpid(child, 0)
    assert watched.read()[0] == {str(tmp_path / "x")}


def test_where_nothing_can_be_watched_no_folder_is_gone_through(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone_through: list[str] = []
    monkeypatch.setattr(opens, "_entries", gone_through.append)
    for name, instead in (("_add_watch", lambda *_: -1), ("_keeper", lambda _: None)):
        with monkeypatch.context() as patch:
            patch.setattr(opens, name, instead)
            Opens(()).watch(str(tmp_path), deep=True)
    assert not gone_through


def test_a_current_folder_that_was_removed_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    assert _current_folder() == []
