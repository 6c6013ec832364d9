"""Install GATK from Maven Central: its jars, one jar that starts them, and an archive of its classes.

The pom leaves out what GATK does not need and Maven Central does not have, and pins what it would get wrong. What is
downloaded must be the very jars that were tested: their digests come with the package.
"""

from __future__ import annotations

import contextlib
import shutil
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

from stargazer.config import search_path
from stargazer.errors import ToolError, ToolMissing
from stargazer.tool.gatk import JAVA_OPTIONS, QUIET, VERSION, WANTED_JAVA, class_archive, digest_lines, installed_jar
from stargazer.tool.selftest import write_sample
from stargazer.workdir import Workdir

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

__all__ = ["install_gatk"]

POM = Path(__file__).with_name("gatk-pom.xml")
DIGESTS = Path(__file__).with_name("gatk.sha256")
COPY = "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies"
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
        _compare(digest_lines((made / "lib").glob("*.jar")), DIGESTS.read_text("utf-8").splitlines(keepends=True))
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
        yield Workdir(scratch)


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
