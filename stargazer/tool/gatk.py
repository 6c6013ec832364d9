"""GATK on this machine: where it is, what it is made of, how it is started.

A start costs 4.6 CPU seconds when Java reads classes from 367 jars and compiles them with all its care. A class archive
(application class-data sharing), the serial collector and, for steps of seconds, the first compiler alone make it 0.7.

References
----------
https://docs.oracle.com/en/java/javase/17/vm/class-data-sharing.html; https://gatk.broadinstitute.org
"""

from __future__ import annotations

import hashlib
import os
import shutil
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

from stargazer.config import cache_dir, gatk_jar, search_path
from stargazer.errors import ConfigError, ToolMissing

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = [
    "JAVA_OPTIONS",
    "QUIET",
    "VERSION",
    "WANTED_JAVA",
    "class_archive",
    "digest_lines",
    "find_gatk",
    "gatk_command",
    "installed_jar",
    "jar_digest",
    "jar_version",
    "program_jar",
]

VERSION = "4.6.2.0"
"""The version that `stargazer tools install gatk` gets."""

JAVA_OPTIONS = (
    "-XX:+UseSerialGC",
    "-XX:+ExitOnOutOfMemoryError",
    "-Dsamjdk.use_async_io_read_samtools=false",
    "-Dsamjdk.use_async_io_write_samtools=true",
    "-Dsamjdk.use_async_io_write_tribble=false",
    "-Dsamjdk.compression_level=2",
)
"""What GATK's own script gives Java, the collector that one thread wants, and an end where memory is too little."""

QUIET = ("-Xlog:disable", "-Xlog:all=error:stderr")
"""A class archive that does not fit is left aside without a word on stdout."""

FIRST_COMPILER = "-XX:TieredStopAtLevel=1"
WANTED_JAVA = "GATK wants Java 17: apt-get install openjdk-17-jre-headless"


def installed_jar() -> Path:
    """Where `stargazer tools install gatk` puts the jar that starts GATK."""
    return cache_dir() / "gatk" / VERSION / "gatk.jar"


def find_gatk(path: str) -> str:
    """Jar or script that is GATK: the configured jar, else ``gatk`` on PATH, else the installed one, else empty.

    Parameters
    ----------
    path
        Where commands are looked for.

    Raises
    ------
    ConfigError
        The configured jar is not there.
    """
    configured = gatk_jar()
    if configured is not None:
        if not configured.is_file():
            raise ConfigError(f"stargazer.gatk-jar is {str(configured)!r}, where there is no file")
        return str(configured)
    installed = installed_jar()
    return shutil.which("gatk", path=path) or (str(installed) if installed.is_file() else "")


def gatk_command(path: str | Path, *, heap: int, brief: bool) -> list[str]:
    """Start of GATK's command line, up to the name of the tool.

    Parameters
    ----------
    path
        What `find_gatk` found.
    heap
        Bytes that Java may use for objects.
    brief
        Whether the step takes seconds: then the first compiler is enough.

    Raises
    ------
    ToolMissing
        There is no Java.
    """
    options = [f"-Xmx{max(heap >> 20, 64)}m", *JAVA_OPTIONS, *([FIRST_COMPILER] if brief else [])]
    if Path(path).suffix != ".jar":
        return [str(path), "--java-options", " ".join([*options, "-Djava.io.tmpdir=tmp"])]
    java = shutil.which("java", path=search_path())
    if java is None:
        raise ToolMissing(f"java is not on PATH; {WANTED_JAVA}")
    archive = class_archive(Path(path), java)
    shared = [*QUIET, f"-XX:SharedArchiveFile={archive}"] if archive.is_file() else []
    return ["java", *options, *shared, "-Djava.io.tmpdir=tmp", "-jar", str(path)]


def class_archive(jar: Path, java: str) -> Path:
    """Where the class archive of a jar is, made by this very Java: no other can read it."""
    real = os.path.realpath(java)
    stat = os.stat(real)
    made_by = hashlib.sha256(f"{real} {stat.st_size} {stat.st_mtime_ns}".encode()).hexdigest()
    return jar.with_name(f"classes-{made_by[:16]}.jsa")


def program_jar(path: Path) -> Path | None:
    """The jar itself, or the one that lies beside GATK's script."""
    if path.suffix == ".jar":
        return path
    beside = sorted(Path(os.path.realpath(path)).parent.glob("gatk-package-*-local.jar"))
    return beside[-1] if beside else None


def jar_version(jar: Path) -> str:
    """Version that the manifest of a jar tells; empty if it does not."""
    return _manifest(jar).get("Implementation-Version", "")


def jar_digest(jar: Path) -> str:
    """SHA-256 of what a jar runs: of itself, or of the names and digests of those on its class path.

    Where the files lie does not count.
    """
    class_path = _manifest(jar).get("Class-Path", "").split()
    if not class_path:
        return _sha256(jar)
    return hashlib.sha256("".join(digest_lines(jar.parent / each for each in class_path)).encode()).hexdigest()


def digest_lines(jars: Iterable[Path]) -> list[str]:
    """Digest and name of each jar, as ``sha256sum`` writes them, by name."""
    return [f"{_sha256(jar)}  {jar.name}\n" for jar in sorted(jars, key=lambda jar: jar.name)]


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _manifest(jar: Path) -> dict[str, str]:
    try:
        with zipfile.ZipFile(jar) as archive:
            text = archive.read("META-INF/MANIFEST.MF").decode("utf-8", "replace")
    except (OSError, KeyError, zipfile.BadZipFile):
        return {}
    lines = text.replace("\r\n", "\n").replace("\n ", "").splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}
