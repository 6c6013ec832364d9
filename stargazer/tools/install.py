"""Install GATK from Maven Central: its jars, one jar that starts them, and an archive of its classes.

The pom leaves out what GATK does not need and Maven Central does not have, and pins what it would get wrong. What is
downloaded must be the very jars that were tested: their digests come with the package.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import random
import shutil
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

from stargazer.config import cache_dir, gatk_jar, search_path
from stargazer.errors import ConfigError, ToolError, ToolMissing
from stargazer.tools import Workdir

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

__all__ = [
    "JAVA_OPTIONS",
    "QUIET",
    "VERSION",
    "WANTED_JAVA",
    "class_archive",
    "digest_lines",
    "find_gatk",
    "gatk_command",
    "install_gatk",
    "installed_jar",
    "jar_digest",
    "jar_version",
    "program_jar",
    "write_sample",
]

POM = Path(__file__).with_name("gatk-pom.xml")
DIGESTS = Path(__file__).with_name("gatk.sha256")
COPY = "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies"
WAYS_OUT = (
    *("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "MAVEN_OPTS", "MAVEN_ARGS"),
    *("SSL_CERT_FILE", "SSL_CERT_DIR"),
)
"""Variables that Maven needs behind a firewall; a proxy's address may hold a password."""

MAIN = "org.broadinstitute.hellbender.Main"
MANIFEST_LINE = 70
EPOCH = (1980, 1, 1, 0, 0, 0)


def install_gatk() -> Path:
    """Install GATK into the user's cache, unless it is there.

    Whoever looks sees all of it or nothing, whatever happens meanwhile.

    Returns
    -------
    Path
        The jar that starts it.

    Raises
    ------
    ToolMissing
        There is no Java or no Maven.
    ToolFailed
        Maven could not download it, or it does not run.
    ToolError
        What came is not what was tested.
    """
    java = _wanted("java", WANTED_JAVA)
    jar = installed_jar()
    if not jar.is_file():
        _install(jar.parent)
    _compare_installed(jar.parent)
    archive = class_archive(jar, java)
    if not archive.is_file():
        with _scratch(jar.parent, "archive") as work:
            _archive_classes(work, jar, archive)
    return jar


def maven_command(repository: Path, jars: Path, pom: Path) -> list[str | Path]:
    """``mvn`` that downloads, compares with the checksums of the repository, and copies the jars.

    Parameters
    ----------
    repository
        Directory for what Maven keeps.
    jars
        Directory for the jars.
    pom
        What to resolve.
    """
    quiet = ["--batch-mode", "--quiet", "--strict-checksums"]
    where = [f"-Dmaven.repo.local={repository}", f"-DoutputDirectory={jars}", "-DincludeScope=runtime"]
    return ["mvn", *quiet, "-f", pom, *where, COPY]


def _wanted(command: str, how: str) -> str:
    found = shutil.which(command, path=search_path())
    if found is None:
        raise ToolMissing(f"{command} is not on PATH; {how}")
    return found


def _install(target: Path) -> None:
    _wanted("mvn", "Maven gets GATK's jars: apt-get install maven")
    with _scratch(target.parent, "new") as work:
        made = work.directory("gatk")
        pom = work.file("pom.xml")  # Maven takes paths from where its pom lies
        pom.write_bytes(POM.read_bytes())
        work.run(maven_command(work.path / "repository", made / "lib", pom))
        _compare(digest_lines((made / "lib").glob("*.jar")), _expected())
        write_pathing_jar(made / "gatk.jar", sorted(path.name for path in (made / "lib").iterdir()))
        work.run(["java", *JAVA_OPTIONS, "-jar", made / "gatk.jar", "--version"])
        with contextlib.suppress(OSError):  # another process was faster
            made.rename(target)


@contextlib.contextmanager
def _scratch(parent: Path, name: str) -> Iterator[Workdir]:
    """A directory on the file system where the result goes."""
    import tempfile

    parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{name}-", dir=parent) as scratch:
        yield Workdir(scratch, secrets=WAYS_OUT)


def _compare_installed(folder: Path) -> None:
    """What was installed once is still what was tested: its folder lies where programs of the user may write."""
    try:
        _compare(digest_lines((folder / "lib").glob("*.jar")), _expected())
    except ToolError as error:
        error.add_note(f"it was installed before, in {folder}: remove that folder, and install it anew")
        raise


def _expected() -> list[str]:
    return DIGESTS.read_text("utf-8").splitlines(keepends=True)


