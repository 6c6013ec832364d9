"""The beginning of a file in a form to read: text, VCF, the header of alignments, what an AnnData holds."""

from __future__ import annotations

import gzip
import json
import zlib
from importlib.util import find_spec
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

from stargazer.errors import ArgumentError, DataError
from stargazer.visible import visible

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from stargazer.assets import Asset
    from stargazer.store import Store

__all__ = ["Preview", "check_near", "preview"]

READ = 1 << 18
"""Bytes of a file, after decompression, that a preview may look at."""

LARGEST = 256 << 20
"""Bytes of a file that is elsewhere which are fetched to show its beginning."""

LONGEST_LINE = 400
LONGEST = 8_000
GZIP = b"\x1f\x8b"
HDF5 = b"\x89HDF\r\n\x1a\n"
ALIGNMENTS = (".bam", ".sam", ".cram")
VARIANTS = (".vcf", ".vcf.gz", ".vcf.bgz", ".bcf")
GROUPS = ("obs", "var", "obsm", "varm", "obsp", "layers", "uns", "raw")


class Preview(NamedTuple):
    """What can be seen of a file.

    Parameters
    ----------
    kind
        ``"text"``, ``"vcf"``, ``"alignment"``, ``"anndata"``, ``"directory"`` or ``"binary"``.
    text
        Lines for people.
    """

    kind: str
    text: str


def check_near(store: Store, asset: Asset) -> None:
    """Refuse what is large and elsewhere: to show its beginning all of it would be fetched.

    Raises
    ------
    ArgumentError
        It is.
    """
    if not store.url.startswith("file:") and (store.size(str(asset.cid)) or 0) > LARGEST:
        raise ArgumentError(f"{asset.name or asset.cid} is large and not on this machine: stargazer get brings it")


def preview(asset: Asset, lines: int = 20) -> Preview:
    """Return the beginning of an asset in a form to read, a few thousand characters at most.

    Parameters
    ----------
    asset
        A stored asset; its bytes are staged, not copied where that can be had.
    lines
        Records of a VCF, or lines of a text.

    Raises
    ------
    DataError
        It is not what its name or type says.
    """
    path = asset.fetch()
    kind, read = _reader(asset, path)
    try:
        text = "\n".join(visible(line[:LONGEST_LINE], lines=True) for line in read(path, lines))
    except (OSError, EOFError, ValueError, zlib.error, KeyError, TypeError, RuntimeError) as error:
        raise DataError(f"{asset.name or asset.cid} cannot be shown as {kind}: it is cut short or damaged") from error
    return Preview(kind, text if len(text) <= LONGEST else f"{text[:LONGEST]}\n…")


def _reader(asset: Asset, path: Path) -> tuple[str, Callable[[Path, int], Iterator[str]]]:
    name = path.name.lower()
    if path.is_dir():
        return ("anndata", _anndata) if asset.asset_key == "anndata" or _is_anndata(path) else ("directory", _listed)
    if _is_h5ad(path):
        return "anndata", _h5ad
    if name.endswith(ALIGNMENTS):
        return "alignment", _alignment
    if name.endswith(VARIANTS) and not name.endswith(".bcf"):
        return "vcf", _vcf
    return ("binary", _binary) if b"\0" in _head(path)[:4096] else ("text", _text)


def _head(path: Path) -> bytes:
    """The first bytes, decompressed where the file is gzip: never all of a large one."""
    with path.open("rb") as file:
        is_gzip = file.read(2) == GZIP
    if not is_gzip:
        with path.open("rb") as file:
            return file.read(READ)
    with gzip.open(path) as packed:
        return packed.read(READ)


def _text(path: Path, lines: int) -> Iterator[str]:
    found = _head(path)
    shown = found.decode("utf-8", "replace").splitlines()
    yield from shown[:lines]
    if len(shown) > lines or len(found) == READ:
        yield f"… (of {path.stat().st_size:,} bytes)"


def _binary(path: Path, lines: int) -> Iterator[str]:
    with path.open("rb") as file:
        first = file.read(32)
    yield f"{path.stat().st_size:,} bytes, beginning {first.hex(' ')}"


def _listed(path: Path, lines: int) -> Iterator[str]:
    files = sorted(each.relative_to(path).as_posix() for each in islice(path.rglob("*"), 10_000) if each.is_file())
    yield from files[:lines]
    if len(files) > lines:
        yield f"… ({len(files):,} files{' or more' if len(files) >= 9_000 else ''})"


