"""What cannot be hashed is a warning that names it, never silence."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest

from stargazer.fingerprint import UncertainIdentity, identify

Loader = Callable[..., ModuleType]


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    """What modules of tests set for all their process is put back."""
    variables, path = dict(os.environ), list(sys.path)
    yield
    os.environ.clear()
    os.environ.update(variables)
    sys.path[:] = path


WIDE = {
    "object of a library": (
        "import asyncio\nE = asyncio.Event()\ndef body(work): return E.is_set()",
        "asyncio.locks:Event",
    ),
    "generator": ("G = (x for x in (1, 2))\ndef body(work): return list(G)", "builtins:generator"),
    "object in a dict": ("T = {'a': open(__file__)}\ndef body(work): return T['a'].read()", "TextIOWrapper"),
    "method of a file": ("read = open(__file__).read\ndef body(work): return read()", "TextIOWrapper"),
    "eval": ("def body(work): return eval('x' + 'y')", "eval of a name that is made while it runs"),
    "globals": ("def body(work): return globals()['x']", "builtins.globals"),
    "function without source": ("exec('def f(): return 1')\ndef body(work): return f()", "source of pipeline:f"),
}


@pytest.mark.parametrize("what", WIDE)
@pytest.mark.filterwarnings("ignore::stargazer.fingerprint.UncertainIdentity")
def test_what_is_not_understood_whole_is_named_and_makes_the_key_wide(load: Loader, what: str) -> None:
    source, name = WIDE[what]
    first = identify(load(source).body, "body")
    assert name in " ".join(first.wide)
    assert first.is_current()
    assert identify(load(f"# a comment\n{source}").body, "body").digest == first.digest
    assert identify(load(f"{source}\nUNRELATED = 1").body, "body").digest != first.digest


NOWHERE = {
    "function": ("exec('def f(): return 1', SPACE)\ndef body(work): return SPACE['f']()", "source of nowhere:f"),
}


@pytest.mark.parametrize("what", NOWHERE)
def test_what_no_file_holds_is_a_warning(load: Loader, what: str) -> None:
    source, name = NOWHERE[what]
    module = load(f"SPACE = {{'__name__': 'nowhere'}}\n{source}")
    with pytest.warns(UncertainIdentity, match=name):
        identify(module.body, "body")


OUTSIDE = {
    "variable of the environment": "import os\nK = os.environ.get('HOME')\ndef body(work): return K",
    "file": "K = open(__file__).read()\ndef body(work): return K",
    "file, by a path": "from pathlib import Path\nK = Path(__file__).read_text()\ndef body(work): return K",
    "random number": "import random\nK = random.random()\ndef body(work): return K",
    "generator without a seed": "import random\nK = random.Random()\ndef body(work): return K.random()",
    "time": "import time\nK = time.time()\ndef body(work): return K",
    "in a function": "import os\ndef read(): return os.getenv('HOME')\nK = read()\ndef body(work): return K",
    "in another module": "from settings import K\ndef body(work): return K",
}


@pytest.mark.parametrize("what", OUTSIDE)
def test_a_value_that_came_from_outside_is_a_warning(load: Loader, what: str) -> None:
    module = load(OUTSIDE[what], settings="import os\nK = os.environ.get('HOME')")
    with pytest.warns(UncertainIdentity, match="K comes from outside when (pipeline|settings) is imported"):
        identify(module.body, "body")


@pytest.mark.parametrize("place", ["Path(__file__).with_name('settings.py')", "'settings.py'"])
def test_an_object_that_a_library_makes_of_a_file_at_import_is_a_warning(
    load: Loader, place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It counts by the text that makes it, and what the file says stands in none."""
    monkeypatch.chdir(tmp_path)
    made = f"PLACE = {place}\nK = sqlite3.connect(PLACE)\n"
    source = f"import sqlite3\nfrom pathlib import Path\n{made}def body(work): return K"
    module = load(source, settings="")
    module.K.close()
    with pytest.warns(UncertainIdentity, match=r"K, which is made of .*settings\.py when pipeline is imported"):
        identify(module.body, "body")


@pytest.mark.parametrize(
    "setting", ["os.environ['A'] = open(__file__).read()", "random.seed(os.environ.get('SEED', '1'))"]
)
def test_a_setting_that_came_from_outside_is_a_warning(load: Loader, setting: str) -> None:
    module = load(f"import os, random\n{setting}\ndef body(work): return 1")
    with pytest.warns(UncertainIdentity, match="what pipeline sets when it is imported comes from outside"):
        identify(module.body, "body")