def _compare(found: Sequence[str], expected: Sequence[str]) -> None:
    wrong = sorted({line.split()[1] for line in {*found} ^ {*expected}})
    if wrong:
        shown = ", ".join(wrong[:5]) + (f" and {len(wrong) - 5} more" if len(wrong) > 5 else "")
        raise ToolError(
            f"what Maven delivered is not the GATK {VERSION} that was tested: {shown} differ; nothing was installed. "
            "Try again, or take GATK's own release and name its jar in stargazer.gatk-jar"
        )


def write_pathing_jar(path: Path, names: Iterable[str]) -> None:
    """Write a jar of a manifest alone, which names the jars to run; the same bytes each time.

    Parameters
    ----------
    path
        Where to write it.
    names
        Jars in the folder ``lib`` beside it.
    """
    members = {
        "Manifest-Version": "1.0",
        "Main-Class": MAIN,
        "Implementation-Version": VERSION,
        "Multi-Release": "true",
        "Class-Path": " ".join(f"lib/{name}" for name in names),
    }
    text = "".join(map(_manifest_lines, members.items()))
    with zipfile.ZipFile(path, "w") as jar:
        jar.writestr(zipfile.ZipInfo("META-INF/MANIFEST.MF", EPOCH), f"{text}\r\n")


def _manifest_lines(member: tuple[str, str]) -> str:
    """One member of a manifest, whose lines may have 72 bytes; the next ones begin with a blank."""
    text = ": ".join(member)
    first, rest = text[:MANIFEST_LINE], text[MANIFEST_LINE:]
    step = MANIFEST_LINE - 1
    more = [f" {rest[at : at + step]}" for at in range(0, len(rest), step)]
    return "".join(f"{line}\r\n" for line in (first, *more))


def _archive_classes(work: Workdir, jar: Path, archive: Path) -> None:
    """Call variants of a few reads, which loads most classes, and keep them as Java has them in memory."""
    reference, reads = write_sample(work)
    bam, made = work.file("sample.bam"), work.file("classes.jsa")
    java = ("java", *JAVA_OPTIONS, *QUIET)
    work.run([*java, "-jar", jar, "SortSam", "-I", reads, "-O", bam, "-SO", "coordinate", "--CREATE_INDEX", "true"])
    caller = ["HaplotypeCaller", "-R", reference, "-I", bam, "-O", work.file("calls.g.vcf"), "-ERC", "GVCF"]
    work.run([*java, f"-XX:ArchiveClassesAtExit={made.name}", "-jar", jar, *map(str, caller)])
    made.replace(archive)


# GATK on this machine: where it is, what it is made of, how it is started.
#
# A start costs 4.6 CPU seconds when Java reads classes from 367 jars and compiles them with all its care. A class
# archive (application class-data sharing), the serial collector and, for steps of seconds, the first compiler alone
# make it 0.7.
#
# References
# ----------
# https://docs.oracle.com/en/java/javase/17/vm/class-data-sharing.html; https://gatk.broadinstitute.org


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


# A few made-up reads with one variant: enough for GATK to show that it runs.


LENGTH, READ, READS = 3000, 150, 300


def write_sample(work: Workdir) -> tuple[Path, Path]:
    """Write a FASTA with its index and dictionary, and a SAM of one sample sorted by coordinate.

    Parameters
    ----------
    work
        Where to write.

    Returns
    -------
    tuple of Path
        The FASTA and the SAM.
    """
    draw = random.Random(1)
    sequence = "".join(draw.choices("ACGT", k=LENGTH))
    other = "".join("ACGT"["CGTA".index(base)] if at == LENGTH // 2 else base for at, base in enumerate(sequence))
    fasta, sam = work.file("sample.fa"), work.file("sample.sam")
    fasta.write_text(f">c\n{sequence}\n")
    work.file("sample.fa.fai").write_text(f"c\t{LENGTH}\t3\t{LENGTH}\t{LENGTH + 1}\n")
    contig = f"@SQ\tSN:c\tLN:{LENGTH}\n"
    work.file("sample.dict").write_text(f"@HD\tVN:1.6\n{contig}")
    starts = sorted(draw.randrange(LENGTH - READ) for _ in range(READS))
    lines = [
        f"r{number}\t0\tc\t{start + 1}\t60\t{READ}M\t*\t0\t0\t{(sequence, other)[number % 2][start : start + READ]}"
        f"\t{'I' * READ}\tRG:Z:s\n"
        for number, start in enumerate(starts)
    ]
    sam.write_text(f"@HD\tVN:1.6\tSO:coordinate\n{contig}@RG\tID:s\tSM:s\tPL:ILLUMINA\n{''.join(lines)}")
    return fasta, sam
