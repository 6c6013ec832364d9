"""Change one place in real packages, as somebody's own code: ``python edits.py FIRST END FOLDER`` prints what happened.

Each edit has a seed, and runs in a process of its own: was the result another one, and was the digest?
"""

from __future__ import annotations

import ast
import importlib
import importlib.util
import json
import os
import random
import re
import resource
import signal
import sys
import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from stargazer.fingerprint import identify

PACKAGES = {
    "sortedcontainers": """
from own_sortedcontainers import SortedDict, SortedKeyList, SortedList, SortedSet
def body(work):
    xs = SortedList([3, 1, 2, 5]); xs.add(4); xs.discard(1); ys = SortedKeyList([3, 1, 2], key=lambda x: -x)
    d = SortedDict({'b': 1, 'a': 2}); d['c'] = 3; s = SortedSet([1, 2, 2]) | SortedSet([7])
    return (list(xs), xs.bisect(3), xs.index(3), list(xs.irange(2, 4)), list(ys), list(d.items()), d.peekitem(), d.popitem(0),
            list(s), s & [1, 7], repr(s), xs[1:3], xs.count(2), list(reversed(xs)), d.keys()[0])
""",
    "toolz": """
from own_toolz import compose, concat, countby, curry, frequencies, groupby, juxt, memoize, merge, partition, pipe, sliding_window
from own_toolz import assoc, dissoc, get_in, interleave, keyfilter, merge_with, nth, reduceby, take, unique, update_in, valmap
def body(work):
    add = curry(lambda x, y: x + y)
    return (pipe(3, add(1), str), compose(len, str)(1234), list(concat([[1], [2]])), countby(len, ['a', 'bb']), frequencies('aab'),
            groupby(len, ['a', 'bb']), juxt(min, max)([1, 2]), merge({1: 2}, {3: 4}), list(partition(2, [1, 2, 3, 4])),
            list(sliding_window(2, [1, 2, 3])), assoc({}, 'a', 1), dissoc({'a': 1}, 'a'), get_in(['a', 0], {'a': [5]}),
            list(interleave([[1, 2], [3, 4]])), keyfilter(bool, {0: 1, 1: 2}), merge_with(sum, {1: 1}, {1: 2}), nth(1, 'abc'),
            reduceby(len, lambda a, b: a + b, ['a', 'bb'], ''), list(take(2, 'abc')), list(unique('aab')),
            update_in({'a': 1}, ['a'], str), valmap(str, {1: 2}), memoize(len)('abc'))
""",
    "packaging": """
from own_packaging.requirements import Requirement
from own_packaging.specifiers import SpecifierSet
from own_packaging.utils import canonicalize_name, parse_wheel_filename
from own_packaging.version import Version, parse
from own_packaging.markers import Marker
def body(work):
    vs = sorted(map(Version, ['1.0', '1.0rc1', '1.0.post1', '2!0.1', '1.0.dev3', '1.0+local']))
    r = Requirement("name[a,b]>=1,<2; python_version>'3'")
    return ([str(v) for v in vs], '1.5' in SpecifierSet('>=1,!=1.4.*,~=1.2'), str(r), sorted(r.extras), str(r.marker),
            canonicalize_name('A_b.C'), str(parse('1.2.3').release), Version('1.2b3').is_prerelease, Marker("os_name=='x'").evaluate(),
            [str(x) for x in parse_wheel_filename('foo-1.0-py3-none-any.whl')[:2]], str(SpecifierSet('>1') & SpecifierSet('<3')))
""",
}
OPERATORS = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq, ast.Is: ast.IsNot,
    ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In, ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Add, ast.And: ast.Or,
    ast.Or: ast.And,
}  # fmt: skip
SECONDS = 10
"""Of the processor: what an edit made endless is ended, however busy the machine is."""
MEMORY = 4 << 30


def copy(folder: Path) -> dict[str, list[Path]]:
    """Copy the packages out of where they are installed, under names of their own, without comments and layout."""
    files: dict[str, list[Path]] = {}
    for package in PACKAGES:
        spec = importlib.util.find_spec(package)
        assert spec is not None, package
        assert spec.origin is not None, package
        for source in sorted(Path(spec.origin).parent.rglob("*.py")):
            place = folder / f"own_{package}" / source.relative_to(Path(spec.origin).parent)
            place.parent.mkdir(parents=True, exist_ok=True)
            text = re.sub(rf"\b{package}\b", f"own_{package}", source.read_text("utf-8"))
            place.write_text(ast.unparse(ast.parse(text)))
            if "test" not in str(place.relative_to(folder)):
                files.setdefault(package, []).append(place)
        (folder / f"use_{package}.py").write_text(PACKAGES[package])
    return files


