"""Which files and functions of a package a piece of work touches: a profile of it, in all threads."""

import sys
import threading
from pathlib import Path

WARM = 3
"""How often a trip is made before the one that counts."""


class Touched:
    """Counts what is called of a package. Made before the threads that are to be watched start.

    Parameters
    ----------
    package
        A module of it; its folder says which files belong to it, wherever they lie below.
    """

    def __init__(self, package):
        self.folder = str(Path(package.__file__).parent) + "/"
        self.codes, self.watching = set(), False
        threading.setprofile(self._seen)
        sys.setprofile(self._seen)

    def _seen(self, frame, event, _):
        if self.watching and event == "call" and frame.f_code.co_filename.startswith(self.folder):
            self.codes.add(frame.f_code)

    def trip(self, work):
        """Make a trip, warm; how many files and functions of the package it touched, and which of each file."""
        for number in range(WARM):
            work(number)
        self.codes, self.watching = set(), True
        try:
            work(WARM)
        finally:
            self.watching = False
        names = {}
        for code in sorted(self.codes, key=lambda code: (code.co_filename, code.co_firstlineno)):
            named = names.setdefault(code.co_filename.removeprefix(self.folder), [])
            if not code.co_name.startswith("<"):  # comprehensions are functions on some Pythons only
                named.append(f"{code.co_qualname}:{code.co_firstlineno}")
        return {"files": len(names), "functions": sum(map(len, names.values())), "names": names}
