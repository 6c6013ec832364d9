"""What runs under the name of a program: the file itself, and what a script leads to.

A wrapper stays as it is while what it starts changes. So a script counts with the programs and files that its text
names, and the start script of a Python package with the distribution that it belongs to. The ``#!`` line does not
count: it tells where an interpreter lies, and each environment has its own.
"""

from __future__ import annotations

import ast
import contextlib
import functools
import glob
import hashlib
import itertools
import json
import os
import re
import shutil
import stat
import sys
from typing import TYPE_CHECKING, NamedTuple

from stargazer.bounded import read_own
from stargazer.config import cache_dir, search_path, variable
from stargazer.tools.shells import (
    GIVEN_TO_FIND,
    SHELLS,
    STARTS_OTHERS,
    first_words,
    is_text,
    paths_in,
    values_in,
    variables_in,
    words_in,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

__all__ = [
    "ABSENT",
    "ENGINE",
    "Program",
    "commands_in",
    "folders_named",
    "folders_of_patterns",
    "is_regular",
    "is_script",
    "look_into",
    "modules_run",
    "named_files",
    "own_modules",
    "places_of_modules",
    "program_digest",
    "script_of",
    "sha256_of",
    "signature_of",
    "variables_of_script",
]

ENGINE = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "")
"""The folder of this package."""

ABSENT = "not found"
"""Stands for a program that is not there."""

Signature = tuple[int, int, int, int]

LARGEST_SCRIPT = 1 << 20
LONGEST_NOTE = 1 << 10
KEPT_ON_DISK = 1 << 20
"""Bytes from which on the digest of a file is kept on the local disk, too."""

MOST_FILES = 500
"""Files that a script may lead to; what comes after them is not looked at."""

LONG_START = re.compile(rb"\A'''exec' [^\n]*\n' '''\n")
"""How pip and conda write a ``#!`` line that is too long for the system."""

HERE = re.compile(
    r"""\$\( *cd (?:-\w+ |-- )*"?\$\( *dirname [^)]*\)"?[^)]*(?:&&|;) *pwd[^)]*\)|\$\( *dirname [^)]*\)|"""
    r"""\$\{(?:0|BASH_SOURCE[^}%]*)%/\*\}"""
)
"""How a shell script says where it lies."""

MAPPED = re.compile(r"""['"](/[^'"\n]+)['"]""")
"""Folders of packages in what setuptools writes for a checkout."""

MODULE = re.compile(r"\bpython[\d.]*[\"']?\s+(?:-[A-Za-z]+\s+)*?-m\s+([\w.]+)")
PYTHONPATH = re.compile(r"""\bPYTHONPATH=["']?([^"'\s;]+)""")
ASSIGNED = re.compile(r"""^\s*(?:export\s+|readonly\s+)?(\w+)=(["']?)([^"'\s;]*)\2\s*;?\s*$""", re.MULTILINE)
SYSTEM = (
    "/proc/", "/sys/", "/etc/", "/bin/", "/sbin/", "/lib/", "/lib64/",
    "/usr/bin/", "/usr/sbin/", "/usr/lib/", "/usr/libexec/",
)  # fmt: skip
"""Folders of the system's own programs."""

ASKED_FOR = re.compile(r"""(?:environ|getenv|ENV|env)\W{1,6}(?:get\W{1,3})?["']?([A-Za-z_]\w*)["']?\W""")
"""How scripts ask for a variable of the environment."""

PATTERN = re.compile(r"(?<![\w$*?/.-])[\w@%+:,.~/-]*[*?][\w@%+:,.~/*?-]*")
"""How a text for a shell names many files at once."""

PACKAGES = ("site-packages", "dist-packages")
TEXT_FOLLOWS = {"python": ("-c", "-m"), "perl": ("-e", "-E"), "Rscript": ("-e",), "ruby": ("-e",), "node": ("-e", "-p")}
TEXT_FOLLOWS |= dict.fromkeys(SHELLS, ("-c",)) | {"julia": ("-e", "-E"), "lua": ("-e",)}
VALUE_FOLLOWS = {"python": ("-W", "-X"), "bash": ("-o", "-O"), "julia": ("-L",), "node": ("-r", "--require")}
READ_AS_CODE = re.compile(
    r"""\b(?:source|sys\.source|require|require_relative|do|load|include)\s*\(?\s*["']([\w./-]+)["']"""
)
PERL_MODULE = re.compile(r"^\s*(?:use|require)\s+([A-Z]\w*(?:::\w+)*)\b", re.MULTILINE)


