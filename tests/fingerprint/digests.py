"""Print digests of code, to compare Pythons: ``python digests.py FOLDER…`` adds every function in the sources below."""

from __future__ import annotations

import ast
import hashlib
import json
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

from stargazer.fingerprint import canonical, identify

LEFT_OUT = {"test", "tests", "site-packages", "lib2to3", "idlelib"}
Function = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)


def sample_digests() -> dict[str, str]:
    """Digest of each body in `samples`."""
    import samples

    return {
        f"{place} {body.__qualname__}": identify(body, body.__name__).digest
        for place, body in enumerate(samples.BODIES)
    }


def source_digests(folder: Path) -> Iterator[tuple[str, str]]:
    """Digest of every function and class in the Python sources below a folder; what does not parse is left out."""
    for file in sorted(folder.rglob("*.py")):
        if LEFT_OUT & set(file.relative_to(folder).parts):
            continue
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                tree = ast.parse(file.read_bytes())
        except (SyntaxError, ValueError):
            continue
        for node in ast.walk(tree):
            if isinstance(node, Function):
                digest = hashlib.sha256(canonical(node).encode()).hexdigest()
                yield f"{file.relative_to(folder)}:{node.lineno}:{node.col_offset}", digest


if __name__ == "__main__":
    digests = sample_digests()
    for folder in sys.argv[1:]:
        digests |= source_digests(Path(folder))
    json.dump(digests, sys.stdout, indent=1)
