"""Systems of some programs of this machine, in a folder."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path


def system_of(root: Path, programs: Iterable[str]) -> Path:
    """Make a system of some programs of this machine, with the libraries that they load."""
    wanted = {Path(found).resolve(): f"bin/{name}" for name in programs if (found := shutil.which(name))}
    for path in list(wanted):
        told = subprocess.run(["ldd", path], capture_output=True, text=True, check=False).stdout
        wanted |= {Path(each): each.lstrip("/") for each in re.findall(r"(/\S+) \(0x", told)}
    for path, place in wanted.items():
        (root / place).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path.resolve(), root / place)
    for folder in ("etc", "proc", "dev", "tmp", "usr"):
        (root / folder).mkdir(exist_ok=True)
    (root / "etc/inside").write_text("inside\n")
    return root
