"""Code that finds code while it runs: by a name that it is given, or by walking what lives in the process."""

from __future__ import annotations

import ast
import re
import runpy
from types import CodeType
from typing import TYPE_CHECKING, NamedTuple

from stargazer.fingerprint.parsing import walk
from stargazer.fingerprint.source import Chain, dotted

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = [
    "DOCUMENTS",
    "ENTRY_POINTS",
    "FINDS_TEXT",
    "HINTS",
    "IMPORTERS",
    "LOADERS",
    "READERS",
    "RUNNERS",
    "RUNS_TEXT",
    "TEXT_MODULES",
    "UNMARKED",
    "Uses",
    "asks_by_text",
    "constants_of",
    "finds",
    "may_find",
    "names_in",
    "reads_source",
    "texts_given",
    "uses_of",
]

DOCUMENTS = frozenset({
    "__doc__", "__annotations__", "__code__", "__signature__", "__text_signature__", "__type_params__", "__annotate__",
    "co_consts", "co_varnames", "co_names",
})  # fmt: skip
"""Attributes that are text of the code itself: where they are read, docstrings and annotations count."""

FINDS_TEXT = frozenset({
    "getdoc", "getsource", "getsourcelines", "getsourcefile", "signature", "getfullargspec", "get_type_hints",
    "get_annotations", "getcomments",
})  # fmt: skip
"""Functions of libraries that read the same."""

HINTS = frozenset({
    "__annotations__", "__annotate__", "__signature__", "signature", "getfullargspec", "get_type_hints",
    "get_annotations",
})  # fmt: skip
"""Those of the two that read annotations: where they are read, what the annotations name counts as well."""

SOURCES = frozenset(
    {"co_firstlineno", "f_lineno", "tb_lineno", "co_lines", "co_positions", "co_linetable", "code_context"}
)
"""Attributes that tell of the file itself: where they are read, comments and lines count, too."""

TELLS_LINES = frozenset({
    "stack", "trace", "getframeinfo", "getouterframes", "getinnerframes", "extract_stack", "extract_tb", "walk_stack",
    "walk_tb", "TracebackException", "catch_warnings",
})  # fmt: skip
"""Functions whose answers have a ``lineno`` of the code itself."""

FINDS_SOURCE = frozenset({"getsource", "getsourcelines", "findsource", "getcomments", "getblock"})
"""Functions of ``inspect`` that read the same, as those of ``linecache`` do."""

TEXT_MODULES = frozenset({"pydoc", "doctest"})
"""Modules whose functions all read docstrings."""

ENTRY_POINTS = frozenset({"entry_points", "iter_entry_points"})
"""Functions that find what packages offer under a name."""

WALKS = frozenset({
    "__subclasses__", "__globals__", "__builtins__", "__loader__", "__spec__", "__path__",
    "f_globals", "f_back", "f_locals", "f_code", "tb_frame", "gi_frame", "cr_frame", "ag_frame",
})  # fmt: skip
"""Attributes that lead from one piece of code to all others."""

IMPORTERS = frozenset({
    "importlib:import_module", "importlib:__import__", "importlib:reload", "builtins:__import__", "runpy:run_module",
    "pkgutil:resolve_name", "pydoc:locate", "importlib.util:find_spec",
})  # fmt: skip
"""Functions that import the module that their first argument names."""

READERS = frozenset({"builtins:eval", "builtins:exec"})
"""Functions that run the text that their first argument is."""

RUNNERS = frozenset({
    "timeit:timeit", "timeit:repeat", "timeit:Timer", "cProfile:run", "cProfile:runctx", "profile:run",
    "profile:runctx", "pdb:run", "pdb:runeval",
})  # fmt: skip
"""Functions that run each text that they are given."""

LOADERS = frozenset({
    "unittest:TestLoader", "unittest:defaultTestLoader", "unittest:main", "unittest:findTestCases",
    "unittest.loader:TestLoader", "unittest.main:TestProgram", "pytest:main", "_pytest.config:main",
    "logging.config:dictConfig", "logging.config:fileConfig",
    "yaml:unsafe_load", "yaml:unsafe_load_all", "yaml:UnsafeLoader", "yaml:Loader", "yaml:CUnsafeLoader",
    "yaml:CLoader",
    "yaml.loader:UnsafeLoader", "yaml.loader:Loader", "yaml.cyaml:CUnsafeLoader", "yaml.cyaml:CLoader",
    "pydantic:ImportString", "pydantic.types:ImportString", "hydra.utils:instantiate", "hydra.utils:call",
    "hydra.utils:get_class", "hydra.utils:get_method", "hydra.utils:get_object", "jsonpickle:decode",
    "jsonpickle:loads", "werkzeug.utils:import_string", "django.utils.module_loading:import_string",
    "traitlets.utils.importstring:import_item", "zope.dottedname.resolve:resolve",
})  # fmt: skip
"""What imports modules of the names that it is given, also in a text of settings, or that lie in a folder."""

