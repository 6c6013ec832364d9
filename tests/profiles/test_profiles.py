"""Profiles come from files, the environment and the program; what is wrong is told with its place."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import dask.config
import pytest

from stargazer.errors import ConfigError
from stargazer.profiles.profile import Range
from stargazer.profiles.settings import check_settings, clock_of, find_profile, seconds_of

GIB = 1 << 30


def told(folder: Path, *arguments: str, code: int = 0, **env: str) -> Any:
    """What `stargazer` prints in a process of its own, whose settings are in a folder."""
    folder.mkdir(exist_ok=True)
    done = subprocess.run(
        [sys.executable, "-c", "from stargazer.cli import main; main()", *arguments],
        env=os.environ | {"DASK_CONFIG": str(folder)} | env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code, done.stderr
    return done.stderr if code else json.loads(done.stdout)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("00:01:00", 60), ("1-12:00:00", 129600), ("2-0", 172800), ("90 min", 5400), ("2:30", 150), (45, 45)],
)
def test_times(text: object, seconds: float) -> None:
    assert seconds_of(text) == seconds
    assert seconds_of(clock_of(seconds)) == seconds


def test_a_profile_is_merged_from_all_places_and_each_value_tells_its_own(tmp_path: Path) -> None:
    folder = tmp_path / "dask"
    folder.mkdir()
    (folder / "stargazer.yaml").write_text(
        "stargazer:\n  profiles:\n    slurm: {cpus: 4, memory: 8 GiB, queue: long}\n    lab: {kind: address, address: 'tcp://h:1'}\n"
    )
    found = told(folder, "config", "profiles", "--json", DASK_STARGAZER__PROFILES__SLURM__CPUS="16")
    key = "stargazer.profiles.slurm"
    assert found[f"{key}.cpus"] == {"value": 16, "origin": "DASK_STARGAZER__PROFILES__SLURM__CPUS"}
    assert found[f"{key}.memory"] == {"value": "8 GiB", "origin": str(folder / "stargazer.yaml")}
    assert found[f"{key}.kind"] == {"value": "slurm", "origin": "defaults"}
    assert found["stargazer.profiles.lab.address"]["value"] == "tcp://h:1"
    said = told(folder, "connect", "slurm", "--json")
    assert (said["cpus"], said["memory"], said["queue"]) == (4, 8 * GIB, "long")


@pytest.mark.parametrize(
    ("text", "key", "problem"),
    [
        ("profiles: {slurm: {memory: lots}}", "stargazer.profiles.slurm.memory", "size"),
        ("profiles: {slurm: {cpu: 4}}", "stargazer.profiles.slurm.cpu", "no option of kind slurm"),
        ("profiles: {local: {walltime: 1h}}", "stargazer.profiles.local.walltime", "no option of kind local"),
        ("profiles: {mine: {kind: cloud}}", "stargazer.profiles.mine.kind", "must be one of"),
        ("profiles: {slurm: {workers: 9-3}}", "stargazer.profiles.slurm.workers", "range"),
        ("profiles: {lab: {kind: address}}", "stargazer.profiles.lab.address", "not set"),
        ("durable: maybe", "stargazer.durable", "bool"),
        ("storr: /data", "stargazer.storr", "no setting"),
    ],
)
def test_errors_name_file_and_key(tmp_path: Path, text: str, key: str, problem: str) -> None:
    folder = tmp_path / "dask"
    folder.mkdir()
    file = folder / "mine.yaml"
    file.write_text("stargazer:\n  " + text)
    error = told(folder, "config", code=1)
    assert key in error
    assert problem in error
    if key != "stargazer.profiles.lab.address":
        assert str(file) in error


def test_what_the_program_sets_is_told_as_such() -> None:
    with dask.config.set({"stargazer.profiles.slurm.cpus": "many"}):
        with pytest.raises(ConfigError, match=r"profiles.slurm.cpus is 'many' \(dask.config.set\)"):
            find_profile("slurm")
        with pytest.raises(ConfigError, match=r"profiles.slurm.cpus"):
            check_settings()
    check_settings()


def test_every_batch_system_and_address_is_a_profile() -> None:
    assert find_profile("pbs", cpus=2).is_queue
    assert find_profile("SLURMCluster").is_queue
    assert find_profile("tls://head:8786").address == "tls://head:8786"
    assert find_profile().kind == "local"
    with pytest.raises(ConfigError, match="there is no profile 'slrum'; there are threads, local, slurm"):
        find_profile("slrum")


def test_changes_are_checked_like_settings() -> None:
    assert find_profile("slurm", workers=3).workers == Range(3, 3)
    assert find_profile("slurm", workers="0-4", memory="2 GiB").memory == 2 * GIB
    with pytest.raises(ConfigError, match="memory='plenty', but must be a size"):
        find_profile("slurm", memory="plenty")
    with pytest.raises(ConfigError, match="walltime='1h', but is no option of kind local"):
        find_profile("local", walltime="1h")
