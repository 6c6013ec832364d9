"""Batch scripts as they are sent, and folders and checks around them; no batch system is needed."""

from __future__ import annotations

import asyncio
import os
import socket
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import stargazer as sg
from stargazer import config
from stargazer.client.apart import submit_driver
from stargazer.client.checks import check_profile
from stargazer.client.hires import UNKNOWN, Told
from stargazer.client.jobqueue import RESERVED, Asked, batch_script, ends_alone, own_folder
from stargazer.client.plugins import Folders
from stargazer.client.refusals import is_limit, limited_to, said
from stargazer.client.systems import GONE, NoAnswer, Refused, job_class, names_of, read_job, read_queue, system_of
from stargazer.errors import ConfigError
from stargazer.profiles.settings import find_profile, find_profiles

pytest.importorskip("dask_jobqueue")

GIB = 1 << 30


def script(system: str, folder: Path, **options: Any) -> list[str]:
    given = {"cpus": 2, "memory": "2 GiB", "shared": str(folder), "job_name": "ann"} | options
    return batch_script(find_profile(system, **given)).splitlines()


@pytest.mark.parametrize(
    ("system", "lines"),
    [
        ("slurm", ["#SBATCH -J ann-RUN-1", "#SBATCH --cpus-per-task=2", "#SBATCH --mem=2239M"]),
        ("pbs", ["#PBS -N ann-RUN-1", "#PBS -l select=1:ncpus=2:mem=2239MB"]),
        ("lsf", ["#BSUB -J ann-RUN-1", "#BSUB -n 2", "#BSUB -M 2347484"]),
        ("sge", ["#$ -N ann-RUN-1"]),
        ("htcondor", ["MY.DaskWorkerCores = 2", f"MY.DaskWorkerMemory = {2 * GIB + RESERVED}"]),
    ],
)
def test_a_script_says_whose_it_is_and_asks_for_what_worker_and_nanny_take(
    tmp_path: Path, system: str, lines: list[str]
) -> None:
    options = {"options": {"disk": "1 GB"}} if system == "htcondor" else {}
    text = script(system, tmp_path, **options)
    assert set(lines) <= set(text), text
    (command,) = [line for line in text if "distributed.cli.dask_worker" in line]
    assert "--name ann-RUN-1" in command
    assert "--death-timeout 30" in command
    assert "--resources cpus=2,memory=2147483648" in command
    assert "--protocol tls://" in command


def test_lines_of_a_profile_reach_htcondor_as_names_and_values(tmp_path: Path) -> None:
    options = {"directives": ["+Group = lab", "concurrency_limits=x:2"], "options": {"disk": "1 GB"}}
    assert {"+Group = lab", "concurrency_limits = x:2"} <= set(script("htcondor", tmp_path, **options))


@pytest.mark.parametrize(
    ("system", "walltime", "line"),
    [
        ("slurm", "90 s", "#SBATCH -t 00:01:30"),
        ("slurm", "7-00:00:00", "#SBATCH -t 168:00:00"),
        ("pbs", "90 s", "#PBS -l walltime=00:01:30"),
        ("sge", "26 h", "#$ -l h_rt=26:00:00"),
        ("lsf", "90 s", "#BSUB -W 00:02"),
        ("lsf", "26 h", "#BSUB -W 26:00"),
    ],
)
def test_limits_of_time_are_written_as_each_system_reads_them(
    tmp_path: Path, system: str, walltime: str, line: str
) -> None:
    assert line in script(system, tmp_path, walltime=walltime)


@pytest.mark.parametrize(
    ("system", "limit", "seconds"),
    [("slurm", 30, 1800), ("slurm", "00:30:00", 1800), ("lsf", "00:30", 1800), ("lsf", 90, 5400), ("sge", 1800, 1800)],
)
def test_limits_of_jobqueue_yaml_are_read_as_each_system_does(
    tmp_path: Path, system: str, limit: object, seconds: float
) -> None:
    import dask.config

    with dask.config.set({f"jobqueue.{system}.walltime": limit}):
        assert Asked(find_profile(system, cpus=1, memory="1 GiB", shared=str(tmp_path))).walltime == seconds