@pytest.mark.parametrize("error", ["RuntimeError('no screen')", "SystemExit(3)", "OSError('no device')"])
@pytest.mark.parametrize("use", ["", "; return helper.K"], ids=["unnamed", "named"])
def test_an_own_module_that_cannot_be_imported_here_is_a_warning(load: Loader, error: str, use: str) -> None:
    module = load(f"def body(work):\n    import helper{use}", helper=f"raise {error}")
    with pytest.warns(UncertainIdentity, match=rf"module helper, which cannot be imported here \({error[:7]}"):
        identify(module.body, "body")


CERTAIN = {
    "logger": "import logging\nlog = logging.getLogger('x')\ndef body(work): log.info('hello')",
    "lock": "import threading\nlock = threading.Lock()\ndef body(work):\n    with lock: return 1",
    "library": "import numpy as np, json\ndef body(work): return np.mean([1]), json.dumps(1), np.float64(3), np.add",
    "object that refers to itself": "class C: pass\nc = C()\nc.me = c\ndef body(work): return c",
    "library that is not loaded": "def body(work):\n    import lib2to3.pytree as p\n    return p",
    "library that is not there": "def body(work):\n    import surely_not_installed as s\n    return s",
    "asset": "import stargazer as sg\nA = sg.Asset(facts={'x': [1]})\ndef body(work): return A",
    "enum made by a call": "import enum\nE = enum.Enum('E', 'A B')\ndef body(work): return E.A",
    "default dict": "import collections\nD = collections.defaultdict(list)\ndef body(work): return D",
    "a list that holds itself": "L = []\nL.append(L)\ndef body(work): return L",
    "seeded generator": "import random\nR = random.Random(1)\ndef body(work): return R.random()",
    "seeded generator of NumPy": "import numpy as np\nR = np.random.default_rng(1)\ndef body(work): return R.normal()",
    "folder of the code": "from pathlib import Path\nHERE = Path(__file__).parent\ndef body(work): return HERE.name",
    "size of the machine": "import os\nN = os.cpu_count()\ndef body(work): return N",
    "environment that is set": "import os\nos.environ.setdefault('A', '1')\ndef body(work): return 1",
    "search path of programs": "import os\nos.environ['ODD'] = ':/opt' + os.environ['PATH']\ndef body(work): return 1",
    "search path of modules": "import os, sys\nsys.path.append(os.getenv('ODD_LIB', '/odd'))\ndef body(work): return 1",
    "level of messages": (
        "import logging, os\nlog = logging.getLogger('odd')\nlog.setLevel(os.environ.get('LEVEL', 'INFO'))\n"
        "logging.getLogger('odd').setLevel(os.environ.get('LEVEL', 'INFO'))\ndef body(work): return 1"
    ),
    "import without a package": (
        "def body(work):\n    try: from . import helper\n    except ImportError: return 0\n    return helper.K"
    ),
    "text that is run": "x = 1\ndef body(work): return eval('x')",
    "types": "import typing\nT = typing.TypeVar('T')\nX = list[int] | None\ndef body(work): return typing.cast(X, T)",
}


@pytest.mark.parametrize("what", CERTAIN)
def test_what_can_be_hashed_warns_of_nothing(load: Loader, what: str) -> None:
    module = load(CERTAIN[what])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        identity = identify(module.body, "body")
    assert identity.is_current()
    assert identity.wide == ()


def test_a_library_that_only_the_body_imports_is_not_imported_for_its_digest(load: Loader) -> None:
    module = load("def body(work):\n    import pip._internal as p\n    import plistlib\n    return p, plistlib")
    for name in [name for name in sys.modules if name.partition(".")[0] in ("pip", "plistlib")]:
        del sys.modules[name]
    identify(module.body, "body")
    assert not {"pip", "plistlib"} & sys.modules.keys()


def test_a_long_chain_of_functions_is_followed_to_its_end(load: Loader) -> None:
    chain = "\n".join(f"def f{i}(): return f{i + 1}()" for i in range(2000)) + "\ndef body(work): return f0()\n"
    first, second = (identify(load(f"{chain}def f2000(): return {i}").body, "body") for i in (1, 2))
    changed = {name for name in first.manifest if first.manifest[name] != second.manifest[name]}
    assert changed == {"f2000"}


def test_the_manifest_names_each_piece(load: Loader) -> None:
    functions = "def double(x): return SCALE * x\ndef body(work): return C().m()"
    source = f"SCALE = 2\nclass C:\n    def m(self): return double(1)\n{functions}"
    assert set(identify(load(source).body, "body").manifest) == {"SCALE", "C", "C.m", "double", "body"}
