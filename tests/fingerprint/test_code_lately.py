"""What a living process does to things after a key was made of them: each next key is another, or a warning is told."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
import types
import warnings
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from stargazer.fingerprint import UncertainIdentity, compiled, identify

Loader = Callable[..., ModuleType]
Case = tuple[str, Callable[[ModuleType], object]]


def rewrite(name: str, text: str) -> None:
    """Edit the file of a module, and load it again."""
    file = Path(str(sys.modules[name].__file__))
    file.write_text(text)
    importlib.reload(sys.modules[name])


def put(name: str, function: Callable[[], object]) -> None:
    """Put another module in the place of one."""
    other = types.ModuleType(name)
    other.f = function  # type: ignore[attr-defined]
    sys.modules[name] = other


FOLLOWED: dict[str, Case] = {
    "default by name, in place": (
        "def f(*, x=1): return x\ndef body(work): return f()",
        lambda m: m.f.__kwdefaults__.update(x=2),
    ),
    "all of a partial": (
        "import functools\ndef f(x=1): return x\np = functools.partial(f, x=1)\ndef body(work): return p()",
        lambda m: m.p.__setstate__((m.f, (), {"x": 2}, {})),
    ),
    "value of an enum": (
        "import enum\nclass E(enum.Enum):\n    A = 1\ndef body(work): return E.A.value",
        lambda m: setattr(m.E.A, "_value_", 2),
    ),
    "attribute of a member of an enum": (
        "import enum\nclass E(enum.Enum):\n    A = 1\nE.A.extra = 1\ndef body(work): return E.A.extra",
        lambda m: setattr(m.E.A, "extra", 2),
    ),
    "order of an ordered dict": (
        "import collections\nD = collections.OrderedDict(a=1, b=2)\ndef body(work): return list(D)",
        lambda m: m.D.move_to_end("a"),
    ),
    "dict behind a proxy": (
        "import types\nD = {'a': 1}\nP = types.MappingProxyType(D)\ndef body(work): return P['a']",
        lambda m: m.D.update(a=2),
    ),
    "names of an array": (
        "import numpy as np\na = np.zeros(1, dtype=[('a', 'i4')])\ndef body(work): return a.dtype.names",
        lambda m: setattr(m.a.dtype, "names", ("b",)),
    ),
    "whether an array may be written": (
        "import numpy as np\na = np.zeros(1)\ndef body(work): return a.flags.writeable",
        lambda m: m.a.setflags(write=False),
    ),
    "variable of a context": (
        "import contextvars\nV = contextvars.ContextVar('V', default=1)\ndef body(work): return V.get()",
        lambda m: m.V.set(2),
    ),
    "class that belongs to an abstract one": (
        "import abc\nclass A(abc.ABC): pass\ndef body(work): return issubclass(int, A)",
        lambda m: m.A.register(int),
    ),
    "docstring": (
        "def f():\n    'one'\ndef body(work): return f.__doc__",
        lambda m: setattr(m.f, "__doc__", "two"),
    ),
    "annotation": (
        "def f(x: int): pass\ndef body(work): return str(f.__annotations__)",
        lambda m: m.f.__annotations__.update(x=str),
    ),
    "name of a function": (
        "def f(): pass\ndef body(work): return f.__name__",
        lambda m: setattr(m.f, "__name__", "g"),
    ),
    "module that is imported inside": (
        "def body(work):\n    import helpers\n    return helpers.f()",
        lambda m: put("helpers", lambda: 2),
    ),
}
WIDE: dict[str, Case] = {
    "module by a name that is made, loaded again": (
        "import importlib, helpers\ndef body(work): return importlib.import_module('help' + 'ers').f()",
        lambda m: rewrite("helpers", "def f(): return 22\n"),
    ),
    "module as a value, loaded again": (
        "import helpers\nT = [helpers]\ndef body(work): return T[0].f()",
        lambda m: rewrite("helpers", "def f(): return 22\n"),
    ),
    "constant of a module as a value, loaded again": (
        "import helpers\nT = [helpers]\ndef body(work): return T[0].K",
        lambda m: rewrite("helpers", "K = 22\ndef f(): return 1\n"),
    ),
    "module below one as a value, loaded again": (
        "import above\nT = [above]\ndef body(work): return T[0].f()",
        lambda m: rewrite("helpers", "def f(): return 22\n"),
    ),
    "function put into a module": (
        "import helpers\ndef body(work): return getattr(helpers, 'f')()",
        lambda m: setattr(m.helpers, "f", lambda: 2),
    ),
    "constant put into a module": (
        "import helpers\ndef body(work): return getattr(helpers, 'K')",
        lambda m: setattr(m.helpers, "K", 2),
    ),
}
MODULES = {"helpers": "K = 1\ndef f(): return 1\n", "above": "import helpers\ndef f(): return helpers.f()\n"}


@pytest.mark.parametrize("what", [*FOLLOWED, *WIDE])
@pytest.mark.filterwarnings("ignore::stargazer.fingerprint.UncertainIdentity")
def test_what_changes_later_is_another_key(load: Loader, what: str) -> None:
    source, change = {**FOLLOWED, **WIDE}[what]
    module = load(source, **MODULES)
    before, gave = identify(module.body, "body"), module.body(None)
    assert before.is_current()
    assert identify(module.body, "body").digest == before.digest
    change(module)
    assert module.body(None) != gave
    assert not before.is_current()
    assert identify(module.body, "body").digest != before.digest


@pytest.mark.filterwarnings("ignore::stargazer.fingerprint.UncertainIdentity")
def test_a_module_that_is_edited_before_it_is_loaded_at_last_is_another_key(load: Loader) -> None:
    module = load("import importlib\ndef body(work): return importlib.import_module('help' + 'ers').f()", **MODULES)
    before = identify(module.body, "body")
    assert "helpers" not in sys.modules
    Path(str(module.__file__)).with_name("helpers.py").write_text("def f(): return 22\n")
    assert not before.is_current()
    assert identify(module.body, "body").digest != before.digest


@pytest.mark.parametrize("value", ["5", "f"])
def test_what_another_module_puts_into_one_counts(load: Loader, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A whole module counts by its text, in which that does not stand."""
    monkeypatch.setattr(compiled, "_is_touched", lambda _: False)  # the files are older than this process
    source = "import helpers\ndef f(): return {}\nhelpers.K = {}\ndef body(work): return getattr(helpers, 'K')"
    found = []
    for number in ("5", "6"):
        module = load(source.format(number, value.replace("5", number)), **MODULES)
        found.append(identify(module.body, "body").digest)
    assert found[0] != found[1]