def _vcf(path: Path, lines: int) -> Iterator[str]:
    rows = _head(path).decode("utf-8", "replace").splitlines()
    meta = [row for row in rows if row.startswith("##")]
    kinds = ("contig", "INFO", "FORMAT", "FILTER")
    counts = {kind: sum(row.startswith(f"##{kind}=") for row in meta) for kind in kinds}
    yield ", ".join(f"{count} {kind}" for kind, count in counts.items() if count) or "no header"
    heading = next((row for row in rows if row.startswith("#CHROM")), "")
    samples = heading.split("\t")[9:]
    yield f"{len(samples)} samples: {', '.join(samples[:10])}{' …' if len(samples) > 10 else ''}"
    records = [row for row in rows if row and not row.startswith("#")]
    yield from [heading, *records[:lines]]
    if len(records) > lines:
        yield "…"


def _alignment(path: Path, lines: int) -> Iterator[str]:
    import pysam

    kinds = {".bam": "rb", ".cram": "rc"}
    with pysam.AlignmentFile(str(path), kinds.get(path.suffix.lower(), "r"), check_sq=False) as file:
        header = str(file.header).splitlines()
    contigs = [row for row in header if row.startswith("@SQ")]
    yield f"{len(contigs)} contigs; {sum(row.startswith('@RG') for row in header)} read groups"
    yield from [row for row in header if not row.startswith("@SQ")][:lines]
    yield from contigs[:lines]
    if len(contigs) > lines:
        yield "…"


def _is_anndata(path: Path) -> bool:
    return (path / "obs").is_dir() and (path / "var").is_dir()


def _anndata(path: Path, lines: int) -> Iterator[str]:
    shapes = [f"{_length(path / 'obs')} cells", f"{_length(path / 'var')} genes"]
    yield " × ".join(shapes)
    for group in GROUPS:
        names = _children(path / group)
        if names:
            yield f"{group}: {', '.join(names[:40])}{' …' if len(names) > 40 else ''}"


def _is_h5ad(path: Path) -> bool:
    """Whether a file is an AnnData in HDF5, and there is what reads it."""
    with path.open("rb") as file:
        is_hdf5 = file.read(len(HDF5)) == HDF5
    if not is_hdf5 or find_spec("h5py") is None:
        return False
    import h5py

    try:
        with h5py.File(path, "r", locking=False) as opened:
            return all(_member(opened, name) is not None for name in ("obs", "var"))
    except (OSError, KeyError, RuntimeError):
        return False


def _h5ad(path: Path, lines: int) -> Iterator[str]:
    import h5py

    with h5py.File(path, "r", locking=False) as file:
        yield f"{_rows(_member(file, 'obs'))} cells × {_rows(_member(file, 'var'))} genes"
        for group in GROUPS:
            found = _member(file, group)
            names = sorted(name for name in found if not name.startswith("_")) if isinstance(found, h5py.Group) else []
            if names:
                yield f"{group}: {', '.join(names[:40])}{' …' if len(names) > 40 else ''}"


def _member(group: Any, name: str) -> Any:
    """A member that lies in the file itself; None of a link, which may lead to any file of this machine, or by one."""
    import h5py

    return group[name] if "/" not in name and isinstance(group.get(name, getlink=True), h5py.HardLink) else None


def _rows(table: Any) -> str:
    """Rows of a table in HDF5: the length of its index, or of itself as old files have it."""
    import h5py

    if isinstance(table, h5py.Dataset):
        return f"{table.shape[0]:,}" if table.shape else "?"
    index = table.attrs.get("_index", "_index")
    column = _member(table, index.decode() if isinstance(index, bytes) else str(index))
    return f"{column.shape[0]:,}" if isinstance(column, h5py.Dataset) and column.shape else "?"


def _children(path: Path) -> list[str]:
    hidden = ("zarr.json",)
    found = sorted(each.name for each in path.iterdir()) if path.is_dir() else []
    return [name for name in found if not name.startswith(".") and name not in hidden]


def _length(path: Path) -> str:
    """Rows of a table in a zarr: the length of its index."""
    index = str(_attributes(path).get("_index", "_index"))
    if "/" in index or index.startswith("."):
        return "?"
    for name, member in ((".zarray", "shape"), ("zarr.json", "shape")):
        found = _json(path / index / name).get(member)
        if isinstance(found, list) and found:
            return f"{int(found[0]):,}"
    return "?"


def _attributes(path: Path) -> dict[str, Any]:
    old, new = _json(path / ".zattrs"), _json(path / "zarr.json").get("attributes")
    return new if isinstance(new, dict) else old


def _json(path: Path) -> dict[str, Any]:
    if not path.is_file() or path.stat().st_size > READ:
        return {}
    found = json.loads(path.read_text("utf-8"))
    return found if isinstance(found, dict) else {}