class Program(NamedTuple):
    """What a program is.

    Parameters
    ----------
    digest
        SHA-256 of the file, or of all that a script leads to.
    files
        The files that were looked at, each as it was: the digest holds while they stay so.
    is_script
        Whether it is text that an interpreter reads.
    """

    digest: str
    files: tuple[tuple[str, Signature | None], ...]
    is_script: bool

    def is_current(self) -> bool:
        """Whether all files are as they were."""
        return all(signature_of(path) == seen for path, seen in self.files)


def signature_of(path: str) -> Signature | None:
    """What changes whenever a file changes; None where there is none."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


_known: dict[str, Program] = {}


def program_digest(name: str) -> str:
    """Digest of the program that a command name or path stands for now; `ABSENT` where there is none."""
    path = shutil.which(name, path=search_path())
    return look_into(path).digest if path else ABSENT


def look_into(path: str) -> Program:
    """Return what a program is; looked at anew only where one of its files has changed."""
    known = _known.get(path)
    if known is None or not known.is_current():
        known = _known[path] = _Look().program(path)
    return known


class _Look:
    """One look at a program and at all that it leads to."""

    def __init__(self) -> None:
        self._lines: dict[str, str] = {}
        self._files: dict[str, Signature | None] = {}

    def program(self, path: str) -> Program:
        text = _script(os.path.realpath(path))
        if text is None:
            real = os.path.realpath(path)
            return Program(sha256_of(real), tuple({each: signature_of(each) for each in (path, real)}.items()), False)
        self._files[path] = signature_of(path)
        self._script(os.path.realpath(path), os.path.basename(path))
        lines = "\n".join(dict.fromkeys(self._lines.values()))
        return Program(hashlib.sha256(lines.encode()).hexdigest(), tuple(self._files.items()), True)

    def _add(self, path: str) -> None:
        """A file that a script names: a script of its own, or bytes."""
        real = os.path.realpath(path)
        if real in self._files or len(self._files) >= MOST_FILES:
            return
        if _script(real) is not None or real.endswith(".py"):
            self._script(real, os.path.basename(path))
        else:
            self._files[real] = signature_of(real)
            self._lines[real] = f"file {sha256_of(real)}"

    def _script(self, real: str, name: str) -> None:
        text = _read(real)
        self._files[real] = signature_of(real)
        start, body = (
            _without_start(text) if text.startswith(b"#!") else ("python" if real.endswith(".py") else "", text)
        )
        self._lines[real] = f"script {hashlib.sha256(body).hexdigest()}"
        decoded = body.decode("utf-8", "replace")
        if any(_interpreter(word) == "python" for word in start.split()):
            self._python(real, name, start, decoded)
        else:
            shell = any(_interpreter(word) in SHELLS for word in start.split())
            for path in named_files(decoded, os.path.dirname(real), shell=shell):
                self._add(path)
            for module in MODULE.findall(decoded):
                self._module(real, module, decoded)

    def _python(self, real: str, name: str, start: str, text: str) -> None:
        places = _site_packages(start)
        found = _distribution(name, places) if os.path.basename(os.path.dirname(real)) in ("bin", "Scripts") else None
        if found is not None:
            record, line = found
            self._files[record] = signature_of(record)
            self._lines[record] = line
        self._modules(own_modules(real, text, _editable(places)))

    def _module(self, real: str, module: str, text: str) -> None:
        """A module that a shell script starts with ``python -m``."""
        paths = [each for word in PYTHONPATH.findall(text) for each in word.split(os.pathsep)]
        paths += (variable("PYTHONPATH") or "").split(os.pathsep)
        places = [*filter(os.path.isdir, paths), *_editable(_site_packages("python"))]
        self._modules(own_modules(real, f"import {module}, {module}.__main__", places))

    def _modules(self, paths: Iterable[str]) -> None:
        for path in paths:
            self._files[path] = signature_of(path)
            self._lines[path] = f"module {sha256_of(path)}"


def named_files(text: str, beside: str, *, shell: bool) -> Iterator[str]:
    """Yield the programs and files that a script of a shell or the like names: absolute paths, and what it starts.

    Parameters
    ----------
    text
        Of the script.
    beside
        Folder of the script.
    shell
        Whether a shell reads it.
    """
    code = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))
    code = _substituted(HERE.sub(lambda _: beside, code))
    for path in dict.fromkeys(paths_in(code)):
        if is_regular(path) and not _is_of_the_system(path):
            yield path
    for name in first_words(code) if shell else ():
        found = os.path.join(beside, name) if "/" in name else shutil.which(name, path=search_path())
        if found and is_regular(found) and not _is_of_the_system(found):
            yield found
    for name in () if shell else _read_by_script(code):
        places = (os.path.normpath(os.path.join(beside, folder, name)) for folder in ("", "lib", "../lib"))
        yield from filter(is_regular, places)


def _read_by_script(code: str) -> Iterator[str]:
    """Files that a script of Perl, R, Ruby or the like reads as code, by their names."""
    yield from READ_AS_CODE.findall(code)
    yield from (f"{name.replace('::', '/')}.pm" for name in PERL_MODULE.findall(code))


def folders_of_patterns(argv: Sequence[str], folder: str) -> list[str]:
    """Folders in which a shell looks for files of a pattern, as in ``cat data/*.txt``; those below `folder`, if any."""
    texts = [word for word in argv[1:] if is_text(word)] if _interpreter(argv[0]) in SHELLS else []
    # Of each word alone: on a long one, as of base64, the pattern takes the square of its length.
    words = [word for text in texts for word in re.findall(r"[^\s\"';|&<>()]+", text) if "*" in word or "?" in word]
    begun = [re.split(r"[*?]", each)[0].rpartition(os.sep) for word in words for each in PATTERN.findall(word)]
    places = [os.path.join(folder, f"{before}{sign}") for before, sign, _ in begun]
    return [place for place in dict.fromkeys(places) if os.path.isabs(place) and os.path.isdir(place)]


def folders_named(argv: Sequence[str], folder: str) -> list[str]:
    """Folders that words of a command name, or texts for a shell in them; those below `folder`, if any."""
    parts = [each for word in argv[1:] for each in ([*paths_in(word), *words_in(word)] if is_text(word) else [word])]
    places = [os.path.join(folder, each) for each in dict.fromkeys(parts)]
    return [place for place in places if os.path.isabs(place) and os.path.isdir(place) and not _is_of_the_system(place)]


def files_in_word(word: str, folder: str) -> list[str]:
    """Files of a folder that a word of a command names, or a text for a shell."""
    parts = words_in(word) if is_text(word) else values_in(word)
    return [path for part in parts if part and is_regular(path := os.path.join(folder, part))]


def files_of_script(argv: Sequence[str], folder: str) -> list[str]:
    """Files beside a shell's script, and in the folder that it runs in, that its text names."""
    name = script_of(argv) if _interpreter(argv[0]) in SHELLS else None
    path = os.path.join(folder, name or "")
    if name is None or not is_regular(path):
        return []
    words = words_in(_read(path).decode("utf-8", "replace"))
    places = {folder, os.path.dirname(os.path.abspath(path))}
    return [found for place in sorted(places) for word in words if is_regular(found := os.path.join(place, word))]


def variables_of_script(argv: Sequence[str], folder: str) -> list[str]:
    """Variables of the environment that a script names, which a command gives to an interpreter in a folder."""
    name = script_of(argv)
    text = _read(os.path.join(folder, name)).decode("utf-8", "replace") if name else ""
    found = variables_in(text, argv) if _interpreter(argv[0]) in SHELLS else ASKED_FOR.findall(text)
    own = set(re.findall(r"^[ \t]*(\w+)=", text, re.MULTILINE))
    return [each for each in dict.fromkeys(found) if each.isupper() and len(each) > 2 and each not in own]


def _substituted(code: str) -> str:
    """The text with the variables in place that it sets to plain words."""
    for name, _, value in ASSIGNED.findall(code):
        code = re.sub(rf"\$(?:{name}\b|\{{{name}\}})", lambda _, value=value: value, code)  # type: ignore[misc]
    return code


def modules_run(argv: Sequence[str], folder: str) -> list[str]:
    """Files of the user's own modules that a command leads to by ``python -c`` or ``python -m``.

    Parameters
    ----------
    argv
        The command and its arguments.
    folder
        The folder that it runs in, where Python looks first.
    """
    name, texts = _interpreter(argv[0]), list[str]()
    if name in SHELLS:
        texts = [f"import {module}, {module}.__main__" for word in argv[1:] for module in MODULE.findall(word)]
    elif name == "python" and (found := _text_for_python(argv)):
        texts = [found]
    if not texts:
        return []
    places = places_of_modules()
    return [path for text in texts for path in own_modules(os.path.join(folder, "-"), text, places, skipped=ENGINE)]


def _text_for_python(argv: Sequence[str]) -> str:
    """What follows ``-c``, or an import of the module that follows ``-m``."""
    words = iter(argv[1:])
    for word in words:
        if not word.startswith("-") or word in ("-", "--"):
            return ""
        if word in VALUE_FOLLOWS["python"]:
            next(words, None)
        elif found := re.fullmatch(r"-[A-Za-z]*([cm])(.*)", word, re.DOTALL):
            text = found[2] or next(words, "")
            return text if found[1] == "c" else f"import {text}, {text}.__main__"
    return ""


def places_of_modules() -> list[str]:
    """Folders beside its own in which a Python finds modules that are not installed: of its path, and checkouts."""
    paths = filter(os.path.isdir, (variable("PYTHONPATH") or "").split(os.pathsep))
    return [*map(os.path.abspath, paths), *_editable(_site_packages("python"))]


def own_modules(script: str, text: str, places: Iterable[str] = (), *, skipped: str = "") -> list[str]:
    """Files of the modules that a Python script imports from its own folder, or from folders that it names.

    Parameters
    ----------
    script
        Its path.
    text
        Its source.
    places
        Further folders in which modules of the user's own lie.
    skipped
        Path below which modules are left out.
    """
    folders = [os.path.dirname(script), *places]
    found: dict[str, None] = {}
    todo = [(text, folders[0])]
    while todo and len(found) < MOST_FILES:
        source, here = todo.pop()
        tree = _parsed(source)
        folders += [each for each in _added_folders(tree) if each not in folders]
        for module, level in _imported(tree):
            above = [os.path.normpath(os.path.join(here, *[os.pardir] * (level - 1)))] if level else folders
            for path in _module_files(module, above):
                if path not in found and not (skipped and path.startswith(skipped)):
                    found[path] = None
                    todo.append((_read(path).decode("utf-8", "replace"), os.path.dirname(path)))
    return sorted(found)


def _parsed(text: str) -> ast.AST:
    from stargazer.fingerprint.parsing import parse

    found: ast.AST
    try:
        found = parse(text)
        return found
    except (SyntaxError, ValueError):
        return ast.Module([], [])


def _imported(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """Modules that code imports, and how many levels above its own they stand; no level where it is not said."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, 0) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            if node.module:
                yield node.module, node.level
            before = f"{node.module}." if node.module else ""
            yield from ((f"{before}{alias.name}", node.level) for alias in node.names)


def _added_folders(tree: ast.AST) -> Iterator[str]:
    """Folders that a script puts on ``sys.path`` by name."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func).startswith("sys.path."):
            for part in ast.walk(node):
                if isinstance(part, ast.Constant) and isinstance(part.value, str) and os.path.isdir(part.value):
                    yield part.value


def _module_files(module: str, folders: Iterable[str]) -> Iterator[str]:
    parts = module.split(".")
    for folder in folders:
        for length in range(1, len(parts) + 1):
            stem = os.path.join(folder, *parts[:length])
            yield from (path for path in (f"{stem}.py", f"{stem}/__init__.py") if os.path.isfile(path))


def _site_packages(start: str) -> list[str]:
    """Folders in which the interpreter of a ``#!`` line finds packages."""
    words = [word for word in start.split() if _interpreter(word) == "python"]
    interpreter = shutil.which(words[-1], path=search_path()) if words else None
    prefix = os.path.dirname(os.path.dirname(os.path.abspath(interpreter or sys.executable)))
    return sorted(itertools.chain(*(glob.glob(f"{prefix}/lib/python3*/{name}") for name in PACKAGES)))


