"""What cannot be hashed is a warning that names it, never silence."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from types import ModuleType

import pytest

from stargazer.fingerprint import UncertainIdentity, identify

Loader = Callable[..., ModuleType]

UNCERTAIN = {
    "object of a library": ("import random\nR = random.Random(1)\ndef body(work): return R.random()", "random:Random"),
    "object array": ("import numpy as np\nA = np.array([object()])\ndef body(work): return A", "numpy:ndarray"),
    "generator": ("import numpy as np\nR = np.random.default_rng(1)\ndef body(work): return R", "Generator"),
    "method of a generator": (
        "import numpy as np\nd = np.random.default_rng(1).normal\ndef body(work): return d()",
        "Generator",
    ),
    "object in a dict": ("T = {'a': open(__file__)}\ndef body(work): return T['a'].read()", "TextIOWrapper"),
    "eval": ("def body(work): return eval('x')", r"eval\(\)"),
    "globals": ("def body(work): return globals()['x']", r"globals\(\)"),
    "function without source": ("exec('def f(): return 1')\ndef body(work): return f()", "source of pipeline:f"),
    "class without source": ("C = type('C', (), {})\ndef body(work): return C()", "source of class pipeline:C"),
    "a list that holds itself": ("L = []\nL.append(L)\ndef body(work): return L", "list that holds itself"),
}


@pytest.mark.parametrize("what", UNCERTAIN)
def test_what_cannot_be_hashed_is_named(load: Loader, what: str) -> None:
    source, name = UNCERTAIN[what]
    module = load(source)
    with pytest.warns(UncertainIdentity, match=f"go unnoticed by task body: .*{name}"):
        first = identify(module.body, "body")
    assert first.is_current()


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
    "types": "import typing\nT = typing.TypeVar('T')\nX = list[int] | None\ndef body(work): return typing.cast(X, T)",
}


@pytest.mark.parametrize("what", CERTAIN)
def test_what_can_be_hashed_warns_of_nothing(load: Loader, what: str) -> None:
    module = load(CERTAIN[what])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        identity = identify(module.body, "body")
    assert identity.is_current()


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