def test_what_grid_engine_is_not_asked_for_is_told(tmp_path: Path) -> None:
    given: dict[str, Any] = {"cpus": 4, "memory": "1 GiB", "shared": str(tmp_path)}
    told = Asked(find_profile("sge", **given)).unsaid
    assert '"-pe smp 4" and "-l mem_free=1215M"' in told
    spec = Asked(find_profile("sge", **given, options={"resource_spec": "h_vmem=2G"})).unsaid
    assert '"-pe smp 4" with the names' in spec
    assert Asked(find_profile("sge", **given, directives=["-pe threads 4", "-l h_rss=1G"])).unsaid == ""
    assert Asked(find_profile("pbs", **given)).unsaid == ""


def test_a_job_of_htcondor_says_how_much_disk_it_wants(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"htcondor\.options\.disk is not set"):
        script("htcondor", tmp_path)


def fake_command(folder: Path, name: str, text: str) -> None:
    (folder / name).write_text(f"#!/bin/sh\n{text}\n")
    (folder / name).chmod(0o755)


def test_lsf_is_heard_when_it_refuses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_command(
        tmp_path, "bsub", "cat > /dev/null; echo 'User job limit has been reached. Job not submitted.' >&2; exit 255"
    )
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    with pytest.raises(Refused, match="User job limit has been reached"):
        asyncio.run(submitted("lsf", tmp_path))


def test_jobs_of_another_schedd_are_cancelled_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("condor_submit", "condor_rm"):
        fake_command(tmp_path, name, f'echo "{name} $*" >> {tmp_path}/said; echo "1 job(s) submitted to cluster 7."')
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    extra = ["-name", "schedd2"]
    options = {"disk": "1 GB", "submit_command_extra": extra, "cancel_command_extra": extra}
    assert asyncio.run(submitted("htcondor", tmp_path, cancel=True, options=options)) == ["7.0"]
    first, last = (tmp_path / "said").read_text().splitlines()
    assert first.startswith("condor_submit -name schedd2 ")
    assert last == "condor_rm -name schedd2 7.0"


CHARGED = "Project 4711 has 12 hours left"


@pytest.mark.parametrize(
    ("kind", "command", "said", "number"),
    [
        ("slurm", "sbatch", f"{CHARGED}\nSubmitted batch job 99\nsee https://site/jobs/7", "99"),
        ("slurm", "sbatch", f"{CHARGED}\n99;north", "99"),
        ("pbs", "qsub", f"{CHARGED}\n99.head.site", "99"),
        ("lsf", "bsub", f"{CHARGED}\nJob <99> is submitted to queue <q1>.", "99"),
        ("sge", "qsub", f'{CHARGED}\nYour job 99 ("w-1") has been submitted', "99"),
    ],
    ids=["slurm", "slurm parsable", "pbs", "lsf", "sge"],
)
def test_numbers_that_a_site_says_beside_that_of_the_job_are_not_taken_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, command: str, said: str, number: str
) -> None:
    """A job of that number, which may be anybody's, would be cancelled."""
    (tmp_path / "said").write_text(f"{said}\n")
    fake_command(tmp_path, command, f"cat {tmp_path}/said")
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    assert asyncio.run(submitted(kind, tmp_path)) == [number]


def test_a_number_in_other_words_is_no_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_command(tmp_path, "sbatch", f"echo '{CHARGED}'")
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    with pytest.raises(NoAnswer, match="sbatch gave no number: Project 4711"):
        asyncio.run(submitted("slurm", tmp_path))


def test_jobs_of_another_cluster_are_cancelled_and_asked_after_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("scancel", "squeue", "scontrol"):
        fake_command(tmp_path, name, f'echo "{name} $*" >> {tmp_path}/said')
    fake_command(tmp_path, "sbatch", "echo Submitted batch job 12 on cluster north")
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)

    async def life() -> None:
        job_cls = job_class(Asked(find_profile("slurm", cpus=1, memory="1 GiB")).cluster_class.job_cls)
        system = system_of(job_cls)
        await system.cancel(["7"])
        job = job_cls("tcp://127.0.0.1:1", name="w-1", cores=1, memory="1 GiB", processes=1)
        assert await system.submit(job) == ["12"]
        await system.tell({"w-1": "12"})
        await system.cancel(["12"])

    asyncio.run(life())
    first, *others = (tmp_path / "said").read_text().splitlines()
    assert first == "scancel 7"
    assert [line.split()[:2] for line in others] == [
        [name, "--clusters=north"] for name in ("squeue", "scontrol", "scancel")
    ]


