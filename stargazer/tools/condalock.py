"""Lock files of conda: packages of an environment, each with its hash, beside the ``env.yml`` that asks for them."""

from __future__ import annotations

import functools
import hashlib
import os
import platform
import re
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import unquote, urlsplit

from stargazer.errors import DefinitionError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["Lock", "Package", "conda_platform", "read_lock"]

ARCHIVES = (".conda", ".tar.bz2")
HASHES = {32: "md5", 64: "sha256"}
SPEC = re.compile(r"(?:[\w./-]+::)?(?P<name>[\w.-]+)\s*(?P<rest>.*)")
BOUND = re.compile(r"(==|!=|>=|<=|~=|=|>|<)?\s*([\w.*+!-]+)")
HOW = (
    "make it with `conda-lock -k explicit -p {platform} -f {env}` or, in the environment itself, "
    "`micromamba env export --explicit --md5 > {lock}`"
)


class Package(NamedTuple):
    """A package of an environment.

    Parameters
    ----------
    name, version, build
        As in the name of its file.
    url
        Where it is got.
    digest
        MD5 or SHA-256 of its file.
    """

    name: str
    version: str
    build: str
    url: str
    digest: str


class Lock(NamedTuple):
    """The packages of an environment.

    Parameters
    ----------
    path
        Of the lock file.
    packages
        All of them, by name.
    """

    path: Path
    packages: tuple[Package, ...]

    @property
    def digest(self) -> str:
        """SHA-256 of what is installed: names, versions, builds and hashes, not where they come from."""
        lines = [f"{each.name} {each.version} {each.build} {each.digest}\n" for each in self.packages]
        return hashlib.sha256("".join(lines).encode()).hexdigest()

    def explicit(self) -> str:
        """The list that clients of conda install from."""
        return "\n".join(["@EXPLICIT", *(f"{each.url}#{each.digest}" for each in self.packages), ""])


def read_lock(env: Path) -> Lock:
    """Return the lock of an ``env.yml``, if it is one of the same environment.

    Raises
    ------
    DefinitionError
        There is none, it cannot be read, or it does not have what `env` asks for; the message says how to make one.
    """
    here = conda_platform()
    names = (f"{env.stem}.{here}.lock", f"{env.stem}.lock", f"conda-{here}.lock", f"{env.stem}.conda-lock.yml")
    for name in (*names, "conda-lock.yml"):
        path = env.with_name(name)
        if path.is_file() and env.is_file():
            return _read(env, path, _seen(env), _seen(path), here)
    if not env.is_file():
        raise DefinitionError(f"there is no {env}")
    how = HOW.format(platform=here, env=env.name, lock=names[1])
    raise DefinitionError(f"{env} has no lock file beside it ({', '.join(names)}, conda-lock.yml): {how}")


def _seen(path: Path) -> tuple[int, int, int]:
    found = os.stat(path)
    return found.st_ino, found.st_size, found.st_ctime_ns


@functools.lru_cache(maxsize=64)
def _read(env: Path, path: Path, env_seen: Any, path_seen: Any, here: str) -> Lock:
    text = path.read_text("utf-8")
    found = _of_conda_lock(path, text, here) if path.suffix == ".yml" else _explicit(path, text)
    lock = Lock(path, tuple(sorted(found)))
    if not lock.packages:
        raise DefinitionError(f"{path} names no package for {here}")
    if wrong := list(_misfits(env, lock)):
        how = HOW.format(platform=here, env=env.name, lock=path.name)
        raise DefinitionError(f"{path} does not fit {env}: {'; '.join(wrong)}: {how}")
    return lock


def _explicit(path: Path, text: str) -> Iterator[Package]:
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.strip().startswith("#")]
    if "@EXPLICIT" not in lines:
        raise DefinitionError(f"{path} is no explicit list of packages: it has no line @EXPLICIT")
    for line in lines:
        if line != "@EXPLICIT":
            url, _, digest = line.partition("#")
            yield _package(path, url, digest.removeprefix("sha256:"))


def _package(path: Path, url: str, digest: str) -> Package:
    file = unquote(urlsplit(url).path).rpartition("/")[2]
    stem = next((file.removesuffix(end) for end in ARCHIVES if file.endswith(end)), "")
    if stem.count("-") < 2:
        raise DefinitionError(f"{path}: {url} is no package of conda")
    if len(digest) not in HASHES or not re.fullmatch("[0-9a-f]+", digest):
        raise DefinitionError(f"{path}: {file} has no hash, so that it may be anything; export with --md5")
    name, version, build = stem.rsplit("-", 2)
    return Package(name, version, build, url, digest)


