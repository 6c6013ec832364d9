"""References by name: where a build is published, and the MD5s of its sequences, which what is fetched must have.

A build is a YAML file: of the package (`references/`), or of the folder that the setting ``stargazer.references``
names. No bytes of a genome come with the package.
"""

from __future__ import annotations

import hashlib
import json
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from stargazer.assets import Reference
from stargazer.bounded import parse_yaml, read_text
from stargazer.config import cache_dir, setting
from stargazer.errors import DataError
from stargazer.store import active_store
from stargazer.workflows.sheet_files import local_copy

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["Build", "build_names", "find_build"]

LARGEST = 1 << 20
WANTED = ("build", "fasta", "sequences", "source")


class Build(NamedTuple):
    """A reference as it is published.

    Parameters
    ----------
    name
        Name of the assembly.
    fasta
        URL of the FASTA, compressed or not.
    sequences
        Length and MD5 of sequences by name, as a SAM header has them (in upper case).
    source
        Where the MD5s are from.
    known_sites
        URL of VCFs of known variants by the name of the resource.
    """

    name: str
    fasta: str
    sequences: Mapping[str, tuple[int, str]]
    source: str
    known_sites: Mapping[str, str]

    def fetch_reference(self) -> Reference:
        """The FASTA in the active store; it is fetched and checked where no CID of it is noted yet, then that is noted.

        Raises
        ------
        DataError
            It cannot be fetched, or a sequence is not the one that was published.
        """
        store = active_store()
        noted = cache_dir() / "references" / f"{self.name}.json"
        if noted.is_file():
            cid = json.loads(noted.read_text("utf-8"))["cid"]
            if store.has(cid):
                return Reference(cid=cid, name=self.file_name, build=self.name)
        path = local_copy(self.fasta)
        self.check(path)
        added: Any = store.add(path, Reference(build=self.name))
        noted.parent.mkdir(parents=True, exist_ok=True)
        noted.write_text(json.dumps({"cid": added.cid, "url": self.fasta}) + "\n", "utf-8")
        return added  # type: ignore[no-any-return]

    @property
    def file_name(self) -> str:
        """Name of the file at its URL."""
        return self.fasta.rpartition("/")[2]

    def check(self, fasta: Path) -> None:
        """Refuse a FASTA that has not the sequences that were published; errors as of `fetch_reference`."""
        found = dict(_sequences(fasta))
        wrong = [name for name, told in self.sequences.items() if found.get(name) != told]
        if wrong:
            name = wrong[0]
            told = f"length and MD5 {self.sequences[name]}, found {found.get(name, 'no such sequence')}"
            raise DataError(f"{fasta.name} is not {self.name} as published ({self.source}): {name} has {told}")


def _sequences(fasta: Path) -> Iterator[tuple[str, tuple[int, str]]]:
    """Name, length and MD5 of each sequence, in upper case."""
    import gzip

    with fasta.open("rb") as raw:
        packed = raw.read(2) == b"\x1f\x8b"
    name, length, digest = "", 0, hashlib.md5(usedforsecurity=False)
    with gzip.open(fasta, "rb") if packed else fasta.open("rb") as lines:
        for line in lines:
            if line.startswith(b">"):
                if name:
                    yield name, (length, digest.hexdigest())
                name, length, digest = line[1:].split()[0].decode(), 0, hashlib.md5(usedforsecurity=False)
            else:
                bases = line.strip().upper()
                length += len(bases)
                digest.update(bases)
    if name:
        yield name, (length, digest.hexdigest())


def build_names() -> list[str]:
    """Builds that are known by name."""
    return sorted(path.name.removesuffix(".yaml") for path in _files())


def find_build(name: str) -> Build | None:
    """The build of that name, whatever its case; None where there is none.

    Raises
    ------
    DataError
        Its file is malformed.
    """
    for path in _files():
        if path.name.removesuffix(".yaml").casefold() == name.casefold():
            return _read(path)
    return None


def _files() -> Iterator[Any]:
    """Files of builds, those of the user first."""
    own = setting("references", str)
    if own:
        yield from sorted(Path(own).expanduser().glob("*.yaml"))
    yield from (
        one
        for one in resources.files("stargazer.workflows").joinpath("references").iterdir()
        if one.name.endswith(".yaml")
    )


def _read(path: Any) -> Build:
    text = read_text(path, LARGEST) if isinstance(path, Path) else path.read_text("utf-8")
    told = parse_yaml(text, path.name)
    if not isinstance(told, dict) or any(name not in told for name in WANTED):
        raise DataError(f"{path.name} is no build: it has {', '.join(WANTED)}, and known_sites where there are some")
    try:
        sequences = {str(name): (int(length), str(md5)) for name, (length, md5) in told["sequences"].items()}
    except (TypeError, ValueError, AttributeError) as error:
        raise DataError(f"{path.name}: sequences are NAME: [LENGTH, MD5]") from error
    sites = {str(name): str(url) for name, url in (told.get("known_sites") or {}).items()}
    return Build(str(told["build"]), str(told["fasta"]), sequences, str(told["source"]), sites)