def test_of_what_was_put_into_a_module_nobody_asks_how_it_is_shown(load: Loader) -> None:
    source = "import helpers\nclass Silent:\n    __repr__ = None\ndef body(work): return getattr(helpers, 'K')"
    module = load(source, helpers="K = None\nL = -1.5\nM = ...\nN = 2j\n")
    before = identify(module.body, "body")
    assert not [name for name in before.manifest if " set in " in name]
    module.helpers.K = module.Silent()
    assert identify(module.body, "body").digest != before.digest


def test_a_function_of_the_same_module_put_in_the_place_of_one_counts(load: Loader) -> None:
    module = load(
        "import helpers\ndef body(work): return getattr(helpers, 'f')()",
        helpers="def f(): return 1\ndef other(): return 2\n",
    )
    before = identify(module.body, "body")
    module.helpers.f = module.helpers.other
    assert module.body(None) == 2
    assert not before.is_current()
    assert identify(module.body, "body").digest != before.digest


def test_of_a_package_as_a_value_counts_what_others_import_of_it(load: Loader) -> None:
    source = "import one.config\nT = [one]\ndef body(work): return [each.config.K for each in T]"
    found = []
    for value in (1, 2):
        module = load(source, **{"one/__init__": "", "one/config": f"K = {value}\n"})
        assert module.body(None) == [value]
        found.append(identify(module.body, "body").digest)
    assert found[0] != found[1]