def _of_conda_lock(path: Path, text: str, here: str) -> Iterator[Package]:
    import yaml

    try:
        entries = yaml.safe_load(text)["package"]
        mine = [each for each in entries if each["platform"] == here]
        foreign = sorted(str(each["name"]) for each in mine if each["manager"] != "conda")
        told = [(str(each["url"]), each["hash"]) for each in mine if each["manager"] == "conda"]
        hashes = [str(each.get("md5") or each.get("sha256") or "") for _, each in told]
    except (yaml.YAMLError, KeyError, TypeError, AttributeError):
        raise DefinitionError(f"{path} is no lock file of conda-lock") from None
    if foreign:
        raise DefinitionError(f"{path}: {', '.join(foreign)} come from pip; have them from conda, or in a container")
    for (url, _), digest in zip(told, hashes, strict=True):
        yield _package(path, url, digest)


# Whether a lock has what is asked for.


def _misfits(env: Path, lock: Lock) -> Iterator[str]:
    """What an ``env.yml`` asks for that the lock does not have."""
    versions = {each.name.lower(): each for each in lock.packages}
    for spec in _asked(env):
        found = SPEC.fullmatch(spec)
        if found is None:
            yield f"{spec!r} cannot be understood"
            continue
        name, rest = found["name"].lower(), found["rest"].strip()
        package = versions.get(name)
        if package is None:
            yield f"{name} is not in it"
        elif not _satisfies(package, rest):
            yield f"it has {name} {package.version}, and not {rest}"


def _asked(env: Path) -> list[str]:
    import yaml

    try:
        asked = yaml.safe_load(env.read_text("utf-8"))["dependencies"]
    except (yaml.YAMLError, KeyError, TypeError, OSError) as error:
        raise DefinitionError(f"{env} is no environment of conda: it lists no dependencies ({error})") from None
    if not isinstance(asked, list) or not all(isinstance(each, str) for each in asked):
        raise DefinitionError(f"{env}: dependencies must be a list of names; have those of pip from conda")
    return [each.split("[")[0].strip() for each in asked]


def _satisfies(package: Package, rest: str) -> bool:
    """Whether a package has the version and build that are asked for: ``=1.2``, ``>=1,<2``, ``=1.2=h1_0``."""
    parts = rest.split()
    if not rest or rest == "*":
        return True
    if len(parts) == 1 and (exact := re.fullmatch(r"=?([\w.*+!-]+)=([\w.*-]+)", rest)):
        parts = [f"={exact[1]}", exact[2]]
    if len(parts) == 2 and not any(sign in parts[1] for sign in "<>=!,"):
        return _satisfies(package, parts[0]) and _matches(package.build, parts[1])
    return any(all(_holds(package.version, each) for each in choice.split(",")) for choice in rest.split("|"))


def _holds(version: str, bound: str) -> bool:
    from packaging.version import InvalidVersion, Version

    found = BOUND.fullmatch(bound.strip())
    if found is None:
        return False
    sign, wanted = found[1] or "==", found[2]
    if sign == "=" or "*" in wanted:
        same = _matches(version, wanted) or version.startswith(f"{wanted.rstrip('.*')}.")
        return same if sign != "!=" else not same
    try:
        have, want = Version(version), Version(wanted)
    except InvalidVersion:
        return version == wanted if sign == "==" else sign == "!=" and version != wanted
    same_release = have.release[: len(want.release) - 1] == want.release[:-1]
    return {
        "==": have == want, "!=": have != want, ">=": have >= want, "<=": have <= want, ">": have > want,
        "<": have < want, "~=": have >= want and same_release,
    }[sign]  # fmt: skip


def _matches(text: str, pattern: str) -> bool:
    return re.fullmatch(re.escape(pattern).replace(r"\*", ".*"), text) is not None


def conda_platform() -> str:
    """Name that conda has for what this machine is."""
    system = {"Linux": "linux", "Darwin": "osx"}.get(platform.system(), platform.system().lower())
    machine = {"x86_64": "64", "AMD64": "64", "aarch64": "aarch64" if system == "linux" else "arm64"}
    return f"{system}-{machine.get(platform.machine(), platform.machine())}"
