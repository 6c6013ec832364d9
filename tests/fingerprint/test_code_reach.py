"""What counts as a task's code: everything of the user's own that it reaches, on whatever way."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from stargazer.fingerprint import parsing
from stargazer.fingerprint.parsing import children, walk

BLOCK = re.compile(r"^== (.*?) == (.*) => (.*)\n((?:(?!==).*\n)+)", re.MULTILINE)
"""Name, what is replaced by what, and the source in which it is replaced."""


def _cases(text: str) -> list[pytest.ParameterSet]:
    cases = [(name, old, new.replace(r"\n", "\n"), source) for name, old, new, source in BLOCK.findall(text)]
    assert len(cases) == text.count(" => ")
    assert all(old in source for _, old, _, source in cases)
    return [pytest.param(source, source.replace(old, new, 1), id=name) for name, old, new, source in cases]


CHANGES = r"""
== body == return 1 => return 2
def body(work): return 1

== called function == return 1 => return 2
def f(): return 1
def body(work): return f()

== function called by a function == return 1 => return 2
def g(): return 1
def f(): return g()
def body(work): return f()

== function defined below == return 1 => return 2
def body(work): return f()
def f(): return 1

== mutual recursion == n != 0 => n > 0
def even(n): return n == 0 or odd(n - 1)
def odd(n): return n != 0 and even(n - 1)
def body(work): return even(4)

== constant == SCALE = 1 => SCALE = 2
SCALE = 1
def body(work): return SCALE

== constant, of another type == SCALE = 1 => SCALE = 1.0
SCALE = 1
def body(work): return SCALE

== constant, boolean for a number == SCALE = 1 => SCALE = True
SCALE = 1
def body(work): return SCALE

== constant in a dict == [1] => [2]
T = {'a': [1]}
def body(work): return T['a']

== order of a dict == {'a': 1, 'b': 2} => {'b': 2, 'a': 1}
T = {'a': 1, 'b': 2}
def body(work): return list(T)

== path == 'a' => 'b'
from pathlib import Path
P = Path('a')
def body(work): return P

== pattern == 'a' => 'b'
import re
P = re.compile('a')
def body(work): return P

== flags of a pattern == ('a') => ('a', re.I)
import re
P = re.compile('a')
def body(work): return P

== date == 1, 1) => 1, 2)
import datetime
D = datetime.date(2026, 1, 1)
def body(work): return D

== numpy array == arange(3) => arange(4)
import numpy as np
A = np.arange(3)
def body(work): return A

== dtype of a numpy array == zeros(3) => zeros(3, 'f4')
import numpy as np
A = np.zeros(3)
def body(work): return A

== shape of a numpy array == zeros(4) => zeros((2, 2))
import numpy as np
A = np.zeros(4)
def body(work): return A

== default == k=1 => k=2
def body(work, *, k=1): return k

== default of a function == k=1 => k=2
def f(k=1): return k
def body(work): return f()

== constant in a default == K = 1 => K = 2
K = 1
def f(k=K): return k
def body(work): return f()

== lambda == x + 1 => x + 2
f = lambda x: x + 1
def body(work): return f(1)

== one of two lambdas in a line == x + 1 => x + 2
f, g = lambda x: x + 1, lambda x: x
def body(work): return f(1)

== nested function == return 1 => return 2
def body(work):
    def f(): return 1
    return f()

== constant in a nested function == K = 1 => K = 2
K = 1
def body(work):
    def f(): return K
    return f()

== constant in a comprehension == K = 1 => K = 2
K = 1
def body(work): return [K for _ in 'ab']

== a global beside a variable of a comprehension == x = 1 => x = 2
x = 1
def body(work): return [x for x in 'ab'] + [x]

== closure == make(1) => make(2)
def make(k):
    def body(work): return k
    return body
body = make(1)

== function in a closure == return 1 => return 2
def one(): return 1
def make(f):
    def body(work): return f()
    return body
body = make(one)

== partial == f, 1 => f, 2
import functools
def f(a): return a
p = functools.partial(f, 1)
def body(work): return p()

== function in a partial == return a => return -a
import functools
def f(a): return a
p = functools.partial(f, 1)
def body(work): return p()

== keyword in a partial == a=1 => a=2
import functools
def f(a): return a
p = functools.partial(f, a=1)
def body(work): return p()

== cached function == return 1 => return 2
import functools
@functools.lru_cache
def f(): return 1
def body(work): return f()

