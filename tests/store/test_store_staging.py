"""Files laid out for tasks, and what tasks made, in every kind of store."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from stargazer.assets import R1, Alignment, AlignmentIndex, Asset
from stargazer.cid import cid_of_bytes, cid_of_path
from stargazer.errors import AssetError, InputChanged
from stargazer.store import Store

File = Callable[..., Path]
LARGE = bytes(range(256)) * 4096


def test_a_task_s_output_is_moved_in_and_may_be_returned_twice(store: Store, file: File) -> None:
    work = store.context.scratch / "work-1"
    work.mkdir(parents=True)
    (work / "out.bam").write_bytes(LARGE)
    (work / "out.bam.bai").write_text("index")
    draft = Alignment(path=work / "out.bam", companions=[AlignmentIndex(path=work / "out.bam.bai")])
    first, second = store.save(draft, record="r"), store.save(draft)
    assert first == second
    assert first.source
    assert first.source.record == "r"
    assert store.read(first.cid) == LARGE
    assert store.read(first.companions[0].cid) == b"index"


def test_a_staged_directory_given_back_changed_reuses_what_did_not_change(store: Store, file: File) -> None:
    root = file("d/a/1", LARGE).parent.parent
    file("d/b/2", "two")
    stored = store.add(root)
    staged = store.stage(stored, store.context.scratch / "work-2")
    (staged.path / "b" / "2").unlink()
    (staged.path / "b" / "2").write_text("changed")
    file("d/b/2", "changed")
    again = store.save(Asset(path=staged.path))
    assert again.cid == cid_of_path(root)
    assert store.read(f"{again.cid}/a/1") == LARGE


def test_staged_files_have_real_names_and_companions_beside_them(store: Store, file: File, tmp_path: Path) -> None:
    bam = store.add(file("s.bam", LARGE), companions=[file("s.bam.bai", "i")])
    staged = store.stage(bam, tmp_path / "in")
    assert staged.path == tmp_path / "in" / "s.bam"
    assert staged.path.read_bytes() == LARGE
    assert staged.companions[0].path == tmp_path / "in" / "s.bam.bai"
    store.staging.check(staged)
    copied = store.stage(bam, tmp_path / "copy", copy=True)
    copied.path.write_text("a tool may write here")
    store.staging.check(copied)
    assert store.read(bam.cid) == LARGE


@pytest.mark.parametrize("content", [bytes(5000), LARGE], ids=["small", "large"])
@pytest.mark.parametrize("harmed", ["d", "ref.fa"])
def test_a_tool_that_writes_to_its_input_is_noticed(
    store: Store, file: File, tmp_path: Path, content: bytes, harmed: str
) -> None:
    file("d/x/ref.fa", content)
    source = file("ref.fa", content) if harmed == "ref.fa" else file("d/x/ref.fa", content).parent.parent
    stored = store.add(source, companions=[file("other", "other")])
    staged = store.stage(stored, tmp_path / "in")
    path = staged.path if harmed == "ref.fa" else staged.path / "x" / "ref.fa"
    overwrite(os.path.realpath(path), b"X")
    with pytest.raises(InputChanged, match=r"in/.*ref\.fa was written to"):
        store.staging.check(staged)
    again = store.add(source)
    assert again.cid == stored.cid
    assert again.fetch().exists()
    assert store.read(cid_of_bytes(content)) == content


def test_a_tool_that_writes_to_a_very_small_input_harms_a_copy(store: Store, file: File, tmp_path: Path) -> None:
    stored = store.add(file("ref.fa.fai", "index"))
    staged = store.stage(stored, tmp_path / "in")
    overwrite(str(staged.path), b"X")
    store.staging.check(staged)
    assert stored.fetch().read_bytes() == b"index"


def overwrite(path: str, data: bytes) -> None:
    """Change bytes in place, with size and mtime as they were."""
    before = os.stat(path)
    os.chmod(path, 0o644)
    with open(path, "r+b") as opened:
        opened.write(data)
    os.chmod(path, 0o444)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def test_files_of_one_name_need_two_directories(store: Store, file: File, tmp_path: Path) -> None:
    one = store.add(file("1/R1.fq", "one"), R1(sample_id="s1"))
    two = store.add(file("2/R1.fq", "two"), R1(sample_id="s2"))
    store.stage(one, tmp_path / "in")
    with pytest.raises(AssetError, match="is there already"):
        store.stage(two, tmp_path / "in")
    assert (tmp_path / "in" / "R1.fq").read_text() == "one"
    with pytest.raises(AssetError, match="two different files"):
        store.stage(Asset(cid=one.cid, name="x", companions=[Asset(cid=two.cid, name="x")]), tmp_path / "other")
    assert one.fetch().read_text() == "one"
    assert two.fetch().read_text() == "two"