async def submitted(kind: str, folder: Path, *, cancel: bool = False, **options: Any) -> list[str]:
    """Numbers of a worker's job, as taken by a command that stands in for the batch system's; it may cancel it too."""
    asked = Asked(find_profile(kind, cpus=1, memory="1 GiB", shared=str(folder), **options))
    job_cls = job_class(asked.cluster_class.job_cls)
    system = system_of(job_cls)
    numbers = await system.submit(job_cls("tcp://127.0.0.1:1", name="w-1", **asked.job_arguments(["w-1"], "")))
    if cancel:
        await system.cancel(numbers)
    return numbers


def test_a_driver_of_htcondor_begins_with_the_prologue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_command(tmp_path, "condor_submit", f'cat "$1" > {tmp_path}/sent; echo "1 job(s) submitted to cluster 7."')
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    given = {"cpus": 1, "memory": "1 GiB", "shared": str(tmp_path), "prologue": ["module load python"]}
    profile = find_profile("htcondor", **given, options={"disk": "1 GB"})
    assert submit_driver(profile, "RUN", ["python", "-m", "x"]) == "7.0"
    (line,) = [each for each in (tmp_path / "sent").read_text().splitlines() if each.startswith("Arguments")]
    assert "module load python; " in line
    assert line.index("module load") < line.index("python -m x")


def test_an_array_has_a_worker_and_a_log_for_each_member(tmp_path: Path) -> None:
    asked = Asked(find_profile("slurm", cpus=1, memory="1 GiB", shared=str(tmp_path)))
    names = [f"stargazer-1f-{number}" for number in range(4, 10)]
    arguments = asked.job_arguments(names, 'run "x": $(rm)')
    assert arguments["job_name"] == "stargazer-1f-4-9"
    assert '--comment="run _x_: _(rm)"' in arguments["job_extra_directives"]
    assert "--array=0-5" in arguments["job_extra_directives"]
    assert asked.worker_name(names) == "stargazer-1f-$((4 + SLURM_ARRAY_TASK_ID))"
    assert asked.log(names[2], names) == f"{asked.logs}/stargazer-1f-4-9.2.out"
    assert list(names_of("stargazer-1f-4-9", "77_2")) == ["stargazer-1f-6"]
    assert list(names_of("stargazer-1f-4", "77")) == ["stargazer-1f-4"]


def test_the_folder_is_ours_alone_inside_that_of_the_lab(tmp_path: Path) -> None:
    lab = tmp_path / "lab"
    lab.mkdir()
    lab.chmod(0o2775)
    own = own_folder(str(lab))
    own.chmod(0o755)
    assert own_folder(str(lab)) == own
    assert (stat.S_IMODE(lab.stat().st_mode), stat.S_IMODE(own.stat().st_mode)) == (0o2775, 0o700)


def test_a_folder_of_somebody_else_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = own_folder(str(tmp_path))
    monkeypatch.setattr("os.geteuid", lambda: os.getuid() + 1)
    with pytest.raises(ConfigError, match="is not a folder of yours"):
        own_folder(str(tmp_path))
    monkeypatch.undo()
    (own / "logs").rmdir()
    own.rmdir()
    own.symlink_to(tmp_path)
    with pytest.raises(ConfigError, match="is not a folder of yours"):
        own_folder(str(tmp_path))


def test_old_logs_of_jobs_that_ended_well_go(tmp_path: Path) -> None:
    from stargazer.client.jobqueue import _tidy

    for name, age in (("old.out", 8), ("bad.out", 8), ("new.out", 6)):
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (time.time() - age * 86400,) * 2)
    (tmp_path / "bad.out.kept").touch()
    _tidy(tmp_path)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["bad.out", "bad.out.kept", "new.out"]


def test_memory_without_room_for_the_worker_is_an_error(tmp_path: Path) -> None:
    asked = Asked(find_profile("slurm", cpus=1, memory="150 MB", shared=str(tmp_path)))
    with pytest.raises(ConfigError, match="have no room in"):
        asked.offer_less()
    asked = Asked(find_profile("slurm", cpus=1, memory="1 GB", shared=str(tmp_path)))
    asked.offer_less()
    assert (asked.total, asked.each["memory"]) == (10**9, 10**9 - RESERVED)


