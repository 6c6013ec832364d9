"""The text of whole modules: what a key holds of code that cannot be followed piece by piece.

Digests of sources are kept by inode, size and times, in memory and in the cache of this host: five hundred modules
cost no more than asking for their times.
"""

from __future__ import annotations

import ast
import contextlib
import functools
import hashlib
import importlib.machinery
import marshal
import os
import re
import stat
import sys
import threading
from typing import TYPE_CHECKING, Any, NamedTuple

from stargazer.bounded import read_own
from stargazer.config import cache_dir
from stargazer.fingerprint.canonical import canonical
from stargazer.fingerprint.dynamic import DOCUMENTS, FINDS_TEXT, TEXT_MODULES
from stargazer.fingerprint.origin import INSTALLED, STANDARD, is_in_archive, is_own
from stargazer.fingerprint.outside import outside_names
from stargazer.fingerprint.parsing import parse, walk
from stargazer.fingerprint.said import bound_once, set_inside, set_outside
from stargazer.fingerprint.source import dotted, module_statements, unpacked
from stargazer.fingerprint.state import is_task, running
from stargazer.fingerprint.watch import MISSING, stamp_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from stargazer.fingerprint.watch import Stamp, Watch

__all__ = ["Modules", "Source", "read"]

FORMAT = "7"
ANY_BELOW = -1
"""Level of an import that may be of any module below its package."""

BINARY = (".so", ".pyd", ".dylib", ".dll")


class Source(NamedTuple):
    """A module's file, as far as keys want it.

    Parameters
    ----------
    plain, full
        Digest of its canonical text, without and with docstrings and the annotations of functions; of a binary, of its
        bytes.
    imports
        Module, level and names of each import, wherever it stands.
    strings
        Constants that may be names of modules.
    names, runs
        All identifiers in it, and those that occur in what runs as it is imported.
    reads_text
        Whether it reads docstrings, annotations or code of functions.
    outside
        What it takes from outside while it is imported.
    said, set_inside
        What it says of names that it binds once, and names that its functions set as they run.
    """

    plain: str
    full: str
    imports: tuple[tuple[str, int, tuple[str, ...]], ...] = ()
    strings: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    runs: tuple[str, ...] = ()
    reads_text: bool = False
    outside: tuple[str, ...] = ()
    said: tuple[tuple[str, str], ...] = ()
    set_inside: tuple[str, ...] = ()


