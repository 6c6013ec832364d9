"""What a body does beside its arguments, as Python's audit events tell it: files, the network, its process.

One hook sees all of a process. It finds the body by the thread that an event comes from: bodies run beside each other,
and the engine and the user have threads of their own. Threads that a body starts are its own, too. What happens in
libraries written in C, and in processes that a body starts, sends no events.
"""

from __future__ import annotations

import contextlib
import functools
import os
import stat
import sys
import tempfile
import threading
import weakref
from typing import TYPE_CHECKING, Any

from stargazer import config
from stargazer.errors import ProcessChanged
from stargazer.execute.descriptors import appends, open_folders, place_of, reads, writes
from stargazer.execute.installed import is_installed, libraries
from stargazer.execute.state import tell_of_variables
from stargazer.ledger.reads import MISSING, TREE, folder_value, tree_value
from stargazer.tools.programs import (
    files_in_word,
    files_of_script,
    folders_named,
    folders_of_patterns,
    is_regular,
    modules_run,
    signature_of,
    variables_of_script,
)
from stargazer.tools.shells import paths_in_word, values_in, variables_in

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from stargazer.execute.opens import Opens
    from stargazer.tools.programs import Signature

__all__ = ["Observed", "observed", "running"]

IMPORTERS = (
    "importlib", "_frozen_importlib", "pkgutil", "pkg_resources", "zipimport", "linecache", "tokenize", "inspect",
)  # fmt: skip
"""Modules that look for code: what they open is no data."""

LISTERS = ("iter_modules", "walk_packages", "iter_importer_modules", "_iter_file_finder_modules")
"""Functions of ``pkgutil`` that tell which modules there are: who asks finds plug-ins by it."""

ASK_FOR_OTHERS = ("os", "posixpath", "ntpath", "genericpath", "pathlib", "collections", "_collections_abc", "stargazer")
"""Modules that ask for a variable because somebody asks them."""

CALLS_BODY = "called"
"""Name of the method that calls a function which wires."""

LOADING = ("_load_unlocked", "exec_module", "_exec", "_find_and_load_unlocked")
INSTALLED = "installed"
ENGINE = "stargazer."
READS_FOR_BODIES = tuple(f"stargazer.{name}" for name in ("bio", "cid", "tasks"))
"""Parts of this package that open what a body gives them; the others look after their own files."""

SHARED_LOOPS = ("fsspecIO", "zarr", "asyncio_")
"""Threads that libraries start once a process, and that work for whoever asks."""

CODE = ("/__pycache__/", "/site-packages/", "/dist-packages/")
TELLS_OF_THREADS = (3, 13)
"""The first Python that surely sends an event when a thread is started."""

SOURCES = (".py", ".pyc", ".pth", ".zip", ".egg", "METADATA", "RECORD", "entry_points.txt", "top_level.txt")
NO_DATA = {"/", "/tmp", "/var/tmp", "/home", "/usr"}
"""Folders that are given to programs for what they write, or as a beginning of paths."""

OF_A_PACKAGE = (".dist-info", ".egg-info")
COMPILED = (".so", ".pyc", ".dylib", ".pyd")