def _editable(places: Iterable[str]) -> list[str]:
    """Folders that ``.pth`` files add: checkouts, whose files change without a new version."""
    found = [path for place in places for end in ("*.pth", "__editable__*.py") for path in glob.glob(f"{place}/{end}")]
    texts = [_read(path).decode("utf-8", "replace") for path in found]
    lines = [line.strip() for text in texts for line in text.splitlines()]
    lines += [os.path.dirname(path) for text in texts for path in MAPPED.findall(text)]
    return [line for line in dict.fromkeys(lines) if os.path.isdir(line) and "site-packages" not in line]


def _distribution(script: str, places: Sequence[str]) -> tuple[str, str] | None:
    """The list of files of the distribution that made a start script, and a line that tells of it."""
    import importlib.metadata

    for found in importlib.metadata.distributions(path=list(places)):
        if any(entry.name == script for entry in found.entry_points if entry.group == "console_scripts"):
            record = str(
                found.locate_file(f"{found.metadata['Name'].replace('-', '_')}-{found.version}.dist-info/RECORD")
            )
            text = found.read_text("RECORD") or ""
            # The start script itself is listed there with the digest of its own first line.
            lines = sorted(line for line in text.splitlines() if "/bin/" not in line and ".pyc" not in line)
            return record, f"distribution {found.version} {hashlib.sha256(chr(10).join(lines).encode()).hexdigest()}"
    return None


