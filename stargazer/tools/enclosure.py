"""Run tools in the environment that their task names: by Apptainer, Singularity, bubblewrap, Podman, or from conda.

What a tool sees of this machine is the scratch directory, and what the inputs in there link to, to be read only; it has
no network. Programs that hand the work to a daemon are not used: nothing would end the tools of a cancelled call.
"""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from stargazer import config
from stargazer.errors import StargazerError, ToolError, ToolMissing
from stargazer.tools.environments import Environment, built_places, environments_in, read_environment
from stargazer.tools.identity import identify_tool, locate_tool

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager

    from stargazer.tools.noted import ToolIdentity

__all__ = ["Enclosure", "build", "build_all", "enclosed", "runtime_of", "unready"]

RUNTIMES = {
    "image": ("apptainer", "singularity", "podman"),
    "sif": ("apptainer", "singularity"),
    "folder": ("apptainer", "singularity", "bwrap", "podman"),
    "conda": ("micromamba", "mamba", "conda"),
}
"""What runs which kind of environment; the first that is here does."""

OF_RUNTIMES = (
    *("XDG_RUNTIME_DIR", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "CONTAINERS_CONF", "CONTAINERS_STORAGE_CONF"),
    *(f"{name}_{place}" for name in ("APPTAINER", "SINGULARITY") for place in ("TMPDIR", "CACHEDIR", "CONFIGDIR")),
)
"""Variables by which programs that run containers find what they keep, and how they are to run here."""
PACKAGES = {"apptainer": "apptainer", "bwrap": "bubblewrap", "podman": "podman", "micromamba": "micromamba"}
"""What brings the first of them, in most systems."""

INSIDE = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
"""Where programs are looked for in a folder, which says nothing of that itself."""

HOST = "stargazer"
"""Name of the machine that tools see: one for all, so that none gets into results."""

HINT = "(with the file of the task, where the catalog does not have it)"
"""What to build: the command alone takes what tasks of the catalog name."""

TOKEN = ("STARGAZER_OWNER", "TMPDIR")
"""Variables that the start of a tool sets, which must reach it."""