class Observed:
    """What one body did while it ran.

    Parameters
    ----------
    task
        Name of the task, for messages.
    own
        Paths below which everything is the body's, or the engine's: scratch, store, caches.
    names
        Names in its code.

    Attributes
    ----------
    alone_online
        Asked whether nothing else of this process, as a store in the cloud, uses the network by threads that all share.
    may_move
        Whether it is the user's own program, which may change its directory.
    wires
        Whether it wires calls: what the engine does meanwhile, as to learn of tools, is not its doing.
    """

    def __init__(self, task: str, own: Iterable[str], names: frozenset[str] = frozenset()) -> None:
        self.task, self.names = task, names
        self.alone_online: Callable[[], bool] = lambda: True
        self.may_move = self.wires = False
        self.places = tuple(f"{path.rstrip(os.sep)}{os.sep}" for path in own)
        self.own = (*self.places, *libraries())
        self.imported: dict[str, str] = {}
        self.commands: list[list[str]] = []
        self.given: dict[str, Signature | None] = {}
        self.in_texts: set[str] = set()
        self.trees: dict[str, str] = {}
        self.states: dict[Any, Any] = {}
        self.files: dict[str, Signature | None] = {}
        self.folders: dict[str, str] = {}
        self.written: set[str] = set()
        self.open_folders: set[str] = set()
        self.started_in: set[str] = set()
        self.unpickled: set[str] = set()
        self.appended: set[str] = set()
        self.addresses: dict[str, None] = {}
        self.variables: dict[str, str | None] = {}
        self.asked: dict[str, str | None] = {}
        self.apart = False
        self.told_by_children: int | None = None
        self.beside: set[tuple[str, frozenset[str]]] = set()
        self.opens: Opens | None = None

    def opened(self, path: Any, mode: Any, flags: Any) -> None:
        """A file is opened: what is there already is read, unless it is only written to."""
        place = self._place(path)
        if place is None or self._is_below(path, mode, flags):
            return
        if self.opens is not None:
            self.opens.told.add(place)
        if writes(mode, flags):
            if not appends(mode, flags):
                self.appended.discard(place)
            elif place not in self.written:
                self.appended.add(place)
            self.written.add(place)
        if not reads(mode, flags) or place in self.written or place in self.files or place.endswith(COMPILED):
            return
        why, seen = _import_here(code=place.endswith(SOURCES)), _signature(place)
        if why != INSTALLED and (seen is None or stat.S_ISREG(seen[0])):
            self.files[place] = seen and seen[1:]
            if self.apart and self.told_by_children is not None:
                os.write(self.told_by_children, f"{place}\0".encode("utf-8", "surrogateescape"))
            if why:
                self.imported[place] = why

    def _is_below(self, path: Any, mode: Any, flags: Any) -> bool:
        """Whether a folder is opened, or a file below such a one (``dir_fd=``), which no event tells."""
        if not isinstance(flags, int) or mode is not None:
            return False
        if _removes():
            return True
        if os.path.isdir(path):
            self.open_folders.add(os.path.abspath(os.fsdecode(path)))
            return True
        if os.path.isabs(path) or os.path.lexists(path):
            return False
        places = [os.path.join(folder, os.fsdecode(path)) for folder in open_folders(self.open_folders)]
        for place in list(filter(os.path.lexists, places)) or places:
            self.opened(place, None, flags)
        return bool(places)

    def listed(self, path: Any) -> None:
        """A folder is listed."""
        path = place_of(path) if isinstance(path, int) else path
        place = self._place("." if path is None else path)
        folder = "" if place is None else place.rstrip(os.sep) + os.sep
        if folder and folder not in self.folders and _import_here() != INSTALLED and not _removes():
            self.folders[folder] = MISSING  # listing it sends an event, too
            if self.opens is not None:
                self.opens.watch(folder)
            self.folders[folder] = folder_value(folder)
            if _is_search() and not any(name.endswith(OF_A_PACKAGE) for name in os.listdir(folder)):
                del self.folders[folder]

    def made(self, path: Any) -> None:
        """A folder is made: what lies below it is the body's own."""
        place = self._place(path)
        if place is not None and not os.path.isdir(place):
            self.own = (f"{place}{os.sep}", *self.own)

    def linked(self, source: Any, target: Any) -> None:
        """A file or folder gets another name, by which a program may read it."""
        place = self._place(source)
        if place is not None and os.path.isdir(place):
            self._tree(place)
        elif place is not None:
            self.opened(place, "r", None)

    def _tree(self, place: str) -> None:
        """A whole folder is given to a program."""
        if place not in {*NO_DATA, tempfile.gettempdir(), os.path.expanduser("~")}:
            self.trees.setdefault(f"{place}{TREE}", tree_value(place))

    def moved(self, source: Any, target: Any) -> None:
        """A file gets another name: it is written there, and read if it is none that the body wrote."""
        if (found := self._place(source)) is not None and found not in self.written and is_regular(found):
            self.opened(found, "r", None)
        if (place := self._place(target)) is not None:
            self.written.add(place)

    def connected(self, address: Any) -> None:
        """The network is asked."""
        if isinstance(address, tuple) and len(address) > 1:
            self.addresses[f"{address[0]}:{address[1]}"] = None

    def sets(self, name: Any) -> None:
        """A variable of the environment gets a value, or loses it; modules that are imported set theirs once."""
        if not _import_here():
            name = os.fsdecode(name)
            self.variables.setdefault(name, config.variable(name))

    def asks(self, name: str) -> None:
        """A variable of the environment is asked for, by code that is no library's."""
        if name not in self.asked and name not in self.variables and not is_installed(_caller(ASK_FOR_OTHERS)):
            self.asked[name] = None
            self.asked[name] = config.variable(name)

    def forks(self) -> None:
        """A copy of this process is made: what it reads comes back through a file in memory."""
        if self.told_by_children is None and hasattr(os, "memfd_create"):
            self.told_by_children = os.memfd_create("reads")

    def ended(self) -> None:
        """Take what processes told that were forked meanwhile."""
        if self.told_by_children is not None:
            size = os.fstat(self.told_by_children).st_size
            told = os.pread(self.told_by_children, size, 0).split(b"\0")[:-1]
            os.close(self.told_by_children)
            for place in map(os.fsdecode, told):
                if place not in self.files and place not in self.written:
                    seen = _signature(place)
                    self.files[place] = seen and seen[1:]

    def started(self, program: Any, argv: Any, folder: Any = None) -> None:
        """A process is started by the body itself, past `work.run`."""
        if is_installed(_caller(("subprocess", "os", "asyncio"))):
            return
        words = [argv] if isinstance(argv, (str, bytes, os.PathLike)) else list(argv or [program])
        place = os.path.abspath(os.fsdecode(folder or "."))
        words = [word if isinstance(word, (str, os.PathLike)) else os.fsdecode(word) for word in words]
        self.command(words, here=place)
        named = [name for word in words for name in variables_in(str(word), words)]
        for name in [*named, *variables_of_script([str(word) for word in words], place)]:
            self.asked.setdefault(name, config.variable(name))

    def _place(self, path: Any) -> str | None:
        """Absolute path, where it lies outside of what is the body's own."""
        if isinstance(path, str) and path.startswith(self.own) and "/../" not in path:
            return None
        try:
            place = os.path.abspath(os.fsdecode(path))
        except (TypeError, ValueError, OSError):
            return None  # an open file, or no path at all
        whole = f"{place}{os.sep}"
        if whole.startswith(self.own) or any(part in whole for part in CODE):
            return None
        return place

    def command(self, argv: Sequence[Any], *, here: str = "") -> None:
        """A program is started: its words may name files and folders that lie elsewhere.

        Parameters
        ----------
        argv
            The command and its arguments.
        here
            The folder that it runs in, unless `work.run` starts it in the work directory.
        """
        words = [os.fsdecode(word) if isinstance(word, os.PathLike) else str(word) for word in argv]
        self.commands.append(words)
        for path in modules_run(words, here or os.sep):
            self._give(path, in_text=True)
        for word in words[1:]:
            for path in [*paths_in_word(word), *(files_in_word(word, here) if here else ())]:
                self._give(path, in_text=os.path.basename(path) not in map(os.path.basename, values_in(word)))
        self._watch_started(words, here)
        for path in files_of_script(words, here) if here else ():
            self._give(path, in_text=True)

    def _watch_started(self, words: list[str], here: str) -> None:
        """Have the kernel tell what a program opens below the folders that its command names, or where it starts."""
        listed = self._outside(folders_of_patterns(words, here))
        for place in listed:
            self.folders.setdefault(whole := f"{place}{os.sep}", folder_value(whole))
        begun = self._outside([*folders_named(words, here), *([here] if here else [])])
        self.started_in.update(listed, begun)
        for place in dict.fromkeys([*listed, *begun]):
            if self.opens is not None:
                self.opens.watch(place, deep=True)

    def _outside(self, folders: Iterable[str]) -> list[str]:
        """Those that lie outside of what is the body's own, and that hold data."""
        places = (place.rstrip(os.sep) for place in map(self._place, folders) if place is not None)
        return [each for each in places if each not in {"", *NO_DATA, tempfile.gettempdir(), os.path.expanduser("~")}]

    def _give(self, path: str, *, in_text: bool) -> None:
        place = self._place(path)
        if place is None or place in self.given:
            return
        if is_regular(place):
            self.given[place] = signature_of(place)
            if in_text:
                self.in_texts.add(place)
        elif not in_text and os.path.isdir(place):
            self._tree(place)