@pytest.mark.parametrize(
    ("text", "is_one"),
    [
        ("sbatch: error: QOSMaxSubmitJobPerUserLimit", True),
        ("sbatch: error: AssocGrpSubmitJobsLimit", True),
        ("Job violates accounting/QOS policy (job submit limit, user's size and/or time limits)", True),
        ("qsub: would exceed queue generic's per-user limit of jobs in 'Q' state", True),
        ("User job limit has been reached. Job not submitted.", True),
        ("Pending job threshold reached. Retrying in 60 seconds...", True),
        ("Unable to run job: job rejected: Only 10 jobs are allowed per user (current job count: 10).", True),
        ("qsub: submit error (Maximum number of jobs already in queue MSG=total number of jobs)", True),
        ("Number of submitted jobs would exceed MAX_JOBS_PER_OWNER", True),
        ("sbatch: error: invalid partition specified: nowhere", False),
        ("sbatch: error: Socket timed out on send/recv operation", False),
    ],
)
def test_limits_of_a_site_are_known_from_other_refusals(text: str, is_one: bool) -> None:
    assert is_limit(text) is is_one


def test_what_is_said_is_told_without_the_rest() -> None:
    text = "sbatch: warning: old\nsbatch: error: QOSMaxSubmit\nsbatch: error: Batch job submission failed: Job violates"
    assert said(text) == "QOSMaxSubmit; Batch job submission failed: Job violates"
    assert said("") == "without a word"
    assert limited_to("per-user limit of 12 jobs") == 12
    assert limited_to("Only 10 jobs are allowed per user (current job count: 9)") == 10
    assert limited_to("no number") is None


def test_a_listing_is_read_whatever_stands_around_it() -> None:
    text = "\nsqueue: warning: maintenance on Friday 13\n12|PENDING|Resources|a-1\n13_4|RUNNING|None|a-2-9\nx|y|z\n"
    assert list(read_queue(text)) == [
        Told("PENDING", "Resources", job="12", log="a-1"),
        Told("RUNNING", "None", job="13_4", log="a-2-9"),
    ]
    assert list(read_queue("")) == []


def test_the_end_of_a_job_is_read() -> None:
    line = (
        "JobId=12 JobName=x JobState=OUT_OF_MEMORY Reason=OutOfMemory Dependency=(null) ExitCode=0:125 StdOut=/l/x.out"
    )
    assert read_job(line) == Told("OUT_OF_MEMORY", "OutOfMemory", "0 (signal 125)", "/l/x.out")
    assert read_job("JobId=12 JobState=FAILED Reason=NonZeroExitCode ExitCode=3:0") == Told(
        "FAILED", "NonZeroExitCode", "3"
    )
    assert read_job("slurm_load_jobs: something else") is None
    assert UNKNOWN != "FAILED"


@pytest.mark.parametrize(
    "text",
    [
        "Invalid job id specified",
        "qdel: Unknown Job Id 12.head",
        "Job <12> is not found",
        "Job <12>: No matching job found",
        "Job <12>: Job has already finished",
        "Job has finished",
        "qdel: Request invalid for state of job MSG=invalid state for job - COMPLETE 12.head",
        'denied: job "12" does not exist',
        "Couldn't find/remove all jobs in cluster 12",
        "Job 12.0 not found",
    ],
)
def test_that_there_is_no_such_job_is_understood(text: str) -> None:
    assert GONE.search(text)


def test_settings_of_a_shared_site_are_checked() -> None:
    found = find_profile("slurm", submit_rate="5/min", queue_size=3, job_name="lab.x-1")
    assert (found.submit_rate, found.queue_size, found.job_name) == (5, 3, "lab.x-1")
    for option, value in {"submit_rate": "often", "queue_size": 0, "job_name": "a b"}.items():
        with pytest.raises(ConfigError, match=option.replace("_", "-")):
            find_profile("slurm", **{option: value})