class Modules:
    """The own modules that a task's module imports, directly or not.

    Parameters
    ----------
    owner
        Name of the task's module.
    files
        Files of modules that are not to be looked for: a script has one, but no name.
    """

    def __init__(self, owner: str, files: dict[str, str]) -> None:
        self._owner = owner
        self._files: dict[str, str | None] = dict(files)
        self._sources: dict[str, Source] = {}
        self._folders: set[str] = set()
        self._imports: dict[str, tuple[str, ...]] = {}
        self._from: dict[str, list[tuple[str, tuple[str, ...]]]] = {}

    def closure(self, starts: Iterable[str]) -> list[str]:
        """Own modules that `starts` and what they import consist of, in order of their names."""
        seen: set[str] = set()
        todo = list(starts)
        while todo:
            name = todo.pop()
            if name not in seen and self.file(name):
                seen.add(name)
                todo += self._imported(name)
        return sorted(seen)

    def named(self, starts: Iterable[str]) -> list[str]:
        """As `closure`, with every module that can be found by a name that is made while code runs.

        These are those that are named in a string, and all in the packages of the others, or beside a script.
        """
        found = self.closure(starts)
        roots, beside = _roots(), set[str]()
        self._folders.clear()
        while True:
            strings = {each for name in found for each in self.source(name).strings if each.partition(".")[0] in roots}
            named = strings | {each for name in found for each in self._imported(name) if not self.file(each)}
            beside |= {each for name in found for each in self._beside(name)}
            beside |= {each for name in named if name.partition(".")[0] in roots for each in self._within(name)}
            wider = self.closure({*found, *strings, *beside})
            if wider == found:
                return found
            found = wider

    def touching(self, start: str, name: str, task: Iterable[str]) -> list[str]:
        """Modules whose import may change what `name` of module `start` holds, with all that they import.

        These are `start`, and those of the task's modules that name it as they are imported, or a function that does.
        """
        everywhere = self.closure(task)
        naming: dict[str, set[str]] = {start: {name}}
        size = 0
        while size < (now := sum(map(len, naming.values()))):
            size = now
            for module in everywhere:
                seen = self._seen_in(module, naming)
                found = (
                    seen
                    if seen.isdisjoint(self.source(module).names)
                    else self._definitions_naming(module, seen) | seen
                )
                if found:
                    naming.setdefault(module, set()).update(found)  # others may import it from here
        return [start, *(each for each in everywhere if each != start and self._touches(each, naming))]

    def _touches(self, module: str, naming: dict[str, set[str]]) -> bool:
        return not self._seen_in(module, naming).isdisjoint(self.source(module).runs)

    def _seen_in(self, module: str, naming: dict[str, set[str]]) -> frozenset[str]:
        """Those names that a module has, or can reach by what it imports."""
        if module not in self._from:
            package = module if self._is_package(module) else module.rpartition(".")[0]
            self._from[module] = [(absolute(*each[:2], package), each[2]) for each in self.source(module).imports]
        seen = set(naming.get(module, ()))
        for whole, names in self._from[module]:
            there = naming.get(whole, set())
            seen |= there if not names or "*" in names else there.intersection(names)
            seen.update(*(naming.get(f"{whole}.{name}", ()) for name in names))
        return frozenset(seen)

    def text(self, names: Iterable[str]) -> dict[str, str]:
        """Digest of each module; with docstrings and annotations if one of them reads these."""
        sources = {name: self.source(name) for name in names}
        full = any(source.reads_text for source in sources.values())
        return {name: source.full if full else source.plain for name, source in sources.items()}

    def outside(self, names: Iterable[str]) -> list[str]:
        """What modules take from outside while they are imported."""
        return sorted({f"{what} in {name}" for name in names for what in self.source(name).outside})

    def set_outside(self, names: Iterable[str]) -> Iterator[tuple[str, str, Any]]:
        """Yield module, name and value of what somebody set in modules that are loaded, otherwise than they say."""
        said = self._said(names)
        for name in said.keys() & sys.modules.keys():
            for each, value in set_outside(sys.modules[name], said[name]).items():
                yield name, each, value

    def watch(self, names: Iterable[str], watch: Watch) -> None:
        """Note modules as they are: one that is loaded again, or loaded at last from a file that was edited."""
        for name, said in self._said(names).items():
            loaded = sys.modules.get(name)
            watch.name(sys.modules, name, MISSING if loaded is None else loaded)
            if loaded is None:
                watch.file(self.file(name) or "")
                continue
            for each in ("__spec__", *(each for each, _ in said)):
                watch.name(vars(loaded), each, vars(loaded).get(each, MISSING))

    def _said(self, names: Iterable[str]) -> dict[str, list[tuple[str, str]]]:
        """What modules say of names that no function of theirs sets as it runs, by module."""
        sources = {name: self.source(name) for name in names}
        ignored = {each for source in sources.values() for each in source.set_inside}
        return {name: [each for each in source.said if each[0] not in ignored] for name, source in sources.items()}

    def source(self, name: str) -> Source:
        """What is kept of a module that has a file."""
        if name not in self._sources:
            self._sources[name] = read(self.file(name) or "")
        return self._sources[name]

    def file(self, name: str) -> str | None:
        """File of an own module; None if it is not own, or not to be found."""
        if name not in self._files:
            found = name and not self._is_in_module(name) and is_own(name, self._owner)
            self._files[name] = _find(name) if found else None
        return self._files[name]

    def _is_in_module(self, name: str) -> bool:
        """Whether a name is one of a module that is no package: a function of it, as in ``from module import f``."""
        parent = name.rpartition(".")[0]
        return bool(parent and name not in sys.modules and self.file(parent) and not self._is_package(parent))

    def _imported(self, name: str) -> tuple[str, ...]:
        if name not in self._imports:
            self._imports[name] = tuple(self._imports_of(name))
        return self._imports[name]

    def _imports_of(self, name: str) -> Iterator[str]:
        package = name if self._is_package(name) else name.rpartition(".")[0]
        yield package  # parents run, too
        yield package.rpartition(".")[0]
        for module, level, names in self.source(name).imports:
            whole = absolute(module, level, package)
            parts = whole.split(".")
            yield from (".".join(parts[: count + 1]) for count in range(len(parts)))
            yield from (f"{whole}.{each}" for each in names if each != "*")

    def _is_package(self, name: str) -> bool:
        return os.path.basename(self.file(name) or "").startswith("__init__.")

    def _beside(self, name: str) -> Iterator[str]:
        """Modules in the package of a module, and in those below it; told once a folder."""
        file = self.file(name) or ""
        package = name if self._is_package(name) else name.rpartition(".")[0]
        folder = os.path.dirname(file)
        listed = [] if folder in self._folders else _listed(folder)
        self._folders.add(folder)
        for each in listed:
            yield f"{package}.{each}" if package else each

    def _within(self, name: str) -> Iterator[str]:
        """Modules in a package that has no file of its own; told once a folder."""
        for folder in () if self.file(name) else _folders_of(name):
            listed = [] if folder in self._folders else _listed(folder)
            self._folders.add(folder)
            for each in listed:
                yield f"{name}.{each}"

    def _definitions_naming(self, module: str, names: frozenset[str]) -> set[str]:
        return {top for top, inside in _definitions(self.file(module) or "") if not names.isdisjoint(inside)}


