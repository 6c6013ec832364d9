"""The test that a promoted task begins with: a call that is on record, made once more with small files beside it."""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING, Any, NamedTuple

from stargazer.assets import Asset
from stargazer.ledger import Ledger
from stargazer.ledger.record import walk_assets

if TYPE_CHECKING:
    from stargazer.ledger import Record
    from stargazer.notebook.promotion.module import Place
    from stargazer.notebook.promotion.reach import Reach
    from stargazer.store import Store

__all__ = ["LARGEST", "Sample", "write_sample"]

LARGEST = 1 << 20
"""Bytes of all inputs of a call above which they are no files for a folder of tests."""


class Sample(NamedTuple):
    """A test, and the files that it reads.

    Parameters
    ----------
    text
        Of the test's file.
    files
        Contents of files by path, relative to the test's folder.
    record
        Id of the record that it repeats; empty where none could be taken.
    """

    text: str
    files: dict[str, bytes]
    record: str = ""


def write_sample(reach: Reach, place: Place, code: str, store: Store) -> Sample:
    """Write a test of a task: of a call that is on record, or one that says what is missing.

    Parameters
    ----------
    reach, place
        The task, and the module that it is in now.
    code
        Digest of its code: only calls of it count.
    store
        Where calls are looked for.
    """
    ledger = Ledger(store.records)
    for record in ledger.newest(reach.task, 50):
        if record.code == code and (found := _repeated(reach, place, ledger, record, store)) is not None:
            return found
    return Sample(_without_example(reach, place), {})


def _repeated(reach: Reach, place: Place, ledger: Ledger, record: Record, store: Store) -> Sample | None:
    """A test that makes a recorded call once more; None where it is too large, or holds what no test can write."""
    files: dict[str, bytes] = {}
    classes: set[str] = set()
    arguments = []
    for identifiers in record.inputs.values():
        text = _argument(identifiers, reach, store, files, classes)
        if text is None:
            return None
        arguments.append(text)
    if not all(value is None or isinstance(value, (bool, int, float, str)) for value in record.parameters.values()):
        return None
    arguments += [f"{name}={_quoted(value)}" for name, value in record.parameters.items()]
    if sum(map(len, files.values())) > LARGEST:
        return None
    expected, made = _expected(ledger.results(record))
    names = ", ".join(sorted({reach.task, *classes}))
    data = f'\nDATA = Path(__file__).parent / "data" / "{reach.task}"\n' if files else ""
    head = (
        f'"""Tests of the task {reach.task}."""\n\nfrom pathlib import Path\n\nimport stargazer as sg\n'
        f"from {place.module} import {names}\n{data}"
    )
    body = (
        f"\n\ndef test_{reach.task}_gives_what_it_gave(tmp_path: Path) -> None:\n"
        f'    with sg.Store(tmp_path / "store"):\n'
        f"        made = {reach.task}({', '.join(arguments)}).compute()\n"
        f"    assert {made} == {expected}\n"
    )
    return Sample(head + body, files, record.id)


def _argument(identifiers: Any, reach: Reach, store: Store, files: dict[str, bytes], classes: set[str]) -> str | None:
    """What a test writes for an input: a file beside it that is added."""
    if identifiers is None:
        return "None"
    if isinstance(identifiers, list):
        items = [_argument(each, reach, store, files, classes) for each in identifiers]
        return None if None in items else f"[{', '.join(map(str, items))}]"
    if isinstance(identifiers, dict):
        found = {name: _argument(each, reach, store, files, classes) for name, each in identifiers.items()}
        return None if None in found.values() else "{" + ", ".join(f"{k!r}: {v}" for k, v in found.items()) + "}"
    asset = store.get(identifiers)
    kind = _class_of(asset, reach, classes)
    if kind is None or asset.companions or store.is_directory(str(asset.cid)):
        return None
    size = store.size(str(asset.cid))
    if size is None or size > LARGEST:
        return None
    facts = {name: value for name, value in asset.declared.items() if value is not None}
    if not all(isinstance(value, (bool, int, float, str)) for value in facts.values()):
        return None
    name = asset.name or f"{len(files)}.dat"
    if files.setdefault(f"data/{reach.task}/{name}", content := store.read(str(asset.cid))) != content:
        return None
    given = ", ".join(f"{fact}={_quoted(value)}" for fact, value in sorted(facts.items()))
    return f"sg.add(DATA / {_quoted(name)}, {kind}({given}))"