== decorated function == return 1 => return 2
import functools
def twice(f):
    @functools.wraps(f)
    def inner(): return 2 * f()
    return inner
@twice
def f(): return 1
def body(work): return f()

== decorator of a function == 2 * f() => 3 * f()
import functools
def twice(f):
    @functools.wraps(f)
    def inner(): return 2 * f()
    return inner
@twice
def f(): return 1
def body(work): return f()

== argument of a decorator == times(2) => times(3)
def times(n):
    def wrap(f):
        def inner(): return n * f()
        return inner
    return wrap
@times(2)
def f(): return 1
def body(work): return f()

== decorator that is a class == 2 * self.f() => 3 * self.f()
class Twice:
    def __init__(self, f): self.f = f
    def __call__(self): return 2 * self.f()
@Twice
def f(): return 1
def body(work): return f()

== function behind a decorator that is a class == return 1 => return 2
class Twice:
    def __init__(self, f): self.f = f
    def __call__(self): return 2 * self.f()
@Twice
def f(): return 1
def body(work): return f()

== context manager == yield 1 => yield 2
import contextlib
@contextlib.contextmanager
def f(): yield 1
def body(work):
    with f() as x: return x

== one way of a single dispatch == return 1 => return 2
import functools
@functools.singledispatch
def f(x): return 0
@f.register
def _(x: int): return 1
def body(work): return f(1)

== decorator of the body == 2 * f => 3 * f
def twice(f):
    def inner(work): return 2 * f(work)
    return inner
@twice
def body(work): return 1

== body behind a decorator == return 1 => return 2
def twice(f):
    def inner(work): return 2 * f(work)
    return inner
@twice
def body(work): return 1

== method == return 1 => return 2
class C:
    def m(self): return 1
def body(work): return C().m()

== method, decorated == K = 1 => K = 2
import functools
class C:
    @functools.lru_cache
    def m(self): return K
K = 1
def body(work): return C().m()

== what a method reads == K = 1 => K = 2
K = 1
class C:
    def m(self): return K
def body(work): return C().m()

== default of a method == K = 1 => K = 2
K = 1
class C:
    def m(self, k=K): return k
def body(work): return C().m()

== what a class method reads == K = 1 => K = 2
K = 1
class C:
    @classmethod
    def m(cls): return K
def body(work): return C.m()

== what a static method reads == K = 1 => K = 2
K = 1
class C:
    @staticmethod
    def m(): return K
def body(work): return C.m()

== what a property reads == K = 1 => K = 2
K = 1
class C:
    @property
    def p(self): return K
def body(work): return C().p

== what the setter of a property reads == K = 1 => K = 2
K = 1
class C:
    @property
    def p(self): return 0
    @p.setter
    def p(self, x): self.x = K
def body(work): C().p = 1

== what a cached property reads == K = 1 => K = 2
import functools
K = 1
class C:
    @functools.cached_property
    def p(self): return K
def body(work): return C().p

== attribute of a class == x = 1 => x = 2
class C:
    x = 1
def body(work): return C.x

== what a class body reads == K = 1 => K = 2
K = 1
class C:
    x = K
def body(work): return C.x

== base class == return 1 => return 2
class B:
    def m(self): return 1
class C(B): pass
def body(work): return C().m()

== metaclass == return 1 => return 2
class M(type):
    def m(cls): return 1
class C(metaclass=M): pass
def body(work): return C.m()

== decorator of a class == c.x = 1 => c.x = 2
def mark(c):
    c.x = 1
    return c
@mark
class C: pass
def body(work): return C.x

== inner class == return 1 => return 2
class C:
    class D:
        def m(self): return 1
def body(work): return C.D().m()

== dataclass == int = 1 => int = 2
from dataclasses import dataclass
@dataclass
class C:
    x: int = 1
def body(work): return C().x

== annotation in a dataclass == x: int => x: float
from dataclasses import dataclass
@dataclass
class C:
    x: int = 1
def body(work): return C()

== method of a constant dataclass == return 1 => return 2
from dataclasses import dataclass
@dataclass
class C:
    x: int = 1
    def m(self): return 1
c = C()
def body(work): return c.m()

== value of a constant dataclass == C(5) => C(6)
from dataclasses import dataclass
@dataclass
class C:
    x: int = 1
c = C(5)
def body(work): return c.x

== enum == A = 1 => A = 2
import enum
class E(enum.Enum):
    A = 1