@pytest.mark.filterwarnings("ignore::stargazer.fingerprint.UncertainIdentity")
def test_of_two_modules_that_end_alike_it_counts_which_one_was_set(
    load: Loader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compiled, "_is_touched", lambda _: False)  # the files are older than this process
    others = {"one/__init__": "", "one/config": "K = 1\n", "two/__init__": "", "two/config": "K = 1\n"}
    source = "import one.config as a, two.config as b\nT = [a, b]\ndef body(work): return [each.K for each in T]"
    found = []
    for name in ("one", "two"):
        module = load(source, **others)
        vars(sys.modules[f"{name}.config"])["K"] = 5
        found.append(identify(module.body, "body").digest)
    assert found[0] != found[1]


def test_what_a_module_only_remembers_is_no_change(load: Loader) -> None:
    helpers = "READY = False\nN = 0\ndef f():\n    global READY\n    READY = True\n    return 1\n"
    others = "import helpers\ndef g():\n    helpers.N += 1\n    return helpers.f()\n"
    module = load("import others\ndef body(work): return getattr(others, 'g')()", helpers=helpers, others=others)
    before = identify(module.body, "body")
    module.body(None)
    assert sys.modules["helpers"].N == 1
    assert before.is_current()
    assert identify(module.body, "body").digest == before.digest


OPAQUE: dict[str, Case] = {
    "frame": (
        "import pandas as pd\nX = pd.DataFrame({'x': [1, 2]})\ndef body(work): return X.x.tolist()",
        lambda m: m.X.__setitem__("x", [5, 6]),
    ),
    "cell of a frame": (
        "import pandas as pd\nX = pd.DataFrame({'x': [1, 2]})\ndef body(work): return X.x.tolist()",
        lambda m: m.X.iloc.__setitem__((0, 0), 5),
    ),
    "parameter of a model": (
        "from sklearn.linear_model import Ridge\nX = Ridge(alpha=1.0)\ndef body(work): return X.alpha",
        lambda m: m.X.set_params(alpha=2.0),
    ),
}


@pytest.mark.parametrize("what", OPAQUE)
def test_an_object_of_a_library_that_changed_is_told(load: Loader, what: str) -> None:
    """It counts by the text that made it, and no text may say what changed it."""
    source, change = OPAQUE[what]
    module = load(source)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        before = identify(module.body, "body")
        assert before.is_current()
        identify(module.body, "body")
    change(module)
    assert not before.is_current()
    with pytest.warns(UncertainIdentity, match=r"X, an object of .* that was changed after it was made"):
        identify(module.body, "body")


CELLS = """
import sys
from IPython.core.interactiveshell import InteractiveShell

del sys.modules["__main__"].__file__
shell = InteractiveShell.instance(user_module=sys.modules["__main__"])
for cell in {cells!r}:
    shell.run_cell(cell, store_history=True).raise_error()
"""
NOTEBOOK = [
    "import numpy as np, pandas as pd, warnings\nfrom stargazer.fingerprint import identify",
    "warnings.simplefilter('ignore')\nX = pd.DataFrame({'x': [1, 2]})",
    "def a(work): return str(np.array([1 / 3]))\ndef b(work): return X.x.tolist()",
    "one = [identify(a, 'a'), identify(b, 'b')]\nprint([each.is_current() for each in one])",
    "np.set_printoptions(precision=2)",
    "two = [identify(each, 'x') for each in (a, b)]",
    "print([each.is_current() for each in one], [x.digest == y.digest for x, y in zip(one, two)])",
    "X.loc[0, 'x'] = 5",
    "print(identify(a, 'a').digest == two[0].digest, identify(b, 'b').digest == two[1].digest)",
]


def test_what_a_later_cell_sets_or_changes_counts(tmp_path: Path) -> None:
    pytest.importorskip("IPython")
    (tmp_path / "cells.py").write_text(CELLS.format(cells=NOTEBOOK))
    environment = {**os.environ, "IPYTHONDIR": str(tmp_path)}
    command = [sys.executable, "cells.py"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["[True, True]", "[False, False] [False, False]", "True False"]