RUNS_TEXT = (exec, eval, runpy.run_path, runpy.run_module)
"""The same and those that run a file: what happens in it nobody names."""

MARKED = frozenset({"query", "eval"})
"""Methods of tables that look for what their text names behind an ``@`` among the variables of their caller."""

UNMARKED = frozenset({"pandas.eval", "numexpr.evaluate", "numexpr.re_evaluate"}) | {
    f"duckdb.{name}" for name in ("sql", "query", "execute", "from_query", "query_df")
}
"""Functions that look for all names in their text there."""

BY_TEXT = MARKED | {name.rpartition(".")[2] for name in UNMARKED}

NAME_BEHIND_AT = re.compile(r"@\s*([^\W\d]\w*)")
NAME = re.compile(r"(?<![\w.])[^\W\d]\w*")

ANYWHERE = frozenset({
    "runpy:run_path", "sys:_getframe", "sys:_current_frames", "sys:setprofile", "sys:settrace", "sys:meta_path",
    "sys:path_hooks", "sys:exc_info", "sys:last_traceback", "builtins:compile", "builtins:globals", "builtins:locals",
    "types:FunctionType", "types:CodeType",
})  # fmt: skip
FINDERS = frozenset({
    "importlib", "pkgutil", "gc", "pickle", "_pickle", "shelve", "marshal", "code", "codeop", "zipimport",
    "zipapp", "ctypes", "_ctypes", "cffi", "dill", "cloudpickle", "joblib", "torch", "inspect", "traceback", "site",
    "pydoc",
})  # fmt: skip
"""Modules of which every function may find code, but for these."""

OF_CTYPES = frozenset({
    "Structure", "Union", "Array", "sizeof", "byref", "addressof", "alignment", "memmove", "memset", "c_int",
    "c_uint", "c_long", "c_ulong", "c_longlong", "c_ulonglong", "c_short", "c_ushort", "c_byte", "c_ubyte", "c_char",
    "c_wchar", "c_bool", "c_float", "c_double", "c_longdouble", "c_size_t", "c_ssize_t", "c_int8", "c_int16",
    "c_int32", "c_int64", "c_uint8", "c_uint16", "c_uint32", "c_uint64", "c_char_p", "c_void_p", "c_wchar_p",
    "BigEndianStructure", "LittleEndianStructure", "create_string_buffer", "create_unicode_buffer",
    "CFUNCTYPE", "PyCSimpleType", "PyCArrayType", "PyCStructType", "CField", "_SimpleCData", "CFunctionType",
    "CFuncPtr",})  # fmt: skip

HARMLESS = {
    "sys": frozenset({"exc_info"}),
    "importlib": frozenset({"resources", "metadata", "invalidate_caches", "abc"}),
    "pickle": frozenset({"dumps", "dump", "HIGHEST_PROTOCOL", "PickleError", "PicklingError", "UnpicklingError"}),
    "_pickle": frozenset({"dumps", "dump", "PickleError", "PicklingError", "UnpicklingError"}),
    "joblib": frozenset({"Parallel", "delayed", "dump", "cpu_count", "hash", "Memory"}),
    "cloudpickle": frozenset({"dumps", "dump"}),
    "dill": frozenset({"dumps", "dump"}),
    "marshal": frozenset({"dumps", "dump"}),
    "gc": frozenset({"collect", "disable", "enable", "freeze", "isenabled"}),
    "traceback": frozenset({"format_exc", "print_exc", "format_exception", "format_exception_only"}),
    "inspect": frozenset({
        "isfunction", "isclass", "ismethod", "isgenerator", "isgeneratorfunction", "iscoroutine", "iscoroutinefunction",
        "isawaitable", "isabstract", "isbuiltin", "isroutine", "ismodule", "Parameter", "Signature", "cleandoc",
        *FINDS_TEXT,
    }),
    "ctypes": OF_CTYPES,
    "_ctypes": OF_CTYPES,
    "torch": frozenset({"Tensor", "tensor", "zeros", "ones", "nn", "no_grad", "device", "float32", "float64", "save"}),
}  # fmt: skip