def test_pools_come_from_a_list_from_commas_and_from_a_profile() -> None:
    import dask.config

    profiles = {"a": {"kind": "pbs"}, "b": {"kind": "pbs"}, "lab": {"pools": ["a", "b"]}}
    with dask.config.set({"stargazer.profiles": profiles}):
        for named in (["a", "b"], "a, b", "lab"):
            assert [each.name for each in find_profiles(named)] == ["a", "b"]
        assert [each.cpus for each in find_profiles("lab", cpus=3)] == [3, 3]
        with pytest.raises(ConfigError, match="there is no profile 'c'"):
            find_profiles("a,c")


def test_a_check_without_a_batch_system_says_what_it_did_not_see(
    store: sg.Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import dask.config

    monkeypatch.setenv("PATH", str(tmp_path))
    options = {"kind": "slurm", "cpus": 1, "memory": "1 GiB", "shared": str(tmp_path), "interface": "lo"}
    with dask.config.set({"stargazer.profiles.lab": options}):
        found = {each.what: each for each in check_profile(find_profile("lab"), store)}
    assert "#SBATCH" in found["script"].told
    assert found["connection"].ok is False
    assert "sbatch" in found["connection"].told
    assert found["store"].ok is None
    assert found["versions"].ok is None


def test_a_submission_that_timed_out_is_not_taken_for_refused(tmp_path: Path) -> None:
    import asyncio

    from stargazer.client.systems import NoAnswer, Refused, Slurm

    class Job:
        """A job whose submission fails."""

        submit_command = "sbatch"

        def __init__(self, said: str) -> None:
            self.said = said

        def job_file(self) -> Any:
            import contextlib

            return contextlib.nullcontext("script")

        async def _submit_job(self, _: str) -> str:
            raise Refused(self.said)

    class Named:
        """Of dask-jobqueue."""

        config_name = "slurm"

    with pytest.raises(NoAnswer):
        asyncio.run(Slurm(Named).submit(Job("Socket timed out on send/recv operation")))
    with pytest.raises(Refused):
        asyncio.run(Slurm(Named).submit(Job("QOSMaxSubmitJobPerUserLimit")))


@pytest.mark.parametrize("there", [True, False])
def test_a_script_goes_on_only_if_somebody_may_listen_for_its_worker(there: bool) -> None:
    """A port that refuses is a client that was killed; what does not answer, or is no address, proves nothing."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        if there:
            taken.listen()
        address = f"tls://127.0.0.1:{taken.getsockname()[1]}"
        text = "\n".join([*ends_alone(address, "slurm"), "echo started"])
        for shell in ("bash", "sh"):
            done = subprocess.run([shell, "-c", text], capture_output=True, text=True, check=True, timeout=60)
            assert ("started" in done.stdout) is there
            assert ("nobody listens at" in done.stdout) is not there
    for odd in ("tls://[::1]:80", "SCHEDULER", "inproc://x/1", "tls://h:1'; rm -rf /"):
        assert ends_alone(odd, "slurm") == []
    assert ends_alone(address, "htcondor") == []


def test_workers_look_for_modules_where_the_client_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "beside").mkdir()
    monkeypatch.syspath_prepend(str(tmp_path / "beside"))
    monkeypatch.syspath_prepend(str(tmp_path / "absent"))
    plugin = Folders.of_this_process()
    assert str(tmp_path / "beside") in plugin.folders
    assert str(tmp_path / "absent") not in plugin.folders
    assert not [path for path in plugin.folders if "site-packages" in path or path == os.path.dirname(os.__file__)]
    monkeypatch.setattr("sys.path", ["/usr/lib/x"])
    plugin.setup(None)
    assert sys.path[-1] == "/usr/lib/x"
    assert str(tmp_path / "beside") in sys.path


def test_settings_of_a_persons_own_jobs_stay_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SBATCH_ARRAY_INX", "SBATCH_JOB_NAME", "SQUEUE_STATES", "SCANCEL_STATE", "SLURM_TIME_FORMAT"):
        monkeypatch.setenv(name, "x")
    for name in ("SBATCH_ACCOUNT", "SBATCH_PARTITION", "SLURM_CONF", "LAB"):
        monkeypatch.setenv(name, "kept")
    found = config.command_environment()
    assert [name for name, value in found.items() if value == "x" and name.startswith("S")] == []
    assert {found[name] for name in ("SBATCH_ACCOUNT", "SBATCH_PARTITION", "SLURM_CONF", "LAB")} == {"kept"}