def _roots() -> frozenset[str]:
    """Names of the modules and packages that can be imported and are not installed."""
    folders = [folder or "." for folder in sys.path if not any(each in folder for each in INSTALLED)]
    folders = [folder for folder in folders if os.path.isdir(folder) and not f"{folder}{os.sep}".startswith(STANDARD)]
    return frozenset(name for folder in folders for name in _listed(folder))


def _listed(folder: str) -> list[str]:
    with os.scandir(folder) as entries:
        files = [each.name for each in entries if each.name.endswith(".py") or _holds_package(each)]
    return sorted(name.removesuffix(".py") for name in files if name != "__init__.py")


def _holds_package(entry: os.DirEntry[str]) -> bool:
    if not (entry.name.isidentifier() and entry.name != "__pycache__" and entry.is_dir()):
        return False
    return any(name.endswith(".py") for name in os.listdir(entry.path))


def absolute(module: str, level: int, package: str) -> str:
    """Return the whole name of a module that is imported in a package."""
    if not level:
        return module
    parts = package.split(".") if package else []
    base = parts[: len(parts) - (level - 1)]
    return ".".join([*base, *([module] if module else [])])


def _find(name: str) -> str | None:
    """File of a module; nothing is imported for it."""
    loaded = sys.modules.get(name)
    if loaded is not None:
        file = getattr(loaded, "__file__", None)
        return str(file) if file and os.path.isfile(file) else None
    parent = name.rpartition(".")[0]
    within = None
    if parent:
        within = _folders_of(parent)
        if not within:
            return None
    try:
        spec = importlib.machinery.PathFinder.find_spec(name, within)
    except (ImportError, ValueError, KeyError):  # the last of a namespace package that is not loaded
        return None
    return spec.origin if spec and spec.origin and os.path.isfile(spec.origin) else None


def read(path: str) -> Source:
    """Read a module's file, unless that was done since it was last written."""
    return _read(path, _stamp(path)) if path else Source("", "")


def _folders_of(package: str) -> list[str]:
    """Folders that the modules of a package lie in, also of one that has no file of its own."""
    file = _find(package)
    if file:
        return [os.path.dirname(file)] if os.path.basename(file).startswith("__init__.") else []
    parent = package.rpartition(".")[0]
    within = _folders_of(parent) if parent else None
    if not package or within == []:
        return []
    try:
        spec = importlib.machinery.PathFinder.find_spec(package, within)
    except (ImportError, ValueError, KeyError):
        return []
    return list(spec.submodule_search_locations or ()) if spec is not None else []


class Top(NamedTuple):
    """What a file says at its top, for `stargazer.fingerprint.effects`.

    Parameters
    ----------
    loads
        Module, level and names of each import that runs when the file is imported.
    acts
        Whether a statement may change what is not the module's own.
    """

    loads: tuple[tuple[str, int, tuple[str, ...]], ...] = ()
    acts: bool = True


def loads_of(file: str | None, module: str) -> tuple[tuple[str, int, tuple[str, ...]], ...]:
    """Imports that run when a module is imported; of one without a file, as of a notebook, those of its cells."""
    found = _top_there(file) if file is not None else None
    if found is not None:
        return found.loads
    return loads(module_statements(module)) if file is None or is_in_archive(file) else ()


def acts(file: str) -> bool:
    """Whether a statement of a file may change what is not the module's own."""
    found = _top_there(file)
    return found.acts if found is not None else is_in_archive(file)


def _top_there(file: str) -> Top | None:
    """What a file says at its top; None of what is no source in Python. The system is asked once."""
    try:
        found = os.stat(file)
    except OSError:
        return None
    if not (file.endswith(".py") and stat.S_ISREG(found.st_mode)):
        return None
    return _top(file, stamp_of(found))


@functools.lru_cache(maxsize=16384)
def _top(path: str, stamp: Stamp) -> Top:
    return Top(*_known(path, "top ", stamp, _top_of))