def body(work): return E.A.value

== method of a constant enum == return 1 => return 2
import enum
class E(enum.Enum):
    A = 1
    def m(self): return 1
a = E.A
def body(work): return a.m()

== named tuple == return 1 => return 2
from typing import NamedTuple
class T(NamedTuple):
    x: int = 1
    def m(self): return 1
t = T()
def body(work): return t.m()

== object == C(5) => C(6)
class C:
    def __init__(self, x): self.x = x
c = C(5)
def body(work): return c.x

== method of an object == return 1 => return 2
class C:
    def m(self): return 1
c = C()
def body(work): return c.m()

== object with slots == C(5) => C(6)
class C:
    __slots__ = ('x',)
    def __init__(self, x): self.x = x
c = C(5)
def body(work): return c.x

== bound method == C(5) => C(6)
class C:
    def __init__(self, x): self.x = x
    def m(self): return self.x
m = C(5).m
def body(work): return m()

== bound method of a dict == 'a': 1 => 'a': 2
m = {'a': 1}.get
def body(work): return m('a')

== class of a parameter == return 1 => return 2
class C:
    def m(self): return 1
def body(work, *, c: C): return c.m()

== class of a parameter, annotated as text == return 1 => return 2
class C:
    def m(self): return 1
def body(work, *, c: 'list[C] | None'): return c[0].m()

== body of another task == return 1 => return 2
import stargazer as sg
@sg.task
def other(work): return 1
def body(work): return other.body(work)

== function of a library, under the same name == import mean => import median
from statistics import mean as agg
def body(work): return agg([1, 2])

== module of a library, under the same name == import statistics as s => import numpy as s
import statistics as s
def body(work): return s.mean([1])

== import inside the body == import mean => import median
def body(work):
    from statistics import mean as agg
    return agg([1, 2])

== functions in a table == return 1 => return 2
def f(): return 1
T = {'f': f}
def body(work): return T['f']()

== values of a literal type == 'b' => 'c'
import typing
L = typing.Literal['a', 'b']
def body(work): return typing.get_args(L)

== field that a dataclass does not compare == C(1, 2) => C(1, 3)
from dataclasses import dataclass, field
@dataclass
class C:
    x: int = 0
    y: int = field(default=0, compare=False)
c = C(1, 2)
def body(work): return c.y

== a name of the library's, taken over == def body => def sum(x): return 0\ndef body
def body(work): return sum([1])
"""


@pytest.mark.parametrize(("before", "after"), _cases(CHANGES))
def test_what_changes_the_identity(digest: Callable[..., str], before: str, after: str) -> None:
    first = digest(before)
    assert digest(before) == first
    assert digest(after) != first


SAME = r"""
== comment == return 1 => return 1  # one
def f(): return 1
def body(work): return f()

== docstring == One. => Two.
def f():
    '''One.'''
    return 1
def body(work): return f()

== layout == [1, 2] => [\n    1,\n    2,\n]
def body(work): return [1, 2]

== lines == def body => \n\n\ndef body
def body(work): return 1

== annotation of a function == def f(x) => def f(x: int) -> int
def f(x): return x
def body(work): return f(1)

== annotation of a variable == x = 1 => x: int = 1
def body(work):
    x = 1
    return x

== unused function == return 1 => return 3
def f(): return 1
def body(work): return 2

== unused constant of the name of an attribute == x = 1 => x = 2
x = 1
def body(work): return work.x

== unused constant of the name of a variable == x = 1 => x = 2
x = 1
def body(work):
    x = work
    return x.x

== unused constant of the name of a variable of a method == x = 1 => x = 3
x = 1
class C:
    def m(self):
        x = 2
        return x
def body(work): return C().m()

== options of the task == cpus=1 => cpus=2
import stargazer as sg
@sg.task(cpus=1)
def other(work): return 1
def body(work): return other.body(work)

== options of a task under a decorator == cpus=1 => cpus=2
import stargazer as sg
def plain(f):
    def inner(work): return f(work)
    return inner
@sg.task(cpus=1)
@plain
def other(work): return 1
body = other.body