def _signature(place: str) -> tuple[int, int, int, int, int] | None:
    try:
        found = os.stat(place)
    except (OSError, ValueError):
        return None
    return found.st_mode, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def _import_here(*, code: bool = True) -> str:
    """What imports: `INSTALLED` for Python's own looking for code and for libraries, else the name of an own module."""
    frame: Any = _outside()
    name = _module(frame)
    if name.startswith("pathlib"):  # whoever reads a path by its methods
        frame = _beyond(frame, ("pathlib",))
        name = _module(frame)
    if code and name.startswith(IMPORTERS) and _is_import(frame):
        return INSTALLED
    if name.startswith(ENGINE) and not name.startswith(READS_FOR_BODIES):
        return INSTALLED
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib") and frame.f_code.co_name in LOADING:
            spec = frame.f_locals.get("spec") or getattr(frame.f_locals.get("module"), "__spec__", None)
            if spec is not None:
                return INSTALLED if is_installed(str(spec.origin or "")) else str(spec.name)
        frame = frame.f_back
    return ""


def _removes() -> bool:
    """Whether a tree is looked through to be removed: what was in it shapes no result."""
    frame = _beyond(_outside(), ("os",))
    return _module(frame) == "shutil" and "rmtree" in frame.f_code.co_name


def _is_search() -> bool:
    """Whether `importlib.metadata` looks for packages, in folders of which most have none."""
    return _module(_beyond(_outside(), ("pathlib",))).startswith("importlib.metadata")


