"""Nobody gets in: other processes lack the keys of a session, and its pages are for this machine."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import dask.config
import psutil
import pytest
from distributed import Client, LocalCluster, Security

import stargazer as sg
from stargazer.client.jobqueue import Asked
from stargazer.client.walls import own_space
from stargazer.errors import ConfigError
from stargazer.profiles.settings import find_profile

STRANGER = """
from distributed import Client
import getpass
print('RUNS AS', Client({address!r}, timeout=4).run(getpass.getuser))
"""


def listening() -> set[str]:
    """Addresses of this machine at which this process and its children can be reached."""
    me = psutil.Process()
    found = [each.net_connections("tcp") for each in (me, *me.children(recursive=True))]
    return {str(each.laddr.ip) for one in found for each in one if each.status == psutil.CONN_LISTEN}


@pytest.mark.parametrize("profile", ["local", "threads"])
def test_a_client_without_keys_is_refused(profile: str) -> None:
    with sg.connect(profile, workers=1) as client:
        address = client.scheduler.address
        workers = [worker["nanny"] or name for name, worker in client.scheduler_info()["workers"].items()]
        for told in {address, address.replace("tls://", "tcp://"), *workers}:
            asked = [sys.executable, "-c", STRANGER.format(address=told)]
            done = subprocess.run(asked, capture_output=True, text=True, check=False, timeout=60)
            assert done.returncode, told
            assert "RUNS AS" not in done.stdout
        assert client.submit(sum, [1, 2]).result() == 3
        assert listening() <= {"127.0.0.1"}


def kept(where: str) -> bool:
    """Whether a folder is one that only this user can read or change."""
    found = os.lstat(where)
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid() and not found.st_mode & 0o077


def test_workers_keep_what_they_read_back_where_nobody_else_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Dask's own folder has one name for everybody, and somebody else may have made it."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    (tmp_path / "dask-scratch-space").mkdir(mode=0o777)
    with sg.connect("local", workers=1) as client:
        (folder,) = client.run(lambda dask_worker: dask_worker.local_directory).values()
        assert kept(str(Path(folder).parents[1]))
        assert not [name for name in os.listdir(tmp_path / "dask-scratch-space") if name.startswith("worker")]


def test_a_folder_that_is_not_ones_own_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    first = own_space()
    assert kept(first)
    assert own_space() == first
    os.rmdir(first)
    (tmp_path / "theirs").mkdir(mode=0o777)
    os.symlink(tmp_path / "theirs", first)
    assert kept(own_space())
    assert own_space() != first
    with dask.config.set({"temporary-directory": str(tmp_path / "named")}):
        assert own_space().startswith(str(tmp_path / "named"))


def test_keys_of_another_session_are_of_no_use() -> None:
    with sg.connect("local", workers=1) as client:
        address = client.scheduler.address
        with pytest.raises(OSError):
            Client(address, security=Security.temporary(), timeout=3, set_as_default=False)


@pytest.mark.parametrize("profile", ["local", "threads"])
def test_a_profile_opens_the_dashboard_and_nothing_else(profile: str) -> None:
    with sg.connect(profile, workers=1, dashboard=True) as client:
        port = int(client.dashboard_link.rpartition(":")[2].partition("/")[0])
        opened = {each.laddr.port for each in psutil.Process().net_connections("tcp") if each.laddr.ip == "0.0.0.0"}
        assert {each for each in opened if each} == {port}


def test_a_batch_system_is_asked_for_pages_of_this_machine(tmp_path: Any) -> None:
    pytest.importorskip("dask_jobqueue")
    options = {"cpus": 1, "memory": "1 GiB", "shared": str(tmp_path)}
    asked = Asked(find_profile("slurm", **options)).arguments()
    assert asked["scheduler_options"]["dashboard_address"] == "127.0.0.1:0"
    assert ("--dashboard-address", "127.0.0.1:0") in zip(
        asked["worker_extra_args"], asked["worker_extra_args"][1:], strict=False
    )
    opened = Asked(find_profile("slurm", dashboard=":8787", **options)).arguments()
    assert opened["scheduler_options"]["dashboard_address"] == ":8787"
    assert asked["security"].require_encryption


def test_a_batch_system_without_encryption_is_refused_where_it_is_strict(tmp_path: Any) -> None:
    pytest.importorskip("dask_jobqueue")
    found = find_profile("slurm", cpus=1, memory="1 GiB", shared=str(tmp_path), tls=False)
    assert Asked(found).arguments()["security"] is None
    with dask.config.set({"stargazer.strict": True}), pytest.raises(ConfigError, match="tls is false"):
        Asked(found).arguments()


@pytest.mark.parametrize("wrong", ["8787", "here:there", ":99999", 7, "http://h:1/x"])
def test_a_dashboard_that_is_no_address_is_an_error(wrong: Any) -> None:
    with pytest.raises(ConfigError, match="dashboard"):
        find_profile("local", dashboard=wrong)


def test_an_unencrypted_scheduler_is_told_of_and_refused_where_it_is_strict() -> None:
    with LocalCluster(n_workers=1, threads_per_worker=1, processes=False, protocol="tcp", dashboard_address=":0") as c:
        address = c.scheduler_address
        assert address.startswith("tcp://")
        with pytest.warns(UserWarning, match=r"are not encrypted: whoever reaches that port runs code"):
            sg.connect(address).close()
        with dask.config.set({"stargazer.strict": True}), pytest.raises(ConfigError, match="strict refuses it"):
            sg.connect(address)


def test_an_encrypted_scheduler_is_used_without_a_word() -> None:
    keys = Security.temporary()
    options: dict[str, Any] = {"n_workers": 1, "threads_per_worker": 1, "processes": False}
    files = {
        f"distributed.comm.tls.{role}.{part}": getattr(keys, f"tls_{role}_{part}")
        for role in ("client",)
        for part in ("key", "cert")
    }
    files["distributed.comm.tls.ca-file"] = keys.tls_ca_file
    with (
        LocalCluster(security=keys, protocol="tls://", dashboard_address=":0", **options) as cluster,
        dask.config.set({**files, "stargazer.strict": True}),
        sg.connect(cluster.scheduler_address) as client,
    ):
        assert client.submit(sum, [1, 2]).result() == 3
