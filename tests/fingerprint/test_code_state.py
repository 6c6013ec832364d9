"""What code only remembers is no change of identity: it runs, has one digest everywhere, and is known again."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from stargazer.errors import UncertainCode
from stargazer.fingerprint import UncertainIdentity, identify
from stargazer.fingerprint.reach import Reach

Loader = Callable[..., ModuleType]

REMEMBERS = {
    "memo in a dict": "M = {}\ndef load(i):\n    if i not in M: M[i] = i\n    return M[i]",
    "memo with setdefault": "M = {}\ndef load(i): return M.setdefault(i, [i])",
    "memo that was filled before": "M = {}\ndef load(i):\n    M[i] = i\n    return M[i]\nload(7)",
    "late singleton": "M = None\ndef load(i):\n    global M\n    if M is None: M = {'w': 3}\n    return M['w']",
    "counter": "N = 0\ndef load(i):\n    global N\n    N += 1\n    return i",
    "list of what was seen": "SEEN = []\ndef load(i):\n    SEEN.append(i)\n    return i",
    "cache of a function": "import functools\n@functools.lru_cache\ndef load(i): return [i]",
    "unbounded cache": "import functools\n@functools.cache\ndef load(i): return [i]",
    "property that is kept": (
        "import functools\nclass C:\n    @functools.cached_property\n    def w(self): return 3\n"
        "c = C()\ndef load(i): return c.w"
    ),
    "attribute that is made late": (
        "class C:\n    def __init__(self): self._w = None\n    def w(self):\n        if self._w is None: self._w = 3\n"
        "        return self._w\nc = C()\ndef load(i): return c.w()"
    ),
    "memo of an object": (
        "class C:\n    def __init__(self): self.known = {}\n    def get(self, i):\n        if i not in self.known:\n"
        "            self.known[i] = i\n        return self.known[i]\nc = C()\ndef load(i): return c.get(i)"
    ),
    "default that remembers": "def load(i, memo={}):\n    memo[i] = i\n    return memo[i]",
    "attribute of a function": "def load(i):\n    load.calls += 1\n    return i\nload.calls = 0",
    "registry of a class": (
        "class C:\n    made = []\n    def __init__(self, i): C.made.append(i)\ndef load(i): return C(i) is not None"
    ),
    "memo in a closure": (
        "def make():\n    memo = {}\n    def load(i):\n        if i not in memo: memo[i] = i\n        return memo[i]\n"
        "    return load\nload = make()"
    ),
    "memo of a decorator": (
        "def remember(f):\n    memo = {}\n    def inner(i):\n        if i not in memo: memo[i] = f(i)\n"
        "        return memo[i]\n"
        "    return inner\n@remember\ndef load(i): return i"
    ),
    "patterns": (
        "import re\nP = {}\ndef load(i):\n    if i not in P: P[i] = re.compile(str(i))\n"
        "    return bool(P[i].match('1'))"
    ),
    "logger": "import logging\nlog = logging.getLogger(__name__)\ndef load(i):\n    log.debug(i)\n    return i",
    "lock": "import threading\nlock = threading.Lock()\ndef load(i):\n    with lock: return i",
    "folder of the code": "from pathlib import Path\nHERE = Path(__file__).parent\ndef load(i): return HERE.exists()",
    "text of the folder of the code": "import os\nHERE = os.path.dirname(__file__)\ndef load(i): return bool(HERE)",
    "processors": "import os\nN = os.cpu_count() or 1\ndef load(i): return min(N, 1)",
    "memo in another module": "from memory import load",
}
MEMORY = "M = {}\ndef load(i):\n    if i not in M: M[i] = i\n    return M[i]\n"


@pytest.mark.parametrize("what", REMEMBERS)
def test_running_changes_no_identity(load: Loader, what: str) -> None:
    source = f"{REMEMBERS[what]}\ndef body(work): return [load(i) for i in (1, 2, 1)]"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fresh = load(source, memory=MEMORY)
        before = identify(fresh.body, "body")
        fresh.body(None)
        assert before.is_current()
        used = load(source, memory=MEMORY)
        used.body(None)
        after = identify(used.body, "body")
    assert before.digest == after.digest
    assert before.wide == ()


KNOWN = """
import stargazer as sg
{source}

@sg.task
def t(work: sg.Workdir, *, i: int) -> int:
    with open({log!r}, "a") as log:
        log.write("x")
    return int(load(i) is not None)

if __name__ == "__main__":
    for _ in range(2):
        for i in (1, 2):
            t(i=i).compute(scheduler="threads")