def _top_of(path: str) -> Top:
    with open(path, "rb") as file:
        data = file.read()
    try:
        tree = parse(data)
    except (SyntaxError, ValueError):
        return Top((), False)
    body = unpacked(tree)
    return Top(loads(body), any(_may_act(statement) or is_unused(statement, body) for statement in body))


def loads(body: Iterable[ast.stmt]) -> Imports:
    found: list[tuple[str, int, tuple[str, ...]]] = []
    for statement in body:
        if not is_for_checkers(statement):
            for node in running(statement):
                if isinstance(node, ast.Import):
                    found += [(alias.name, 0, ()) for alias in node.names]
                elif isinstance(node, ast.ImportFrom):
                    found.append((node.module or "", node.level, tuple(alias.name for alias in node.names)))
                elif isinstance(node, ast.Call) and dotted(node.func)[-1:] in IMPORTED_BY:
                    found.append(_named_by(node))
    return tuple(found)


def _named_by(call: ast.Call) -> tuple[str, int, tuple[str, ...]]:
    """What ``importlib.import_module("name")`` imports; any module of the package, if the name is no constant."""
    name = call.args[0].value if call.args and isinstance(call.args[0], ast.Constant) else None
    if not isinstance(name, str):
        return "", ANY_BELOW, ()
    short = name.lstrip(".")
    return short, len(name) - len(short), ()


def is_for_checkers(node: ast.stmt) -> bool:
    """Whether a statement is ``if TYPE_CHECKING``."""
    names = list(walk(node.test)) if isinstance(node, ast.If) else []
    return any(isinstance(each, ast.Name) and each.id == "TYPE_CHECKING" for each in names) or any(
        isinstance(each, ast.Attribute) and each.attr == "TYPE_CHECKING" for each in names
    )


IMPORTED_BY = {("import_module",), ("__import__",), ("run_module",)}


def _may_act(statement: ast.stmt) -> bool:
    for node in running(statement):
        if isinstance(node, (ast.Attribute, ast.Subscript)) and isinstance(node.ctx, (ast.Store, ast.Del)):
            return True
        if isinstance(node, ast.Call):
            return True
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)) and node.decorator_list:
            return True
        if isinstance(node, ast.ClassDef) and (node.bases or node.keywords):
            return True  # these may do it when the class is made
    return False


ACTING = re.compile(
    r"^_*(set(?!$|diff|xor|tings)|re?set_|seed|regist|unregist|install|patch|monkey|start$|apply$|enable|disable|"
    r"config|init(?!$)|activate|use(_|$)|filterwarn|simplefilter|add_|addLevel|put|unset|switch_|rc$|rcdefaults|"
    r"tzset|umask|chdir|load_dotenv|stack_size|dictConfig|pickle$|constructor$|signal$)|_seed$|^manual_seed"
)


def is_effect_name(name: str) -> bool:
    """Whether a function of that name is called for what it changes."""
    return bool(ACTING.search(name))


def is_unused(statement: ast.stmt, body: Iterable[ast.stmt]) -> bool:
    """Whether a statement imports what its module never names."""
    if not isinstance(statement, (ast.Import, ast.ImportFrom)):
        return False
    bound = {(alias.asname or alias.name).partition(".")[0] for alias in statement.names}
    if "*" in bound or any(alias.asname == alias.name for alias in statement.names):
        return False
    return not _names_in(tuple(body)).have_any(bound)


class _NamesIn:
    """Names that occur in a module, also in texts: of exports, and in annotations; looked for as far as is asked."""

    def __init__(self, body: tuple[ast.stmt, ...]) -> None:
        self._left = list(reversed(body))
        self._found: set[str] = set()
        self._lock = threading.Lock()

    def have_any(self, names: set[str]) -> bool:
        """Whether any of some names is among them."""
        with self._lock:
            while self._left and self._found.isdisjoint(names):
                for node in walk(self._left.pop()):
                    if isinstance(node, ast.Name):
                        self._found.add(node.id)
                    elif isinstance(node, ast.Constant) and isinstance(node.value, str) and len(node.value) < 200:
                        self._found.update(re.findall(r"\w+", node.value))
            return not self._found.isdisjoint(names)


@functools.lru_cache(maxsize=256)
def _names_in(body: tuple[ast.stmt, ...]) -> _NamesIn:
    return _NamesIn(body)


def _stamp(path: str) -> Stamp:
    found = os.stat(path)
    return stamp_of(found)


@functools.lru_cache(maxsize=16384)
def _read(path: str, stamp: Stamp) -> Source:
    return Source(*_known(path, "", stamp, _parsed))


