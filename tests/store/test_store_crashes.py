"""Kill anything at any moment: nothing half-written is visible, and doing it again works."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from stargazer.store import Store

HERE = Path(__file__).parent
File = Callable[..., Path]

WRITER = """
import sys
from pathlib import Path
from stargazer.assets import R1
from stargazer.store import Store

url, folder, number, count = sys.argv[1], Path(sys.argv[2]), sys.argv[3], int(sys.argv[4])
store = Store(url)
for i in range(count):
    same = folder / f"{number}-same-{i}"
    same.write_bytes(b"%d" % i * 100)
    store.add(same, R1(sample_id=f"same{i}"), name=f"same-{i}")
    own = folder / f"{number}-own-{i}"
    own.write_text(f"{number} {i}")
    store.add(own, R1(sample_id=f"{number}-{i}"))
    store.records.set_keys({f"shared{i}": store.records.put(f"{number} {i}".encode()).encode()})
print(store.id)
"""


def test_a_process_killed_at_any_step_leaves_a_whole_store(tmp_path: Path) -> None:
    run = subprocess.run([sys.executable, HERE / "crashes.py", tmp_path], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert int(run.stdout) > 100


@pytest.mark.parametrize("url", ["file", "s3"], indirect=True)
def test_many_processes_may_write_the_same_and_different_things_at_once(
    store: Store, tmp_path: Path, cache: Path
) -> None:
    processes, count = (8, 25) if store.backend.quick else (3, 4)
    arguments = [[store.url, str(tmp_path), str(number), str(count)] for number in range(processes)]
    env = {**os.environ, "DASK_STARGAZER__CACHE": str(cache)}
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, *each], stdout=subprocess.PIPE, env=env) for each in arguments
    ]
    identities = {writer.communicate()[0] for writer in writers}
    assert [writer.returncode for writer in writers] == [0] * processes
    assert identities == {f"{store.id}\n".encode()}
    names = [asset.declared["sample_id"] for asset in store.find(asset="r1")]
    own = {f"{number}-{i}" for number in range(processes) for i in range(count)}
    assert sorted(names) == sorted(own | {f"same{i}" for i in range(count)})
    for i in range(count):
        (record,) = store.records.get_keys([f"shared{i}"]).values()
        assert store.records.get(record.decode())
    assert store.fsck().ok
