"""Tools get a clean environment, and what lies beside their inputs is data: nothing of it runs, nothing is obeyed."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import dask.config
import pytest

import stargazer as sg
from stargazer import config
from stargazer.errors import ConfigError, DataError, DefinitionError, ToolFailed
from stargazer.ledger import Ledger
from stargazer.tools import EMBEDDED, Workdir


@pytest.fixture
def work(tmp_path: Path) -> Workdir:
    (tmp_path / "work").mkdir()
    return Workdir(tmp_path / "work")


def seen(work: Workdir) -> dict[str, str]:
    """The environment of a tool."""
    return dict(line.split("=", 1) for line in work.output(["env"]).splitlines())


HARMFUL = {
    "AWS_SECRET_ACCESS_KEY": "s3cret",
    "JAVA_TOOL_OPTIONS": "-Dx=y",
    "JDK_JAVA_OPTIONS": "-Dx=y",
    "_JAVA_OPTIONS": "-Dx=y",
    "LD_PRELOAD": "",
    "LD_AUDIT": "/x.so",
    "PERL5OPT": "-Mx",
    "PYTHONSTARTUP": "/x.py",
    "PYTHONINSPECT": "1",
    "BASH_ENV": "/x.sh",
    "ENV": "/x.sh",
    "BCFTOOLS_PLUGINS": "/x",
    "MY_API_TOKEN": "t0ken",
    "GITHUB_TOKEN": "t0ken",
    "DB_PASSWORD": "pass",
    "SLURM_JWT": "t0ken",
    "OMP_SECRET": "s",
    "CURL_HOME": "/x",
    "GIT_SSH_COMMAND": "x",
}


def test_what_could_harm_never_comes_by_accident(work: Workdir, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in HARMFUL.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    monkeypatch.setenv("JAVA_HOME", "/java")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.setenv("PYTHONPATH", ":")
    found = seen(work)
    assert not HARMFUL.keys() & found.keys()
    assert (found["OMP_NUM_THREADS"], found["SLURM_JOB_ID"], found["JAVA_HOME"]) == ("3", "7", "/java")
    assert found["CUDA_VISIBLE_DEVICES"] == "", "empty means none, not all"
    assert "PYTHONPATH" not in found
    assert work.passed()["JAVA_HOME"] == "/java"


@pytest.mark.parametrize("name", ["LD_LIBRARY_PATH", "PERL5LIB", "PYTHONPATH", "R_LIBS", "PATH"])
@pytest.mark.parametrize("form", [":{0}", "{0}:", ".:{0}", "{0}::lib", "inputs:{0}:"])
def test_no_list_of_folders_has_the_one_of_the_inputs(
    work: Workdir, monkeypatch: pytest.MonkeyPatch, name: str, form: str
) -> None:
    monkeypatch.setenv(name, form.format(os.environ["PATH"]))
    assert seen(work)[name] == os.pathsep.join(filter(os.path.isabs, os.environ["PATH"].split(os.pathsep)))


@pytest.mark.parametrize("name", ["pysam.py", "stargazer.py", "runpy.py", "encodings.py", "sitecustomize.py"])
def test_no_data_file_runs_as_python(work: Workdir, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv("PYTHONPATH", ":.")
    (work.path / name).write_text(f"open({str(tmp_path / 'RAN')!r}, 'w')\n")
    with pytest.raises(ToolFailed, match="no embedded tool"):
        work.run([*EMBEDDED, "nothing"])
    assert work.output(["python", "-c", "import sys; print('' in sys.path, '.' in sys.path)"]) == "False False\n"
    assert work.output(["python", "-m", "this"])
    assert not (tmp_path / "RAN").exists()


def test_a_data_file_called_pysam_does_not_run(store: sg.Store, tmp_path: Path) -> None:
    from stargazer.tasks.general import bcftools_stats

    evil = tmp_path / "pysam.py"
    evil.write_text(f"open({str(tmp_path / 'RAN')!r}, 'w').write('x')\n")
    with pytest.raises(ToolFailed, match="unknown file type"):
        bcftools_stats(sg.add(evil, sg.Variants(sample_id="s1"))).compute()
    assert not (tmp_path / "RAN").exists()


@pytest.mark.parametrize("name", ["-rf", "--help", "@options", "+plugin", "~root", "=x"])
def test_no_file_is_taken_for_an_option(work: Workdir, name: str) -> None:
    path = work.file(name)
    path.write_text("text\n")
    for shown in (path, str(path)):
        assert work.output(["printf", "%s", shown]) == f"./{name}"
        assert work.output(["cat", shown]) == "text\n"


@pytest.mark.parametrize("name", [".Rprofile", ".curlrc", "matplotlibrc", "sitecustomize.py", ".RData"])
def test_no_file_of_a_task_is_obeyed_where_tools_start(work: Workdir, name: str) -> None:
    with pytest.raises(ValueError, match="programs obey where they start"):
        work.file(name)
    assert work.file(f"deeper/{name}").parent.is_dir()


@pytest.mark.parametrize("name", ["a\x1b]0;t\x07.tsv", "a\nb.tsv", "gpj.\u202eexe", "a\x9b31m", "deep\r/x"])
def test_no_file_of_a_task_has_a_name_that_reports_would_obey(work: Workdir, name: str) -> None:
    """MultiQC and others draw what files are called."""
    for make in (work.file, work.directory):
        with pytest.raises(ValueError, match="is no name for a file"):
            make(name)


def test_files_of_settings_are_not_looked_for_where_tools_start(work: Workdir, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("R_PROFILE_USER", "/x")
    found = seen(work)
    assert (found["R_PROFILE_USER"], found["R_ENVIRON_USER"]) == (os.devnull, os.devnull)
    assert found["HOME"] == os.environ["HOME"] != str(work.path)


def test_references_of_crams_are_looked_for_nowhere_unless_settings_say_so(
    work: Workdir, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REF_PATH", "http://example.org/%s")
    monkeypatch.setenv("REF_CACHE", "/cache")
    found = seen(work)
    assert found["REF_PATH"].startswith("/nonexistent")
    assert "REF_CACHE" not in found
    (tmp_path / "other").mkdir()
    with dask.config.set({"stargazer.cram-references": True}):
        found = seen(Workdir(tmp_path / "other"))
    assert (found["REF_PATH"], found["REF_CACHE"]) == ("http://example.org/%s", "/cache")


def test_settings_pass_variables_by_name(work: Workdir, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LICENCE_SERVER", "host:1")
    monkeypatch.setenv("LICENCE_TOKEN", "hush-hush")
    with dask.config.set({"stargazer.env": ["LICENCE_SERVER", "LICENCE_TOKEN"]}):
        work.run(["sh", "-c", "echo $LICENCE_SERVER $LICENCE_TOKEN >&2"])
        assert work.passed()["LICENCE_SERVER"] == "host:1"
        assert work.passed()["LICENCE_TOKEN"] == "***"
        assert b"host:1 ***" in work.log()
    with dask.config.set({"stargazer.env": [7]}), pytest.raises(ConfigError, match=r"stargazer\.env is \[7\]"):
        config.passed_names()


@sg.task(env=["GENOME_BUILD", "LAB_TOKEN"])
def tells(work: sg.Workdir) -> sg.Asset:
    out = work.file("env.txt")
    work.run(["sh", "-c", "echo $GENOME_BUILD $LAB_TOKEN; echo using $LAB_TOKEN >&2"], stdout=out)
    return sg.Asset(path=out)


@sg.task(env=["LAB_TOKEN"])
def fails(work: sg.Workdir) -> sg.Asset:
    work.run(["sh", "-c", 'echo "$0" >&2; exit 3', os.environ.get("LAB_TOKEN", "")])
    raise NotImplementedError


def test_values_that_a_task_names_count_and_secrets_do_not(store: sg.Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GENOME_BUILD", "38")
    monkeypatch.setenv("LAB_TOKEN", "first-secret")
    first = tells()
    assert first.compute().fetch().read_text() == "38 first-secret\n"
    record = Ledger(store.records).find(first.plan_key)
    assert record is not None
    assert record.env == {"GENOME_BUILD": "38"}
    assert record.passed["LAB_TOKEN"] == "***"
    assert record.log is not None
    assert store.read(record.log) == b"$ sh -c 'echo $GENOME_BUILD $LAB_TOKEN; echo using $LAB_TOKEN >&2'\nusing ***\n"
    monkeypatch.setenv("LAB_TOKEN", "second-secret")
    assert tells().plan_key == first.plan_key
    monkeypatch.setenv("GENOME_BUILD", "37")
    assert tells().plan_key != first.plan_key
    assert "$GENOME_BUILD: '38' → '37'" in str(sg.plan(tells()))
    monkeypatch.delenv("GENOME_BUILD")
    assert tells().compute().fetch().read_text() == "second-secret\n"


def test_secrets_are_masked_in_errors_too(store: sg.Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAB_TOKEN", "hush-hush")
    with pytest.raises(ToolFailed) as raised:
        fails().compute()
    assert "hush" not in str(raised.value)
    assert "***" in raised.value.tail
    assert all("hush" not in path.read_text("latin-1") for path in Path(store.url).rglob("*") if path.is_file())


@pytest.mark.parametrize("wrong", ["HOME", ["A=B"], [7], [""], ["LC_ALL"], ["TMPDIR"]])
def test_names_that_are_none_are_refused(wrong: object) -> None:
    with pytest.raises(DefinitionError, match="env="):
        sg.task(env=wrong)(lambda work: None)  # type: ignore[call-overload]


def test_a_profile_passes_variables_of_where_its_workers_run(store: sg.Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LICENCE_SERVER", "host:1")
    for profile in ("threads", "local"):
        with sg.connect(profile, workers=1, env=["LICENCE_SERVER"]) as client:
            assert client.submit(config.environment, pure=False).result()["LICENCE_SERVER"] == "host:1"
        assert "LICENCE_SERVER" not in config.environment()


def test_what_a_short_command_prints_may_not_fill_the_memory(work: Workdir, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stargazer.tools.workdir.LONGEST_OUTPUT", 1 << 20)
    with pytest.raises(DataError, match="printed more than 1 MiB"):
        work.output(["head", "-c", "2000000", "/dev/zero"])


def test_python_scripts_of_a_task_still_find_what_lies_beside_them(work: Workdir) -> None:
    (work.path / "tools").mkdir()
    (work.path / "tools" / "beside.py").write_text("VALUE = 7\n")
    (work.path / "tools" / "main.py").write_text("import beside; print(beside.VALUE)\n")
    assert work.output(["python", work.path / "tools" / "main.py"]) == "7\n"
    assert work.output(["python", "-c", "import sys; print(sys.executable)"]).strip() == sys.executable


def test_a_secret_of_several_lines_or_between_two_blocks_is_in_no_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Keys of SSH have lines; the log of a call that failed is kept, and looked through block by block."""
    monkeypatch.setattr("stargazer.tools.workdir.BLOCK", 7)
    monkeypatch.setenv("MY_KEY_TOKEN", "begin\nkey\nend")
    work = Workdir(tmp_path, secrets=("MY_KEY_TOKEN",))
    work.run(["sh", "-c", 'for i in 1 2 3; do echo "<$MY_KEY_TOKEN>" >&2; done'])
    (log,) = (tmp_path / ".logs").iterdir()
    whole = work.log()
    work.mask_logs()
    assert log.read_bytes() == whole
    assert whole.endswith(b"<***>\n" * 3)