def _script(path: str) -> bytes | None:
    """Text of a file that an interpreter reads; None of others."""
    try:
        with open(path, "rb") as file:
            head = file.read(2)
            return head + file.read(LARGEST_SCRIPT) if head == b"#!" else None
    except OSError:
        return None


def is_script(path: str) -> bool:
    """Whether a program is text that an interpreter reads; known while the file stays as it is."""
    seen = signature_of(path)
    return seen is not None and _is_script(path, seen)


@functools.lru_cache(maxsize=1024)
def _is_script(path: str, seen: Signature) -> bool:
    return _script(path) is not None


def _without_start(text: bytes) -> tuple[str, bytes]:
    """The interpreter that a ``#!`` line names, and the text below."""
    first, _, rest = text.partition(b"\n")
    start = first[2:].decode("utf-8", "replace").strip()
    if found := LONG_START.match(rest):
        return found[0].decode("utf-8", "replace").split('"')[1] if b'"' in found[0] else start, rest[found.end() :]
    return start, rest


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read(LARGEST_SCRIPT)
    except OSError:
        return b""


def _is_of_the_system(path: str) -> bool:
    return path.startswith(SYSTEM)


def sha256_of(path: str) -> str:
    """Digest of a file's bytes, known while it stays as it is; `ABSENT` where it cannot be read."""
    seen = signature_of(path)
    return ABSENT if seen is None else _sha256(path, seen)