"""


@pytest.mark.parametrize("what", ["memo in a dict", "late singleton", "attribute that is made late"])
def test_what_remembers_is_known_in_another_process_and_another_place(tmp_path: Path, what: str) -> None:
    log = tmp_path / "ran"
    for place in ("one", "two"):
        (tmp_path / place).mkdir()
        script = tmp_path / place / "pipeline.py"
        script.write_text(KNOWN.format(source=REMEMBERS[what], log=str(log)))
        env = os.environ | {"DASK_STARGAZER__STORE": str(tmp_path / "store")}
        subprocess.run([sys.executable, script], cwd=tmp_path, env=env, check=True)
        assert log.read_text() == "xx"


def test_what_a_notebook_sets_is_no_memory(load: Loader) -> None:
    source = (
        "class C:\n    depth = 1\n    def set(self, depth): self.depth = depth\nc = C()\ndef body(work): return c.depth"
    )
    module = load(source)
    before = identify(module.body, "body")
    module.c.set(2)
    assert not before.is_current()
    assert identify(module.body, "body").digest != before.digest


COUNTS = {
    "list by its length": "N = []\ndef load(i):\n    N.append(i)\n    return len(N)",
    "list as a whole": "N = []\ndef load(i):\n    N.append(i)\n    return list(N)",
    "last of a list": "N = [0]\ndef load(i):\n    before = N[-1]\n    N.append(i)\n    return before",
    "number": "N = 0\ndef load(i):\n    global N\n    N += 1\n    return N",
    "number by a sum": "N = 0\ndef load(i):\n    global N\n    N = N + i\n    return f'{N}'",
    "numbers by key": "N = {}\ndef load(i):\n    N[i] = N.get(i, 0) + 1\n    return N[i]",
    "lists by key": "N = {}\ndef load(i):\n    N.setdefault(i, []).append(i)\n    return N[i]",
    "entries of a memo": "N = {}\ndef load(i):\n    N[i] = i\n    return sorted(N)",
    "length of a memo": "N = {}\ndef load(i):\n    N[i] = i\n    return len(N)",
    "values of a memo": "N = {}\ndef load(i):\n    N[i] = i\n    return sum(N.values())",
    "set": "N = set()\ndef load(i):\n    N.add(i)\n    return len(N)",
    "default": "def load(i, N=[]):\n    N.append(i)\n    return len(N)",
    "attribute of a function": "def load(i):\n    load.N += 1\n    return load.N\nload.N = 0",
    "attribute of a class": "class C:\n    N = []\ndef load(i):\n    C.N.append(i)\n    return len(C.N)",
    "closure": (
        "def make():\n    N = 0\n    def load(i):\n        nonlocal N\n        N += 1\n        return N\n"
        "    return load\nload = make()"
    ),
    "two functions": "N = []\ndef note(i): N.append(i)\ndef load(i):\n    note(i)\n    return len(N)",
    "another module": "import memory\ndef load(i):\n    memory.N.append(i)\n    return len(memory.N)",
}


@pytest.mark.parametrize("what", COUNTS)
def test_a_result_that_depends_on_earlier_calls_is_told_before_it_runs(load: Loader, what: str) -> None:
    source = f"{COUNTS[what]}\ndef body(work): return [load(i) for i in (1, 2, 1)]"
    module = load(source, memory="N = []\n")
    with pytest.warns(UncertainIdentity, match=r"N, which code adds to while it runs and .*pass it as a parameter"):
        before = identify(module.body, "body")
    with pytest.raises(UncertainCode, match="so that a result depends on the calls before it"):
        identify(module.body, "body", strict=True)
    module.body(None)
    assert before.is_current()


NO_COUNTS = {
    "table that is filled once": (
        "N = []\ndef load(i):\n    if not N:\n        for each in (1, 2, 3): N.append(each)\n    return N[i], len(N)"
    ),
    "table that is filled once, the other way around": (
        "N = {}\ndef load(i):\n    if N:\n        return sorted(N)\n    for each in (1, 2, 3): N[each] = each\n"
        "    return sorted(N)"
    ),
    "memo with a limit": (
        "N = {}\ndef load(i):\n    if i not in N:\n        if len(N) > 100: N.pop(next(iter(N)))\n        N[i] = i\n"
        "    return N[i]"
    ),
    "memo of lists": (
        "N = {}\ndef load(i):\n    if i not in N:\n        N[i] = []\n        for each in (1, 2): N[i].append(each)\n"
        "    return N[i]"
    ),
    "number that is told": (
        "import logging\nN = 0\nlog = logging.getLogger(__name__)\ndef load(i):\n    global N\n    N += 1\n"
        "    log.info('call %d', N)\n    return i"
    ),
    "said once": ("N = set()\ndef load(i):\n    if i not in N:\n        N.add(i)\n        print(i)\n    return i"),
    "local of that name": "N = []\ndef load(i):\n    N = []\n    N.append(i)\n    return len(N)",
    "registry": (
        "N = {}\ndef register(f):\n    N[f.__name__] = f\n    return f\n@register\ndef one(i): return i\n"
        "def load(i): return [f(i) for f in N.values()]"
    ),
}


@pytest.mark.parametrize("what", NO_COUNTS)
def test_what_does_not_depend_on_earlier_calls_is_said_nothing_of(load: Loader, what: str) -> None:
    module = load(f"{NO_COUNTS[what]}\ndef body(work): return [load(i) for i in (1, 2, 1)]")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        before = identify(module.body, "body")
        module.body(None)
        assert before.is_current()
        assert identify(module.body, "body").digest == before.digest


@pytest.mark.parametrize(("parameter", "walks"), [("given", 1), ("given=[]", 2), ("*, given=[]", 2)])
def test_a_function_is_followed_again_only_for_what_it_keeps(
    parameter: str, walks: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of its own variables, only defaults are there before a call and after it."""
    (tmp_path / "kept.py").write_text(
        f"def f({parameter}):\n    made = []\n    made.append(1)\n    given.append(2)\n    return made\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "kept", raising=False)
    begun: list[object] = []
    begin = Reach.__init__
    monkeypatch.setattr(Reach, "__init__", lambda self, *argv: (begun.append(self), begin(self, *argv))[1])
    identify(importlib.import_module("kept").f, "f")
    assert len(begun) == walks