@dataclass(frozen=True)
class Enclosure:
    """An environment with the program that runs tools in it here.

    Parameters
    ----------
    environment
        What it is.
    digest
        As it counts.
    runtime, program, version
        Name, path and version of the program.
    """

    environment: Environment
    digest: str
    runtime: str
    program: str
    version: str

    def holds(self, command: Sequence[object]) -> bool:
        """Whether a command runs inside: all but ``python``, which is the interpreter that runs the body."""
        return str(command[0]) != "python"

    def has(self, program: str) -> bool:
        """Whether a program belongs to the environment, so that its digest tells which one it is."""
        if self.environment.kind != "conda":
            return True
        if os.sep in program:
            return os.path.abspath(program).startswith(f"{self.place}{os.sep}")
        return shutil.which(program, path=str(self.place / "bin")) is not None

    def told(self) -> dict[str, str]:
        """What records say of it."""
        runtime = f"{self.runtime} {self.version}"
        kind, source = self.environment
        return {"kind": kind, "source": source, "digest": f"sha256:{self.digest}", "runtime": runtime}

    @property
    def place(self) -> Path:
        """Where it lies, if it was built; else the folder or file itself."""
        if self.environment.kind in ("folder", "sif"):
            return Path(self.environment.source)
        return _place(self.environment, self.digest)

    @property
    def is_beside(self) -> bool:
        """Whether tools are no children of the process that is started for them."""
        return self.runtime == "podman"

    @property
    def tells_as_shells(self) -> bool:
        """Whether a tool that a signal ended has an exit code above 128."""
        return self.environment.kind != "conda"

    @property
    def again(self) -> str:
        """What names of variables begin with that the runtime hands on."""
        return f"{self.runtime.upper()}ENV_" if self.runtime in ("apptainer", "singularity") else ""

    def environ(self, passed: Mapping[str, str]) -> dict[str, str]:
        """Return the environment of the process that is started.

        Parameters
        ----------
        passed
            What tools get that do not run on the machine itself.
        """
        env = config.environment(None, OF_RUNTIMES)
        if self.environment.kind == "conda":
            homes = {name: env[name] for name in config.HOMES if name in env}
            path = f"{self.place / 'bin'}{os.pathsep}{env.get('PATH', os.defpath)}"
            return {**homes, **passed, "PATH": path, "CONDA_PREFIX": str(self.place)}
        if self.runtime == "bwrap":
            return {**passed, "PATH": INSIDE, "HOME": "/tmp"}
        # The image says itself where its programs are.
        if self.again:
            return env | {f"{self.again}{name}": value for name, value in passed.items()}
        return {**env, **passed}

    def command(self, argv: Sequence[str], work: Path, reads: Sequence[str], env: Mapping[str, str]) -> list[str]:
        """Return the command that runs `argv` inside.

        Parameters
        ----------
        argv
            What runs there.
        work
            The scratch directory, which is written to, under the same path.
        reads
            Paths that are shown besides.
        env
            Variables that the tool gets.
        """
        if self.environment.kind == "conda":
            return [*argv]
        makers = {"bwrap": self._bubblewrap, "podman": self._podman}
        return makers.get(self.runtime, self._apptainer)(argv, str(work), reads, env)

    def _bubblewrap(self, argv: Sequence[str], work: str, reads: Sequence[str], env: Mapping[str, str]) -> list[str]:
        shown = [word for path in reads for word in ("--ro-bind", path, path)]
        return [
            self.program, "--unshare-net", "--unshare-pid", "--unshare-ipc", "--unshare-uts", "--hostname", HOST,
            "--cap-drop", "ALL", "--die-with-parent", *_opened(str(self.place), [work, *reads]),
            "--dev", "/dev", "--proc", "/proc", "--perms", "1777", "--tmpfs", "/tmp", "--tmpfs", "/run",
            *shown, "--bind", work, work, "--remount-ro", "/", "--chdir", work, "--", *argv,
        ]  # fmt: skip

    def _apptainer(self, argv: Sequence[str], work: str, reads: Sequence[str], env: Mapping[str, str]) -> list[str]:
        if odd := next((path for path in (work, *reads) if set(path) & {",", ":", '"'}), None):
            raise ToolMissing(f"{self.runtime} cannot show {odd} to a container: its path has a comma, colon or quote")
        binds = [word for path in reads for word in ("--bind", f"{path}:{path}:ro")]
        return [
            self.program, "--silent", "exec", "--containall", "--no-home", "--net", "--network", "none",
            "--bind", f"{work}:{work}", *binds, "--pwd", work, str(self.place), *argv,
        ]  # fmt: skip

    def _podman(self, argv: Sequence[str], work: str, reads: Sequence[str], env: Mapping[str, str]) -> list[str]:
        if odd := next((path for path in (work, *reads) if ":" in path), None):
            raise ToolMissing(f"podman cannot show {odd} to a container: its path has a colon")
        binds = [word for path in reads for word in ("--volume", f"{path}:{path}:ro")]
        # By name alone: values of secrets must not stand among the arguments, which everybody sees.
        named = [word for name in (*env, *TOKEN) for word in ("--env", name)]
        image = ["--rootfs", f"{self.place}:O"] if self.environment.kind == "folder" else ["--pull", "never"]
        whole = [] if self.environment.kind == "folder" else [self.environment.source]
        return [
            self.program, "run", "--rm", "--interactive", "--network", "none", "--hostname", HOST, "--user", "0:0",
            "--security-opt", "label=disable", "--volume", f"{work}:{work}", *binds, "--workdir", work, *named,
            "--env", "HOME=/tmp", "--entrypoint", json.dumps([argv[0]]), *image, *whole, *argv[1:],
        ]  # fmt: skip


def _opened(root: str, points: Sequence[str], place: str = "/") -> Iterator[str]:
    """Show each folder of a system, and open those in which something else must be shown."""
    for name in sorted(os.listdir(os.path.join(root, place.lstrip("/")))):
        inside, outside = os.path.join(place, name), os.path.join(root, place.lstrip("/"), name)
        if inside in ("/dev", "/proc", "/run", "/sys", "/tmp") or inside in points:
            continue
        is_on_way = any(point.startswith(f"{inside}/") for point in points)
        if os.path.islink(outside):
            if not is_on_way:
                yield from ("--symlink", os.readlink(outside), inside)
        elif is_on_way:
            yield from ("--dir", inside)
            yield from _opened(root, points, inside)
        else:
            yield from ("--ro-bind", outside, inside)