== where it is imported == def body => import json\ndef body
import statistics
def body(work): return statistics.mean([1])
"""


@pytest.mark.parametrize(("before", "after"), _cases(SAME))
def test_what_does_not_change_the_identity(digest: Callable[..., str], before: str, after: str) -> None:
    assert digest(before) == digest(after)


HELPERS = "K = 1\ndef f(): return K\nclass C:\n    def m(self): return f()\n"
WAYS = {
    "module": "import helpers as h\ndef body(work): return h.f()",
    "function": "from helpers import f as g\ndef body(work): return g()",
    "constant": "import helpers\ndef body(work): return helpers.K",
    "class": "from helpers import C\ndef body(work): return C().m()",
    "module as a value": "import helpers as h\ndef body(work): return getattr(h, 'f')()",
    "import inside": "def body(work):\n    import helpers\n    return helpers.f()",
    "import from inside": "def body(work):\n    from helpers import f\n    return f()",
    "import inside a function": "def g():\n    import helpers as h\n    return h.f()\ndef body(work): return g()",
}


@pytest.mark.parametrize("way", WAYS)
def test_modules_beside_count_however_they_are_reached(digest: Callable[..., str], way: str) -> None:
    first = digest(WAYS[way], helpers=HELPERS)
    assert digest(WAYS[way], helpers=f"# shifted\n{HELPERS}") == first
    assert digest(WAYS[way], helpers=HELPERS.replace("K = 1", "K = 2")) != first


PACKAGE_WAYS = {
    "import package.module": "import package.inner\ndef body(work): return package.inner.f()",
    "import package.module inside": "def body(work):\n    import package.inner\n    return package.inner.f()",
    "from package import module inside": "def body(work):\n    from package import inner\n    return inner.f()",
    "import package.module as name inside": "def body(work):\n    import package.inner as i\n    return i.f()",
}


@pytest.mark.parametrize("way", PACKAGE_WAYS)
def test_modules_in_packages_count(digest: Callable[..., str], way: str) -> None:
    package = {
        "package/__init__": "",
        "package/inner": "from package.deep import f",
        "package/deep": "def f(): return 1",
    }
    first = digest(PACKAGE_WAYS[way], **package)
    package["package/deep"] = "def f(): return 2"
    assert digest(PACKAGE_WAYS[way], **package) != first


def test_two_functions_of_one_name_are_told_apart(digest: Callable[..., str]) -> None:
    source = "import one, two\ndef body(work): return one.clean() + two.clean()"
    one, two = "def clean(): return 1", "def clean(): return 2"
    digests = {digest(source, one=a, two=b) for a in (one, two) for b in (one, two)}
    assert len(digests) == 4


LATE = {
    "module": "def body(work):\n    import {0}\n    return {0}.Thing, {0}.make(1)",
    "names": "def body(work):\n    from {0} import Thing, make\n    return Thing, make(1)",
    "submodule": "def body(work):\n    import {0}.inner\n    return {0}.inner.make(1)",
    "alias": "def body(work):\n    from {0} import inner as i\n    return i.make(1)",
    "finder": "def body(work):\n    import joblib\n    return joblib.load('x')",
    "finder of the standard library": "def body(work):\n    import runpy\n    return runpy.run_module('json.tool')",
}


@pytest.mark.parametrize("what", LATE)
def test_what_a_function_imports_is_the_same_whether_it_is_loaded_already(tmp_path: Path, what: str) -> None:
    library = tmp_path / "site-packages" / "late_library"
    library.mkdir(parents=True)
    (library / "__init__.py").write_text("class Thing: pass\ndef make(x): return x\n")
    (library / "inner.py").write_text("def make(x): return x\n")
    (tmp_path / "pipeline.py").write_text(LATE[what].format("late_library"))
    ask = (
        "import sys; sys.path.insert(0, sys.argv[1])\n{}\n"
        "import pipeline\nfrom stargazer.fingerprint import identify\nprint(identify(pipeline.body, 'body').digest)"
    )
    found = {
        subprocess.run(
            [sys.executable, "-c", ask.format(first), library.parent],
            cwd=tmp_path, capture_output=True, text=True, check=True,
        ).stdout
        for first in ("", "import late_library", "import late_library.inner, runpy, pkgutil, joblib")
    }  # fmt: skip
    assert len(found) == 1


def test_trees_are_walked_in_the_order_of_ast() -> None:
    for file in [*Path(parsing.__file__).parent.glob("*.py"), Path(ast.__file__), Path(__file__)]:
        tree = ast.parse(file.read_text("utf-8"))
        assert walk(tree) == list(ast.walk(tree))
        assert all(children(node) == list(ast.iter_child_nodes(node)) for node in walk(tree)[::5])