def _is_import(frame: Any) -> bool:
    """Whether code is looked for because it is imported by its name, or is a library's: not loaded from a path."""
    while frame is not None and _module(frame).startswith(IMPORTERS):
        if frame.f_code.co_name in ("_load_unlocked", "_find_and_load", "_find_and_load_unlocked", "find_spec"):
            return True
        if not _module(frame).startswith(("importlib", "_frozen_importlib")) and frame.f_code.co_name not in LISTERS:
            return True
        frame = frame.f_back
    return frame is None or is_installed(frame.f_code.co_filename)


def _outside() -> Any:
    """The innermost frame that is none of this hook."""
    frame: Any = sys._getframe(1)
    while frame.f_code.co_filename == __file__:
        frame = frame.f_back
    return frame


def _module(frame: Any) -> str:
    return "" if frame is None else str(frame.f_globals.get("__name__", ""))


def _beyond(frame: Any, passed: tuple[str, ...]) -> Any:
    """The innermost frame from here on that is none of some modules of Python's own."""
    while frame is not None and _module(frame).partition(".")[0] in passed:
        frame = frame.f_back
    return frame


def _caller(passed: tuple[str, ...]) -> str:
    """File of the code that leads here, beyond the modules of Python's own that it went through."""
    frame = _beyond(_outside(), passed)
    return "" if frame is None else str(frame.f_code.co_filename)


_bodies: dict[int, Observed] = {}
"""What runs on each thread."""

_active: list[Observed] = []
_children: weakref.WeakKeyDictionary[threading.Thread, Observed] = weakref.WeakKeyDictionary()
_lock = threading.Lock()


def running() -> list[Observed]:
    """Bodies that run in this process now."""
    with _lock:
        return list(_active)


def _body_here() -> Observed | None:
    """The body that this thread works for; None where there is none, or nobody can say which."""
    found = _bodies.get(threading.get_ident())
    if found is not None or not _active:
        return None if found is not None and found.wires and _is_engine_at_work() else found
    thread = getattr(threading, "_active", {}).get(threading.get_ident())
    owner = _children.get(thread) if thread is not None else None
    if owner in _active:
        return owner
    shared = owner is not None or str(getattr(thread, "name", "")).startswith(SHARED_LOOPS)
    return _active[0] if shared and len(_active) == 1 else None


def _is_engine_at_work() -> bool:
    """Whether the engine does something for a function that wires, as to learn of a tool.

    Between the method that calls such a function and what the function does itself stands no module of the engine.
    """
    frame = _outside()
    while frame is not None and not _module(frame).startswith(ENGINE):
        frame = frame.f_back
    return frame is not None and frame.f_code.co_name != CALLS_BODY


def _open(path: Any, mode: Any, flags: Any) -> None:
    if (body := _body_here()) is not None:
        body.opened(path, mode, flags)


def _list(path: Any = ".", *_: Any) -> None:
    if (body := _body_here()) is not None:
        body.listed(path)


def _make(path: Any, *_: Any) -> None:
    if (body := _body_here()) is not None:
        body.made(path)


def _move(source: Any, target: Any, *_: Any) -> None:
    if (body := _body_here()) is not None:
        body.moved(source, target)


def _link(source: Any, target: Any, *_: Any) -> None:
    if (body := _body_here()) is not None:
        body.linked(source, target)


