"""All tasks, by name: ``from stargazer.tasks import bwa_mem``.

Each stands in its module and in no list beside it; a module is named once, in the package that it lies in. Those of
GATK and of single cells are imported when one is first asked for; the latter need the extra ``scrna``.
`create_sequence_dictionary` and `mark_duplicates` are those of samtools here, and of GATK in `stargazer.tasks.gatk`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from stargazer import plugins
from stargazer.tasks.general import *

if TYPE_CHECKING:
    from stargazer.tasks.gatk import *  # type: ignore[assignment]
    from stargazer.tasks.general import create_sequence_dictionary as create_sequence_dictionary
    from stargazer.tasks.general import mark_duplicates as mark_duplicates
    from stargazer.tasks.scrna import *

_LATER = ("stargazer.tasks.gatk", "stargazer.tasks.scrna")
"""Packages of which nothing is imported before it is used."""


def __getattr__(name: str) -> Any:
    if name == "__all__":
        general = importlib.import_module("stargazer.tasks.general").__all__
        return sorted({*general, *(each for package in _LATER for each in plugins.declared_tasks(package))})
    for package in () if name.startswith("_") else _LATER:
        if name in plugins.declared_tasks(package):
            return getattr(importlib.import_module(package), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return list(__getattr__("__all__"))