def _quoted(value: Any) -> str:
    """A value as code, with the quotes that formatters want."""
    text = repr(value)
    return f'"{text[1:-1]}"' if text.startswith("'") and '"' not in text else text


def _class_of(asset: Asset, reach: Reach, classes: set[str]) -> str | None:
    """How a test names a type: stargazer's own, or one that came along with the task."""
    import stargazer

    name = type(asset).__name__
    if getattr(stargazer, name, None) is type(asset):
        return f"sg.{name}"
    if name in reach.names:
        classes.add(name)
        return name
    return None


def _expected(result: Any) -> tuple[str, str]:
    """What a test compares: CIDs of files, and plain values as they are."""
    if isinstance(result, Asset):
        return f'"{result.cid}"', "made.cid"
    assets = list(walk_assets(result))
    if not assets:
        return repr(result), "made"
    items = list(result.values()) if isinstance(result, dict) else list(result)
    if all(isinstance(item, Asset) for item in items):
        cids = ", ".join(f'"{item.cid}"' for item in items)
        return f"[{cids}]", f"[each.cid for each in {'made.values()' if isinstance(result, dict) else 'made'}]"
    return f"{len(items)}", "len(made)"


def _without_example(reach: Reach, place: Place) -> str:
    """A test of what is declared, and one that waits for an input."""
    node = reach.definition
    arguments = [arg.arg for arg in node.args.args[1:]]
    plain = [arg.arg for arg in node.args.kwonlyargs]
    drafts = "".join(
        f'    {name} = {_type(arg)}(path=tmp_path / "{name}.txt")  # write the file, and give its facts\n'
        for name, arg in zip(arguments, node.args.args[1:], strict=True)
    )
    given = ", ".join([*arguments, *(f"{name}=..." for name in plain if _is_required(node, name))])
    head = '"""Tests of the task {0}."""\n\nfrom pathlib import Path\n\nimport pytest\nimport stargazer as sg\n'
    return (
        f"{head.format(reach.task)}from {place.module} import {reach.task}\n\n\n"
        f"def test_{reach.task}_takes_what_it_did() -> None:\n"
        f"    assert {reach.task}.positional == {_tuple(arguments)}\n"
        f"    assert [each.name for each in {reach.task}.signature.plains] == {_list(plain)}\n\n\n"
        f"def test_{reach.task}(tmp_path: Path) -> None:\n"
        f'    pytest.skip("no call of it is on record that is small enough to repeat: give it an input")\n'
        f"{drafts}"
        f'    made = {reach.task}.body(sg.Workdir(tmp_path / "work"), {given})\n'
        f'    assert made.path.read_text() == "what it should be"\n'
    )


def _type(argument: ast.arg) -> str:
    """A type that a test can make a draft of; any asset where it is not that plain."""
    text = ast.unparse(argument.annotation) if argument.annotation is not None else ""
    return text if re.fullmatch(r"sg\.\w+", text) else "sg.Asset"


def _is_required(node: ast.FunctionDef, name: str) -> bool:
    names = [arg.arg for arg in node.args.kwonlyargs]
    return node.args.kw_defaults[names.index(name)] is None


def _tuple(names: list[str]) -> str:
    quoted = ", ".join(f'"{name}"' for name in names)
    return f"({quoted},)" if len(names) == 1 else f"({quoted})"


def _list(names: list[str]) -> str:
    return "[" + ", ".join(f'"{name}"' for name in names) + "]"
