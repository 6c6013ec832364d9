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
        """Make a trip, warm; how many files and functions of the package it touched, and which files."""
        for number in range(WARM):
            work(number)
        self.codes, self.watching = set(), True
        try:
            work(WARM)
        finally:
            self.watching = False
        files = sorted({code.co_filename.removeprefix(self.folder) for code in self.codes})
        # Comprehensions are functions on some Pythons only.
        functions = {(c.co_filename, c.co_firstlineno) for c in self.codes if not c.co_name.startswith("<")}
        return {"files": len(files), "functions": len(functions), "names": files}
