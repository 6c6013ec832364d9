"""Folders whose names are values of columns, as Hive writes them: ``year=2024/month=3/part.parquet``.

Names, values and types are those of ``pyarrow.dataset`` with ``partitioning="hive"``: whole numbers of 32 bits where
all folders have such, else texts, and NULL where a file lies in no folder of that name.

References
----------
Apache Arrow, https://arrow.apache.org/docs/python/dataset.html#reading-partitioned-data (Hive-style partitioning)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import unquote

from stargazer.errors import DataError
from stargazer.tables.arrow import arrow

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

__all__ = ["FolderValue", "check_agreement", "fields_of_folders", "folder_values", "in_folders", "with_values"]

NULL = "__HIVE_DEFAULT_PARTITION__"
WHOLE, TEXT = "int32", "string"


class FolderValue(NamedTuple):
    """What the folder of a file says of all its rows.

    Parameters
    ----------
    name
        Of the column.
    kind
        Its type, as Arrow names it.
    value
        None for NULL.
    """

    name: str
    kind: str
    value: int | str | None


def folder_values(files: Sequence[Path], place: Path) -> list[tuple[FolderValue, ...]]:
    """Return what the folders of files say, the same columns for each of them; none where no folder has such a name.

    Parameters
    ----------
    files
        In their order.
    place
        The folder that was asked for, of which the name says nothing.

    Raises
    ------
    DataError
        A folder says two things of one column, or no folder says any.
    """
    told = [_told(file, place) for file in files]
    names = dict.fromkeys(name for each in told for name in each)
    kinds = {name: _kind([each[name] for each in told if name in each], name, place) for name in names}
    return [tuple(_value(name, kind, each.get(name)) for name, kind in kinds.items()) for each in told]


def _told(file: Path, place: Path) -> dict[str, str | None]:
    """Texts of the folders in which a file lies, by the names of the columns."""
    found: dict[str, str | None] = {}
    for part in file.relative_to(place).parts[:-1]:
        name, sign, value = part.partition("=")
        name, value = _decoded(name, file), _decoded(value, file)
        if sign and not name:
            raise DataError(f"{file}: the folder {part!r} says the value of a column, and not its name")
        if sign and name in found:
            raise DataError(f"{file}: two of its folders say what {name} is")
        if sign:
            found[name] = None if value == NULL else value
    return found


def _decoded(text: str, file: Path) -> str:
    try:
        return unquote(text, errors="strict")
    except UnicodeDecodeError as error:
        raise DataError(f"{file}: the name of a folder is no text in UTF-8: {error}") from error


def _kind(texts: Sequence[str | None], name: str, place: Path) -> str:
    given = [text for text in dict.fromkeys(texts) if text is not None]
    if not given:
        raise DataError(f"{place}: no folder says what {name} is, all say {NULL}, so that it has no type")
    try:
        arrow().array(given).cast(WHOLE)
    except arrow().ArrowInvalid:
        return TEXT
    return WHOLE


def _value(name: str, kind: str, text: str | None) -> FolderValue:
    told = text if text is None or kind == TEXT else arrow().array([text]).cast(WHOLE)[0].as_py()  # it knows 0x10 too
    return FolderValue(name, kind, told)


def fields_of_folders(values: Sequence[FolderValue]) -> list[Any]:
    """The columns of Arrow that folders tell of."""
    return [arrow().field(each.name, each.kind) for each in values]


def in_folders(values: Sequence[FolderValue]) -> Any:
    """Return what holds of all rows of a file, as Arrow knows it; None where its folders say nothing."""
    found = None
    for each in values:
        field = arrow("compute").field(each.name)
        same = field.is_null() if each.value is None else field == arrow().scalar(each.value, each.kind)
        found = same if found is None else found & same
    return found


def check_agreement(about: Any, named: Mapping[str, FolderValue], path: str) -> None:
    """Refuse a file that has a column itself of which its folder says something else.

    Parameters
    ----------
    about
        The file's metadata.
    named
        What its folders say, by columns that the file has itself; NULL says nothing.
    path
        Of the file, for messages.

    Raises
    ------
    DataError
        By its statistics the column has other values, or it has none.
    """
    for group in range(about.num_row_groups if named else 0):
        row_group = about.row_group(group)
        columns = {(each := row_group.column(number)).path_in_schema: each for number in range(row_group.num_columns)}
        for name, said in named.items():
            if said.value is not None and not (name in columns and _agrees(columns[name], said.value)):
                raise DataError(
                    f"{path} lies in a folder that says {name}={said.value}, and has a column {name} with other values "
                    "(or without statistics): which of them counts cannot be told"
                )


def _agrees(column: Any, value: int | str) -> bool:
    about = column.statistics
    if about is None or not about.has_null_count or not about.has_min_max:
        return bool(column.num_values == 0)
    return not about.null_count and {str(about.min), str(about.max)} == {str(value)}


def with_values(table: Any, rows: int, values: Sequence[FolderValue]) -> Any:
    """Return a table with a column for each of its folders.

    Parameters
    ----------
    table
        What the file has, perhaps no columns.
    rows
        How many it has.
    values
        What its folders say.
    """
    pa = arrow()
    added = [pa.repeat(pa.scalar(each.value, each.kind), rows) for each in values]
    schema = pa.schema([*table.schema, *fields_of_folders(values)])
    return pa.Table.from_arrays([*table.columns, *added], schema=schema)