def _known(path: str, kind: str, stamp: Stamp, make: Callable[[str], tuple[Any, ...]]) -> tuple[Any, ...]:
    """What is kept of a file, made anew if that was written since."""
    folder, name = os.path.split(path)
    kept = _kept(folder)
    known = kept.get(kind + name)
    if known is None or tuple(known[0]) != stamp:
        known = kept[kind + name] = (stamp, tuple(make(path)))
        _changed.add(folder)
    return known[1]


def _parsed(path: str) -> Source:
    if path.endswith(BINARY):
        digest = _sha256(path)
        return Source(digest, digest)
    with open(path, "rb") as file:
        data = file.read()
    try:
        tree = parse(data)
    except (SyntaxError, ValueError):
        digest = hashlib.sha256(data).hexdigest()
        return Source(digest, digest)
    plain, full = (hashlib.sha256(canonical(tree, full=full).encode()).hexdigest() for full in (False, True))
    return Source(plain, full, *_summary(tree), outside_names(tree), bound_once(tree), tuple(sorted(set_inside(tree))))


Imports = tuple[tuple[str, int, tuple[str, ...]], ...]


def _summary(tree: ast.Module) -> tuple[Imports, tuple[str, ...], tuple[str, ...], tuple[str, ...], bool]:
    """Imports, strings that may name modules, identifiers, those that run, and whether texts of code are read."""
    imports: list[tuple[str, int, tuple[str, ...]]] = []
    strings: set[str] = set()
    names: set[str] = set()
    for node in walk(tree):
        if isinstance(node, ast.Import):
            imports += [(alias.name, 0, ()) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            imports.append((node.module or "", node.level, tuple(alias.name for alias in node.names)))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and len(node.value) < 100:
            strings.add(node.value.partition(":")[0].rstrip("."))
        names |= _names(node)
    used = (node for statement in tree.body for node in running(statement))
    runs = {name for node in used if not _is_bound(node) for name in _names(node)}
    modules = sorted(each for each in strings if all(part.isidentifier() for part in each.split(".")))
    reads = not (DOCUMENTS | FINDS_TEXT | TEXT_MODULES).isdisjoint(names | strings | {each[0] for each in imports})
    return tuple(imports), tuple(modules), tuple(sorted(names)), tuple(sorted(runs)), reads


def _is_bound(node: ast.AST) -> bool:
    return isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load)


def _names(node: ast.AST) -> set[str]:
    if isinstance(node, ast.Name):
        return {node.id}
    if isinstance(node, ast.Attribute):
        return {node.attr}
    if isinstance(node, ast.alias) and node.asname:
        return {node.name.rpartition(".")[2], node.asname}
    return set()


def _definitions(path: str) -> tuple[tuple[str, frozenset[str]], ...]:
    """Functions and classes at the top of a file, with the identifiers in each."""
    return _read_definitions(path, _stamp(path)) if path.endswith(".py") else ()


@functools.lru_cache(maxsize=1024)
def _read_definitions(path: str, stamp: Stamp) -> tuple[tuple[str, frozenset[str]], ...]:
    with open(path, "rb") as file:
        tree = parse(file.read())
    tops = [node for node in tree.body if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef))]
    named = [(node.name, node) for node in tops if not is_task(node)]
    renamed = [(alias.asname, alias) for node in walk(tree) if isinstance(node, (ast.Import, ast.ImportFrom))
               for alias in node.names if alias.asname]  # fmt: skip
    return tuple((name, frozenset().union(*map(_names, walk(node)))) for name, node in [*named, *renamed])


def _sha256(path: str) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


_changed: set[str] = set()


@functools.lru_cache(maxsize=1024)
def _kept(folder: str) -> dict[str, tuple[Stamp, tuple[Any, ...]]]:
    """What is kept of the files of a folder, by their names."""
    try:
        kept: dict[str, tuple[Stamp, tuple[Any, ...]]] = marshal.loads(read_own(_place(folder)))
        return kept
    except (OSError, ValueError, EOFError, TypeError):
        return {}


def keep() -> None:
    """Write what was read anew into the cache of this host."""
    while _changed:
        folder = _changed.pop()
        place = _place(folder)
        temporary = place.with_name(f"{place.name}.{os.urandom(4).hex()}")
        with contextlib.suppress(OSError):  # the cache may be read-only
            place.parent.mkdir(parents=True, exist_ok=True)
            temporary.write_bytes(marshal.dumps(_kept(folder)))
            temporary.replace(place)


def _place(folder: str) -> Path:
    """Where that is kept. Texts of other Pythons differ where syntax does: their parsers decide what is an import."""
    version = f"{FORMAT} {sys.version_info[:2]} {folder}"
    return cache_dir() / "code" / hashlib.sha256(version.encode()).hexdigest()