# What is here.


def enclosed(tools: tuple[ToolIdentity, ...]) -> Enclosure | None:
    """Return the environment among the tools of a task as it is here; None where tools run on the machine itself.

    Raises
    ------
    ToolMissing
        Nothing here runs it, or it was not built; the message says what to do.
    """
    for environment, tool in environments_in(tools):
        made = _here(environment, tool.digest)
        _check_built(made)
        return made
    return None


def _here(environment: Environment, digest: str) -> Enclosure:
    runtime, program = runtime_of(environment)
    return Enclosure(environment, digest, runtime, program, identify_tool(runtime).version)


def runtime_of(environment: Environment) -> tuple[str, str]:
    """Return name and path of the program that runs an environment here.

    Raises
    ------
    ToolMissing
        None does.
    """
    names = RUNTIMES[environment.kind]
    chosen = config.container_runtime()
    if chosen and environment.kind != "conda":
        if chosen not in names:
            raise ToolMissing(
                f"stargazer.container-runtime is {chosen}, which cannot run {environment.source}; "
                f"{' or '.join(names)} can"
            )
        names = (chosen,)
    for name in names:
        try:
            return name, locate_tool(name)
        except ToolMissing:
            continue
    usual = "bwrap" if "bwrap" in names else names[0]
    package = PACKAGES.get(usual, usual)
    if len(names) == 1:
        raise ToolMissing(f"{names[0]} is not on PATH, which is to run {environment.source}; install {package}")
    raise ToolMissing(f"none of {', '.join(names)} is on PATH, which run {environment.source}; install {package}")


def _place(environment: Environment, digest: str) -> Path:
    place = built_places(digest)
    return place.with_name(f"{digest}.sif") if environment.kind == "image" else place


def _check_built(made: Enclosure) -> None:
    if not _is_built(made):
        raise ToolMissing(f"{made.environment.source} was not built here: stargazer tools build {HINT}")


def _is_built(made: Enclosure) -> bool:
    if made.environment.kind in ("folder", "sif"):
        return True
    if made.environment.kind == "conda":
        from stargazer.tools.building import BUILT

        return (made.place / BUILT).is_file()
    if made.runtime == "podman":
        return _has_image(made.program, made.environment.source)
    return made.place.is_file()


_images: set[tuple[str, str]] = set()


def _has_image(program: str, image: str) -> bool:
    from stargazer.tools.building import has_image

    if (program, image) not in _images and has_image(program, image):
        _images.add((program, image))
    return (program, image) in _images


def unready(names: Iterable[str]) -> dict[str, str]:
    """Return why environments cannot be used in this process, by name; empty where all can."""
    found: dict[str, str] = {}
    for name in names:
        try:
            enclosed((identify_tool(name),))
        except ToolMissing as error:
            found[name] = str(error)
    return found


# Making them.


def build(name: str) -> Enclosure:
    """Make an environment that is not here yet; return it.

    Raises
    ------
    ToolMissing
        Nothing here can make it.
    ToolFailed
        What makes it failed, as where the registry is not reached.
    """
    from stargazer.tools.building import built

    environment = read_environment(name)
    assert environment is not None
    made = _here(environment, identify_tool(name).digest)
    if not _is_built(made):
        built(made)
        _check_built(made)
    return made


def build_all(names: Iterable[str], telling: Callable[[str], AbstractContextManager[object]]) -> None:
    """Make environments that are not here yet; one that cannot be made keeps none of the others from it.

    Parameters
    ----------
    names
        As among the tools of tasks.
    telling
        Says of which one it is, while it is made.

    Raises
    ------
    ToolError
        What went wrong, of all of them.
    DefinitionError
        The one that is wrong has no lock file that fits.
    """
    failed: list[StargazerError] = []
    for name in names:
        try:
            with telling(name):
                build(name)
        except StargazerError as error:
            failed.append(error)
    if len(failed) > 1:
        raise ToolError("\n".join(map(str, failed)))
    if failed:
        raise failed[0]