@functools.lru_cache(maxsize=4096)
def _sha256(path: str, seen: Signature) -> str:
    if seen[1] < KEPT_ON_DISK:
        return _hashed(path)
    known = cache_dir() / "digests" / hashlib.sha256(json.dumps([path, seen]).encode()).hexdigest()
    try:
        return read_own(known, LONGEST_NOTE).decode("ascii")
    except (OSError, ValueError):
        digest = _hashed(path)
        _keep(known, digest)
        return digest


def _keep(known: Path, text: str) -> None:
    temporary = known.with_name(f"{known.name}.{os.urandom(4).hex()}")
    with contextlib.suppress(OSError):  # the cache may be read-only
        known.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(text, "ascii")
        temporary.replace(known)


def _hashed(path: str) -> str:
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return ABSENT


def script_of(argv: Sequence[str]) -> str | None:
    """Path of the script that a command gives to an interpreter, as it stands there; None where there is none."""
    name = _interpreter(argv[0])
    if name not in TEXT_FOLLOWS:
        return None
    words = iter(argv[1:])
    for word in words:
        if word in TEXT_FOLLOWS[name] or (name in SHELLS and re.fullmatch(r"-[a-z]*c[a-z]*", word)):
            return None
        if word in VALUE_FOLLOWS.get(name, ()):
            next(words, None)
        elif not word.startswith("-"):
            return word
    return None


def _interpreter(command: str) -> str:
    name = os.path.basename(command)
    return "python" if re.fullmatch(r"python[\d.]*", name) else name


def commands_in(argv: Sequence[str]) -> list[str]:
    """Names of the programs that a command runs: its first word, and those in the text of a shell's ``-c``."""
    if os.path.basename(argv[0]) in SHELLS:
        places = [place for place, word in enumerate(argv) if re.fullmatch(r"-[a-z]*c[a-z]*", word)]
        text = argv[places[0] + 1] if places and places[0] + 1 < len(argv) else ""
        return [argv[0], *first_words(text)]
    if os.path.basename(argv[0]) == "find":
        following = [argv[place + 1] for place, word in enumerate(argv[:-1]) if word in GIVEN_TO_FIND]
        return [argv[0], *following]
    if os.path.basename(argv[0]) in {"env", "nice", "time", *STARTS_OTHERS}:
        rest = itertools.dropwhile(lambda word: word.startswith("-") or "=" in word or word[:1].isdigit(), argv[1:])
        return [argv[0], *commands_in(following)] if (following := list(rest)) else [argv[0]]
    return [argv[0]]


def is_regular(path: str) -> bool:
    """Whether a path leads to a regular file."""
    try:
        return stat.S_ISREG(os.stat(path).st_mode)
    except (OSError, ValueError):
        return False