def finds(module: str, name: str) -> bool:
    """Whether a function or variable of a library may find code that nobody named."""
    if f"{module}:{name}" in ANYWHERE | IMPORTERS | READERS:
        return True
    if f"{module}:{name}" == "sys:modules":
        return True
    top = module.partition(".")[0]
    return top in FINDERS and name.partition(".")[0] not in HARMLESS.get(top, ())


def reads_source(module: str, name: str) -> bool:
    """Whether a function of a library reads files of code, with their comments."""
    return module in ("linecache", "dis") or (module == "inspect" and name in FINDS_SOURCE)


class Uses(NamedTuple):
    """How a piece of code finds other code.

    Parameters
    ----------
    documents
        Whether it reads docstrings, annotations or code of functions.
    hints
        Whether it reads annotations.
    walks
        Attributes that lead anywhere, and whose they are where that is a plain name.
    sources
        Whether it reads where code stands in its file.
    """

    documents: bool = False
    hints: bool = False
    walks: frozenset[tuple[str, Chain]] = frozenset()
    sources: bool = False


def uses_of(nodes: Iterable[ast.AST]) -> Uses:
    """Look through code for attributes that lead to other code, also for those that are named in a text."""
    documents, hints, sources, walks, names = False, False, False, set[tuple[str, Chain]](), set[str]()
    for node in (each for root in nodes for each in walk(root)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            documents, hints = documents or node.value in DOCUMENTS, hints or node.value in HINTS & DOCUMENTS
            walks |= {(node.value, ())} if node.value in WALKS else set()
        elif isinstance(node, ast.Name):
            names.add(node.id)
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load):
            names.add(node.attr)
            documents, hints = documents or node.attr in DOCUMENTS, hints or node.attr in HINTS & DOCUMENTS
            sources = sources or node.attr in SOURCES
            walks |= {(node.attr, dotted(node.value))} if node.attr in WALKS else set()
    sources = sources or ("lineno" in names and not TELLS_LINES.isdisjoint(names))
    return Uses(documents, hints, frozenset(walks), sources)


def may_find(code: CodeType) -> bool:
    """Whether `uses_of` is worth asking: whether any such name occurs in compiled code."""
    texts = {const for const in code.co_consts if isinstance(const, str)}
    if not (DOCUMENTS | WALKS | SOURCES | {"lineno"}).isdisjoint(texts.union(code.co_names)):
        return True
    return any(may_find(const) for const in code.co_consts if isinstance(const, CodeType))


def asks_by_text(code: CodeType) -> bool:
    """Whether `names_in` is worth asking: whether code calls what may look for names that stand in a text."""
    return not BY_TEXT.isdisjoint(code.co_names) or any(
        asks_by_text(const) for const in code.co_consts if isinstance(const, CodeType)
    )


def names_in(texts: Iterable[str], *, marked: bool) -> set[str]:
    """Names in texts that a library works out: those behind an ``@``, or all."""
    return {name for text in texts for name in (NAME_BEHIND_AT if marked else NAME).findall(text)}


def constants_of(nodes: Iterable[ast.AST], chain: Chain) -> list[str | None]:
    """What the first argument, or the subscript, of a dotted name is each time it occurs: None if it is no text."""
    argued: dict[int, str | None] = {}
    found = []
    for node in (each for root in nodes for each in walk(root)):
        if isinstance(node, ast.Call) and node.args:
            argued[id(node.func)] = _text(node.args[0])
        elif isinstance(node, ast.Subscript):
            argued[id(node.value)] = _text(node.slice)
        if isinstance(node, (ast.Name, ast.Attribute)) and dotted(node) == chain:
            found.append(argued.get(id(node)))
    return found


def texts_given(nodes: Iterable[ast.AST], chain: Chain) -> list[str]:
    """Return all arguments that are texts, of each call of a dotted name."""
    calls = (node for root in nodes for node in walk(root) if isinstance(node, ast.Call) and dotted(node.func) == chain)
    given = [each for call in calls for each in [*call.args, *(keyword.value for keyword in call.keywords)]]
    return [text for text in map(_text, given) if text is not None]


def _text(node: ast.expr) -> str | None:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None