def edit(text: str, chance: random.Random) -> str | None:
    """Change one place of a source; None where there is nothing to change."""
    tree = ast.parse(text)
    places = [node for node in ast.walk(tree) if _is_place(node)]
    if not places:
        return None
    node = chance.choice(places)
    if isinstance(node, ast.Constant):
        node.value = {True: False, False: True}.get(
            node.value, node.value + ("x" if isinstance(node.value, str) else 1)
        )
    elif isinstance(node, ast.Compare):
        node.ops[0] = OPERATORS[type(node.ops[0])]()
    elif isinstance(node, (ast.BinOp, ast.BoolOp)):
        node.op = OPERATORS[type(node.op)]()  # type: ignore[assignment]
    elif isinstance(node, ast.Return):
        node.value = ast.Constant(None)
    elif isinstance(node, ast.If):
        node.test = ast.UnaryOp(ast.Not(), node.test)
    return ast.unparse(tree)


def _is_place(node: ast.AST) -> bool:
    if isinstance(node, ast.Constant):
        return isinstance(node.value, (int, float, str))
    if isinstance(node, ast.Compare):
        return type(node.ops[0]) in OPERATORS
    if isinstance(node, (ast.BinOp, ast.BoolOp)):
        return type(node.op) in OPERATORS
    return isinstance(node, (ast.Return, ast.If))


def see(package: str) -> tuple[str, str]:
    """Digest and result of the body that uses a package, made in a child of this process."""
    read, write = os.pipe()
    child = os.fork()
    if not child:
        signal.setitimer(signal.ITIMER_PROF, SECONDS)
        signal.alarm(60 * SECONDS)
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # an edit may have a module print what it finds
        for part in _seen(package):
            os.write(write, json.dumps(part[:20_000]).encode() + b"\n")
        os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        parts = [json.loads(line) for line in pipe]
    os.waitpid(child, 0)
    digest, result = [*parts, *("", "did not end")[len(parts) :]]
    return digest, result


def _seen(package: str) -> Iterator[str]:
    warnings.simplefilter("ignore")
    digest = ""
    try:
        module = importlib.import_module(f"use_{package}")
        digest = identify(module.body, "body").digest
        yield digest
        yield repr(module.body(None))
    except (Exception, SystemExit) as error:
        yield from [type(error).__name__] if digest else ["", type(error).__name__]


def main(seeds: range, folder: Path) -> Counter[str]:
    """Make an edit a seed, and count what came of them."""
    files = copy(folder)
    sys.path.insert(0, str(folder))
    sys.dont_write_bytecode = True
    identify(edit, "edit")  # loads once what each child would load
    before = {package: see(package) for package in PACKAGES}
    assert all(digest and len(result) > 100 for digest, result in before.values()), before
    counts: Counter[str] = Counter()
    for seed in seeds:
        package, file, text, edited = drawn(seed, files)
        file.write_text(edited)
        digest, result = see(package)
        file.write_text(text)
        changed, noticed = result != before[package][1], digest != before[package][0]
        what = ("noticed" if noticed else "STALE") if changed else ("needless" if noticed else "known")
        counts[what] += 1
        if what == "STALE":
            print(f"stale: seed {seed}, {file.relative_to(folder)}", file=sys.stderr)
    return counts


def drawn(seed: int, files: dict[str, list[Path]]) -> tuple[str, Path, str, str]:
    """An edit: package, file, and its text before and after."""
    chance = random.Random(seed)
    while True:
        package = chance.choice(list(PACKAGES))
        file = chance.choice(files[package])
        text = file.read_text()
        edited = edit(text, chance)
        if edited is not None and edited != text:
            return package, file, text, edited


if __name__ == "__main__":
    sys.setrecursionlimit(5000)
    print(json.dumps(main(range(int(sys.argv[1]), int(sys.argv[2])), Path(sys.argv[3]))))
