"""What follows from what was seen of a body: reads that later look-ups ask for, notes, warnings or errors."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

from stargazer import config
from stargazer.errors import UndeclaredInput
from stargazer.execute.audit import COMPILED, Observed, observed, running
from stargazer.execute.installed import is_installed
from stargazer.execute.named import OF_THE_MACHINE, Named, named_by
from stargazer.execute.opens import DATA, Opens, folders_in
from stargazer.execute.state import Change, compared
from stargazer.ledger.reads import (
    ALWAYS,
    CHANGED,
    LOOKED_FOR,
    MISSING,
    TREE,
    file_value,
    looked_value,
    tree_value,
    variable_value,
)
from stargazer.tools.identity import EMBEDDED_TOOLS, locate_tool
from stargazer.tools.programs import (
    ENGINE,
    commands_in,
    is_regular,
    named_files,
    own_modules,
    places_of_modules,
    program_digest,
    script_of,
    signature_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from stargazer.execute.spec import TaskSpec

__all__ = ["Findings", "HiddenInput", "ProcessWarning"]

SYSTEM_FOLDERS = ("/bin/", "/usr/bin/")
SYSTEM_PROGRAMS = {
    "sh", "bash", "dash", "env", "cat", "cp", "mv", "ln", "ls", "mkdir", "rm", "rmdir", "touch", "chmod",
    "echo", "printf", "true", "false", "test", "sleep", "yes", "seq", "head", "tail", "cut", "paste", "join",
    "tr", "sort", "uniq", "comm", "wc", "tee", "split", "nl", "tac", "rev", "fold", "expand", "unexpand",
    "basename", "dirname", "readlink", "realpath", "pwd", "date", "id", "uname", "dd", "od", "cmp", "diff",
    "find", "xargs", "grep", "egrep", "fgrep", "sed", "awk", "mawk", "gawk", "expr", "md5sum", "sha1sum",
    "sha256sum", "sha512sum", "cksum", "sum", "kill", "nice", "nohup", "timeout", "stat", "du", "df", "mktemp",
    "tsort", "shuf", "csplit", "fmt", "pr", "numfmt", "base64", "base32", "printenv", "setsid", "stdbuf", "time",
}  # fmt: skip
"""What every system has, and what is seldom another program elsewhere: told in the log, and declared by nobody."""

QUIET = {"TZ"}
"""Variables of which nobody is told: the time zone, by which each clock goes."""

SHOWN = 5
PASS_FILE = "add it (sg.add) and pass it as an asset, or a program's script as one"


class HiddenInput(UserWarning):
    """A body read what is not among its inputs, or ran a program that its task does not declare."""


class ProcessWarning(UserWarning):
    """A body changed what all of its process shares."""


class Findings:
    """What one body read, ran and changed beside its arguments.

    Parameters
    ----------
    spec
        The task, with what its calls share.
    own
        Paths below which everything is the body's, or the engine's.
    parameters
        Plain values that it was given.
    strict
        Whether hidden inputs are errors.
    alone_online
        As for `Observed`.
    """

    def __init__(
        self,
        spec: TaskSpec,
        own: Iterable[str],
        parameters: Mapping[str, Any],
        *,
        strict: bool = False,
        alone_online: Callable[[], bool] = lambda: True,
    ) -> None:
        self.spec, self.strict = spec, strict
        self.named: Named = named_by(spec.task.body, spec.code)
        self.body = Observed(spec.name, own, self.named.names)
        self.body.alone_online = alone_online
        self._constants = self.named.unseen(parameters.values())
        self._before = {path: signature_of(path) for path in self._constants}
        self._parameters = parameters
        self._began = 0
        self._lacks = False
        self._by_kernel: set[str] = set()
        self.reads: dict[str, str] = {}
        self._hidden: dict[str, str] = {}
        self._asked: list[str] = []
        self._changes: list[Change] = []
        self._left: list[str] = []

    @contextlib.contextmanager
    def watched(self) -> Iterator[None]:
        """Run the body in here."""
        self.body.states = {holder.key: holder.state() for holder in self.named.holders}
        _forget_emptied(self.body.states)
        variables = {f"${name}": variable_value(name) for name in self.named.variables if name not in self._declared}
        named = self.named.looked_for_among(_texts_of(self._parameters))
        looked_for = {name: looked_value(name) for name in named if self._is_elsewhere(name)}
        with self._kernel_asked(), compared(self.body) as changes, observed(self.body):
            yield
        self._changes = changes
        self.reads |= variables
        self.reads |= {name: value for name, value in looked_for.items() if looked_value(name) == value}
        self.reads |= dict.fromkeys([*self.named.once, *([ALWAYS] if self._lacks else [])], CHANGED)
        asked = {name for name in self.body.asked if not OF_THE_MACHINE.fullmatch(name)} - self.body.variables.keys()
        self.reads |= {f"${name}": variable_value(name) for name in asked if f"${name}" not in variables}
        self._asked = sorted({*asked, *self.named.variables} - QUIET)
        self._collect()
        now = {holder.key: holder.state() for holder in self.named.holders}
        changed = [holder for holder in self.named.holders if now[holder.key] != self.body.states[holder.key]]
        self._left = sorted({holder.label for holder in changed})
        if now or _remembered or self.body.imported:
            self._take_over(now)
            self._remember([holder.key for holder in changed])

    @contextlib.contextmanager
    def _kernel_asked(self) -> Iterator[None]:
        """Have what libraries in C open told by the kernel, where the code names one that does."""
        if self.named.texts is None:
            yield
            return
        variables = (config.variable(name) for name in self.named.variables)
        with contextlib.closing(Opens(self.body.own)) as opens:
            self.body.opens = opens
            for here in _current_folder():
                opens.watch(here)
            for folder in sorted({*folders_in([*self.named.texts, *_texts_of(self._parameters), *variables])}):
                opens.watch(folder, deep=True)
            self._began = time.time_ns()
            yield
            self._take_opened(*opens.read())

    def _take_opened(self, opened: set[str], written: set[str], lacks: bool) -> None:
        """What the kernel told: in the current folder, where other programs work too, only files of data."""
        quiet, started = {*_current_folder()} - self.body.started_in, self._started()
        self._lacks = lacks
        for path in sorted((opened | written) - started):
            if path.startswith(self.body.own) or path.endswith(COMPILED) or path in self.body.written:
                continue
            if os.path.dirname(path) in quiet and not path.lower().endswith(DATA):
                continue
            if path in written:
                self.body.written.add(path)
            elif is_regular(path):
                seen = signature_of(path)
                self._by_kernel |= {path} - self.body.files.keys() - self.body.given.keys()
                self.body.files.setdefault(path, seen if seen and seen[-1] < self._began else (0, 0, 0, 0))

    def _started(self) -> set[str]:
        """Files of the programs that were started, which are opened for it: they count as what they are."""
        names = {name for words in self.body.commands for name in commands_in(words)}
        return {os.path.abspath(path) for path in map(_program_path, names) if path is not None}

    def _is_elsewhere(self, name: str) -> bool:
        return not f"{name.lstrip(LOOKED_FOR)}{os.sep}".startswith(self.body.own)

    @property
    def _declared(self) -> set[str]:
        """Variables that are passed on and count nowhere, as secrets do; or count as they are given to a cell."""
        return {*self.spec.secrets, *(self.spec.env if self.spec.task.reads_are_inputs else ())}

    def command(self, argv: Sequence[Any]) -> None:
        """`work.run` starts a program."""
        self.body.command(argv)

    @property
    def noted(self) -> list[str]:
        """What a person should know, for the record."""
        lines = [text for text, _ in self._told()]
        if written := sorted(self.body.written):
            lines.append(f"wrote {_listed(written)} outside of its work directory, which is not part of its result")
        if self._left:
            lines.append(f"left something for later calls in {_listed(self._left)}")
        return lines

    def tell(self, warn: Any) -> None:
        """Warn of what shapes the result unseen.

        Raises
        ------
        UndeclaredInput
            With `stargazer.strict`, in place of the warning.
        """
        for text, remedy in self._told():
            message = f"task {self.body.task} {text}: {remedy}"
            kind = ProcessWarning if text.startswith("changed ") else HiddenInput
            if kind is HiddenInput and self.strict:
                raise UndeclaredInput(f"{message} (stargazer.strict is on)")
            warn(message, kind)

    def _told(self) -> Iterator[tuple[str, str]]:
        """What is said, each with its remedy."""
        chance = [*self.named.chance, *(self.named.clocks if self.spec.wires else ())]
        found = (
            self._hidden, self._asked, self.named.asks_by_name, self.named.once, self.body.addresses, self._changes,
            chance, self._lacks,
        )  # fmt: skip
        if not any(found) or self.spec.task.reads_are_inputs:
            return
        # What the text of a shell's -c names may as well be written or only looked for: it counts, and is no reproach.
        quiet = () if self.strict else self.body.in_texts
        files = [name for name in self._hidden if name.startswith("/") and name not in quiet]
        if files:
            remedy = f"{PASS_FILE}; until then it runs again when that changes"
            if unsure := [name for name in files if name in self._by_kernel]:
                remedy += f". The system does not say who opened {_listed(unsure)}: it may be what ran at the same time"
            yield f"read {_listed(files)} beside its inputs", remedy
        if variables := [name for name in self._asked if not self._says_where_to_write(name)]:
            yield f"reads the environment ({_listed(variables)})", "pass it as a parameter"
        if self.named.once:
            yield f"reads {_listed(self.named.once)}, which each process has of its own", "pass it as a parameter"
        if self.named.asks_by_name and not self.body.asked:
            yield "reads variables of the environment by names that it works out", "pass their values as parameters"
        if self._lacks:
            yield "opened more files than can be told of", "pass them as assets; until then it runs each time"
        programs = [name[1:] for name in self._hidden if name.startswith("!")]
        if programs:
            yield f"ran {_listed(programs)} without declaring it", "name it in @sg.task(tools=[…])"
        if self.body.addresses:
            what = f"asked the network ({_listed(list(self.body.addresses))})"
            yield what, "fetch what it needs beforehand, and pass it as an asset: what is there may change unnoticed"
        if chance:
            remedy = "pass a seed, a date or a name as a parameter; files that nobody keeps are named by tempfile"
            yield f"calls {_listed(chance)}, which gives something else each time", remedy
        for change in self._changes:
            if not change.put_back:
                what = f"drew from {change.what}, which all of its process shares, so that no run can be repeated"
                yield what, change.remedy
            else:
                yield f"changed {change.what} of its whole process", f"it was put back; {change.remedy}"

    def _says_where_to_write(self, variable: str) -> bool:
        return os.path.abspath(config.variable(variable) or os.sep) in self.body.written

    def _collect(self) -> None:
        """What stands behind all that was read, unless it changed meanwhile."""
        named = {path: seen for path, seen in self._before.items() if path not in self.body.written}
        files = {**named, **self.body.files}
        for path, seen in files.items():
            self._found(path, MISSING if seen is None else _value(path, seen))
        for path, seen in self.body.given.items():
            if seen == signature_of(path) and not self._is_part_of_tool(path):  # else it is what the program made
                self._found(path, file_value(path))
        for folder, value in self.body.folders.items():
            self._found(folder, value)
        for name, value in self.body.trees.items():
            if tree_value(name.removesuffix(TREE)) == value:  # else it is where the program writes
                self._found(name, value)
        for words in self.body.commands:
            self._command(words)
        for module in sorted(self.body.unpickled):
            self._unpickled(module)
        self.reads |= self.spec.task.also_read(self.body)

    def _unpickled(self, module: str) -> None:
        """What a pickle named of one's own counts with all that it imports; the key may hold it already."""
        file = str(getattr(sys.modules.get(module), "__file__", None) or "")
        if file.endswith(".py") and not is_installed(file) and not file.startswith(self.body.own):
            self.reads |= {path: file_value(path) for path in (file, *_beside(file, "python"))}

    def _found(self, name: str, value: str) -> None:
        self.reads[name] = self._hidden[name] = value

    def _command(self, words: list[str]) -> None:
        for name in commands_in(words):
            self._program(name)
        script = script_of(words)
        path = os.path.abspath(script) if script and os.path.isabs(script) else None
        if path and path in self.body.given and path in self.reads:
            for each in _beside(path, words[0]):
                if not each.startswith(self.body.own):
                    self._found(each, file_value(each))

    def _program(self, name: str) -> None:
        path = _program_path(name)
        if path is None or os.path.abspath(path).startswith(self.body.places) or self._is_declared(name, path):
            return
        if os.path.basename(name) in SYSTEM_PROGRAMS and path.startswith(SYSTEM_FOLDERS):
            return
        self._found(f"!{name}", program_digest(name))

    def _is_declared(self, name: str, path: str) -> bool:
        declared = self._tools
        if name == "python" or name in declared or (name == "java" and "gatk" in declared):
            return True
        real = os.path.realpath(path)
        places = [sys.executable, *map(locate_tool, declared - EMBEDDED_TOOLS.keys())]
        return real in map(os.path.realpath, places)

    @property
    def _tools(self) -> set[str]:
        """Names of the tools that it declares, without the environment that others run in."""
        return {tool.name for tool in self.spec.tools if not tool.is_environment}

    def _is_part_of_tool(self, path: str) -> bool:
        """Whether a file is a declared tool, or belongs to the jar that is one: its digest stands in the key."""
        names = self._tools - EMBEDDED_TOOLS.keys()
        tools = {os.path.realpath(place) for place in map(locate_tool, names)}
        jars = {os.path.dirname(place) for place in tools if place.endswith(".jar")}
        real = os.path.realpath(path)
        return real in tools or (os.path.dirname(real) in jars and real.endswith((".jar", ".jsa")))

    def _take_over(self, now: Mapping[Any, Any]) -> None:
        """What bodies have read that still run, where they share a cache that got more since they began."""
        for other in running():
            if any(key in other.states and other.states[key] != state for key, state in now.items()):
                for path, seen in list(other.files.items()):
                    self.reads.setdefault(path, MISSING if seen is None else _value(path, seen))

    def _remember(self, changed: list[tuple[Any, ...]]) -> None:
        """What a cache holds was read once: who takes it from there later has read it, too."""
        with _lock:
            changed += [("module", module) for module in set(self.body.imported.values())]
            own = {name: value for name, value in self.reads.items() if not name.startswith("$")}
            for key in changed if own else ():
                _remembered.setdefault(key, {}).update(own)
            keys = [holder.key for holder in self.named.holders]
            modules = [key for key in _remembered if key[0] == "module"]
            keys += [key for key in modules if not self.named.names.isdisjoint(key[1].split("."))]
            for key in keys:
                for name, value in _remembered.get(key, {}).items():
                    self.reads.setdefault(name, value)


