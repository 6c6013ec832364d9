"""Build the API reference as web pages: ``python docs/make/reference.py FOLDER``. It needs pdoc."""

from __future__ import annotations

import importlib
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import pdoc.render
from pdoc.doc import Module

if TYPE_CHECKING:
    from types import ModuleType

PUBLIC = (
    "stargazer",
    "stargazer.assets",
    "stargazer.catalog",
    "stargazer.errors",
    "stargazer.names",
    "stargazer.store",
    "stargazer.tasks",
    "stargazer.testing.builders",
    "stargazer.testing.remotes",
    "stargazer.testing.stores",
    "stargazer.workflows",
)
"""Modules whose ``__all__`` others may rely on."""


def load(name: str) -> ModuleType:
    """Import a module and all of its public names, which are lazy: what nothing has used yet, pdoc would not find."""
    module = importlib.import_module(name)
    for public in module.__all__:
        setattr(module, public, getattr(module, public))
    return module


def undocumented(module: ModuleType) -> list[str]:
    """Public classes and functions without a docstring of their own."""
    named = ((f"{module.__name__}.{name}", getattr(module, name)) for name in module.__all__)
    return [name for name, thing in named if callable(thing) and not getattr(thing, "__doc__", None)]


def build(folder: Path) -> int:
    """Write the pages.

    Parameters
    ----------
    folder
        Where they go.

    Returns
    -------
    int
        How many public names they describe.

    Raises
    ------
    SystemExit
        A public name cannot be imported or has no docstring.
    """
    modules = [load(name) for name in PUBLIC]
    bare = [name for module in modules for name in undocumented(module)]
    if bare:
        raise SystemExit("without a docstring: " + ", ".join(bare))
    pdoc.render.configure(docformat="numpy", show_source=False, search=False)
    pages = {module.__name__: Module(module) for module in modules}
    folder.mkdir(parents=True, exist_ok=True)
    with warnings.catch_warnings():
        # Annotations for checkers alone are shown as written: their modules are not imported for it.
        warnings.filterwarnings("ignore", message="Error parsing type annotation")
        warnings.filterwarnings("error", message=".*does not resolve")
        for name, page in pages.items():
            (folder / f"{name}.html").write_text(pdoc.render.html_module(page, all_modules=pages))
        (folder / "index.html").write_text(pdoc.render.html_index(pages))
    return sum(len(module.__all__) for module in modules)


if __name__ == "__main__":
    print(f"{build(Path(sys.argv[1]))} public names")
