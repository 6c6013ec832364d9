"""Which version of which tool: a part of every key."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import math
import os
import re
import shutil
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from stargazer.config import cache_dir, gatk_jar, search_path
from stargazer.errors import Cancelled, ToolMissing
from stargazer.tools import Workdir
from stargazer.tools.noted import ToolIdentity, noted_identity

if TYPE_CHECKING:
    from stargazer.tools.programs import Program

__all__ = [
    "EMBEDDED_TOOLS",
    "HOW_TO_GET",
    "identify_tool",
    "library_version",
    "locate_tool",
]

EMBEDDED_TOOLS = {"pysam": "samtools, bcftools and htslib in a Python package", "pybwa": "bwa in a Python package"}
"""Tools that come as Python packages, run by ``python -m stargazer.embedded``."""

HOW_TO_GET = {
    "bwa": "apt-get install bwa",
    "bwa-mem2": "conda install -c bioconda bwa-mem2, or a release from github.com/bwa-mem2/bwa-mem2",
    "samtools": "apt-get install samtools",
    "bcftools": "apt-get install bcftools",
    "fastp": "apt-get install fastp",
    "gatk": "stargazer tools install gatk",
}
"""The shortest way to each tool."""

USUAL_WAY = "apt-get install {0}, or conda install -c bioconda {0}"
LOOKED_FOR_EVERY = 0.5
"""Seconds for which a tool is believed to be the first of its name on PATH, while it is there."""

PATIENCE = 20.0
"""Seconds that a tool has to tell its version."""

GATK = "gatk"

_places: dict[tuple[str, str, str], tuple[str, float]] = {}
VERSION = r"\b[vV]?(\d+(?:\.\d+)+\S*)"


def identify_tool(name: str) -> ToolIdentity:
    """Return version and digest of a tool; remembered while the file stays as it is.

    An environment of tools, ``container:…`` or ``conda:…``, is one, too. A script says nothing by its file: what it
    starts may change. So it counts with what it leads to, and each process asks it once.

    Raises
    ------
    ToolMissing
        It is not installed; the message says how to get it.
    """
    if name in EMBEDDED_TOOLS:
        return _identify_package(name)
    if ":" in name:
        from stargazer.tools.environments import identify_environment, read_environment

        if (environment := read_environment(name)) is not None:
            return identify_environment(environment)
    try:
        stat = os.stat(path := locate_tool(name))
    except FileNotFoundError:
        stat = os.stat(path := locate_tool(name, again=True))
    from stargazer.tools.programs import is_script, look_into

    if name != GATK and is_script(path):
        return _identify_script(name, path, look_into(path))
    return _identify_binary(name, path, (stat.st_ino, stat.st_size, stat.st_ctime_ns))


def locate_tool(name: str, *, again: bool = False) -> str:
    """Path of a tool; looked for now and then, for a thousand calls may ask at once.

    Parameters
    ----------
    name
        Name of the command.
    again
        Look now.

    Raises
    ------
    ToolMissing
        It is not on PATH, and GATK not installed by `stargazer tools install` either.
    """
    where = name, search_path(), f"{gatk_jar()} {cache_dir()}" if name == GATK else ""
    path, looked = _places.get(where, ("", -math.inf))
    if again or time.monotonic() - looked > LOOKED_FOR_EVERY:
        path = _find(name, where[1])
        if not path:
            how = HOW_TO_GET.get(name, USUAL_WAY.format(name))
            raise ToolMissing(f"{name} is not on PATH; install it ({how}), or choose another engine")
        _places[where] = path, time.monotonic()
    return path


def _find(name: str, path: str) -> str:
    if name != GATK:
        return shutil.which(name, path=path) or ""
    from stargazer.tools.install import find_gatk

    return find_gatk(path)


@functools.cache
def library_version(distribution: str) -> str:
    """Return the version of an installed Python distribution, with the commit where it came from a repository.

    Raises
    ------
    ToolMissing
        It is not installed.
    """
    import importlib.metadata

    try:
        found = importlib.metadata.distribution(distribution)
        origin = json.loads(found.read_text("direct_url.json") or "{}")
        commit = origin.get("vcs_info", {}).get("commit_id", "")
        version = _version_in(found.read_text("METADATA") or "") or found.version
        return f"{version}@{commit}" if commit else version
    except importlib.metadata.PackageNotFoundError:
        raise ToolMissing(f"the Python package {distribution} is not installed: pip install {distribution}") from None


def _version_in(metadata: str) -> str:
    """The version that metadata of a distribution name; a parser of mails would read its whole description for that."""
    header = metadata.partition("\n\n")[0]
    return next((line[8:].strip() for line in header.splitlines() if line.startswith("Version:")), "")


@functools.cache
def _identify_package(name: str) -> ToolIdentity:
    import importlib.metadata

    version = library_version(name)
    lines = (importlib.metadata.distribution(name).read_text("RECORD") or "").splitlines()
    compiled = sorted(line for line in lines if ".so," in line or ".pyd," in line or ".dylib," in line)
    return ToolIdentity(name, version, hashlib.sha256("\n".join([*compiled, *_shim()]).encode()).hexdigest())


def _shim() -> list[str]:
    """The code that makes command-line tools of the packages: it shapes what they write."""
    from stargazer.fingerprint import canonical
    from stargazer.fingerprint.parsing import parse

    files = sorted(Path(__file__).parent.with_name("embedded").glob("*.py"))
    return [canonical(parse(file.read_text("utf-8"))) for file in files]


@functools.lru_cache(maxsize=256)
def _identify_script(name: str, path: str, program: Program) -> ToolIdentity:
    """Identity of a script, asked anew where one of the files that it leads to has changed."""
    return ToolIdentity(name, _ask_version(path), program.digest)


@functools.lru_cache(maxsize=256)
def _identify_binary(name: str, path: str, stat: tuple[int, int, int]) -> ToolIdentity:
    path = os.path.realpath(path)
    return noted_identity(name, f"{path} {stat}", lambda: ToolIdentity(name, *_version_and_digest(name, path)))


def _version_and_digest(name: str, path: str) -> tuple[str, str]:
    if name == GATK:
        from stargazer.tools.install import jar_digest, jar_version, program_jar

        if jar := program_jar(Path(path)):
            return jar_version(jar) or _ask_version(path), jar_digest(jar)
    with open(path, "rb") as binary:
        return _ask_version(path), hashlib.file_digest(binary, "sha256").hexdigest()


def _ask_version(path: str) -> str:
    """Ask with ``--version``, else read it from the usage text, as bwa wants it."""
    deadline = time.monotonic() + PATIENCE
    with tempfile.TemporaryDirectory(prefix="stargazer-") as scratch, contextlib.suppress(Cancelled):
        work = Workdir(scratch, cancelled=lambda: time.monotonic() > deadline)
        for arguments in ("--version", ""):
            command = f'"$0" {arguments} 2>&1 < /dev/null | head -n 40; exit 0'
            if found := re.search(VERSION, work.output(["sh", "-c", command, path])):
                return found[1]
    return "unknown"