def _symlink(source: Any, target: Any, *_: Any) -> None:
    """A relative link leads from where it lies."""
    with contextlib.suppress(TypeError):  # bytes beside text
        source = os.path.join(os.path.dirname(os.fspath(target)), os.fspath(source))
    _link(source, target)


def _connect(_: Any, address: Any) -> None:
    body = _body_here()
    if body is not None and (threading.get_ident() in _bodies or body.alone_online()):
        body.connected(address)


def _unpickle(module: Any, _: Any) -> None:
    """A pickle names what a module has, which no key need know of."""
    if (body := _body_here()) is not None:
        body.unpickled.add(str(module))


def _set(name: Any, *_: Any) -> None:
    if (body := _body_here()) is not None:
        body.sets(name)


def _start(program: Any, argv: Any = None, folder: Any = None) -> None:
    if (body := _body_here()) is not None:
        body.started(program, argv, folder)


def _ask(name: str) -> None:
    if _active and (body := _body_here()) is not None:
        body.asks(name)


def _fork() -> None:
    if _active and (body := _body_here()) is not None:
        body.forks()


def _start_shell(command: Any) -> None:
    if (body := _body_here()) is not None:
        body.started("sh", ["sh", "-c", command])


def _start_thread(function: Any, *_: Any) -> None:
    thread = getattr(function, "__self__", None)
    if isinstance(thread, threading.Thread) and (body := _body_here()) is not None:
        _children[thread] = body


def _change_directory(path: Any) -> None:
    body = _body_here()
    if body is not None and not (body.may_move or body.apart):
        raise ProcessChanged(
            f"the body of task {body.task} called os.chdir({path!r}), which would move all calls of this process: "
            "write to work.file(…), read from the paths of its inputs, and run programs with work.run, which start in "
            "the work directory"
        )


_HANDLERS: dict[str, Callable[..., None]] = {
    "open": _open,
    "sqlite3.connect": lambda path: _open(path, "r", None),
    "os.listdir": _list,
    "os.scandir": _list,
    "os.mkdir": _make,
    "pickle.find_class": _unpickle,
    "os.rename": _move,
    "os.link": _link,
    "os.symlink": _symlink,
    "os.chdir": _change_directory,
    "os.putenv": _set,
    "os.unsetenv": _set,
    "socket.connect": _connect,
    "socket.sendto": _connect,
    "subprocess.Popen": lambda program, argv=None, folder=None, *_: _start(program, argv, folder),
    "os.posix_spawn": lambda program, argv=None, *_: _start(program, argv),
    "os.system": _start_shell,
    "_thread.start_new_thread": _start_thread,
    "_thread.start_joinable_thread": _start_thread,
}


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    if _active and (handler := _HANDLERS.get(event)) is not None:
        handler(*arguments)


@functools.cache
def _install() -> None:
    """Hooks cannot be taken away again: one a process, from the first body on."""
    sys.addaudithook(_hook)
    os.register_at_fork(before=_fork, after_in_child=_forget)
    tell_of_variables(_ask)
    if sys.version_info < TELLS_OF_THREADS:
        threading.Thread.start = _telling(threading.Thread.start)  # type: ignore[method-assign, assignment]


def _forget() -> None:
    """A forked child is a process of its own: what it does to itself harms nobody, what it reads the body has read."""
    global _lock
    _lock = threading.Lock()
    body = _bodies.get(threading.get_ident())
    _bodies.clear()
    _active.clear()
    if body is not None:
        body.apart, body.opens = True, None
        _bodies[threading.get_ident()] = body
        _active.append(body)


def _telling(start: Callable[[threading.Thread], None]) -> Callable[[threading.Thread], None]:
    """`Thread.start` that tells who starts it, for Pythons that send no event then."""

    @functools.wraps(start)
    def telling(self: threading.Thread) -> None:
        if _active and (body := _body_here()) is not None:
            _children[self] = body
        start(self)

    return telling


@contextlib.contextmanager
def observed(body: Observed) -> Iterator[None]:
    """Observe a body while it runs on this thread."""
    thread = threading.get_ident()
    outer = _bodies.get(thread)
    with _lock:
        _install()
        for other in _active:
            if other is not outer:
                other.beside.add((body.task, body.names))
                body.beside.add((other.task, other.names))
        _active.append(body)
    _bodies[thread] = body
    try:
        yield
    finally:
        if outer is None:
            del _bodies[thread]
        else:
            _bodies[thread] = outer
        with _lock:
            _active.remove(body)
        if not body.apart:
            body.ended()