_lock = threading.Lock()
EMPTY = (0, (0,))
"""States of caches and containers that hold nothing."""

_remembered: dict[tuple[Any, ...], dict[str, str]] = {}
"""What was read into each cache of this process, as it was then."""


def _forget_emptied(states: Mapping[Any, Any]) -> None:
    """A cache that was emptied holds nothing of what was once read into it."""
    if _remembered:
        with _lock:
            for key, state in states.items():
                if state in EMPTY:
                    _remembered.pop(key, None)


def _program_path(name: str) -> str | None:
    """Where a program lies; None of those in the work directory, which are inputs or made there."""
    if os.sep in name:
        return name if os.path.isabs(name) else None
    return shutil.which(name, path=config.search_path())


def _current_folder() -> list[str]:
    """The current folder; nothing where it was removed."""
    try:
        return [os.getcwd()]
    except OSError:
        return []


def _texts_of(value: Any) -> Iterator[Any]:
    """Texts in a plain value, however deep."""
    if isinstance(value, (list, tuple, set, frozenset, dict)):
        for each in value.values() if isinstance(value, dict) else value:
            yield from _texts_of(each)
    else:
        yield value


def _value(path: str, seen: Any) -> str:
    return file_value(path) if signature_of(path) == seen else CHANGED


def _beside(script: str, interpreter: str) -> list[str]:
    """Files of the user's own that a script leads to."""
    try:
        with open(script, encoding="utf-8", errors="replace") as file:
            text = file.read()
    except OSError:
        return []
    name = os.path.basename(interpreter)
    if name.startswith("python"):
        found = own_modules(script, text, places_of_modules(), skipped=ENGINE)
        return [path for path in found if not is_installed(path)]
    return list(named_files(text, os.path.dirname(script), shell=name.endswith("sh")))


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more
