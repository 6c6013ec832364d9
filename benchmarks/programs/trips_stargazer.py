"""Warm trips, counted: ``FOLDER``. Prints files and functions of each."""

import json
import os
import sys
from pathlib import Path

from touched import Touched

import stargazer as sg

touched = Touched(sg)


@sg.task
def number(work: sg.Workdir, *, i: int) -> sg.Asset:
    out = work.file(f"{i}.txt")
    out.write_text(str(2 * i + 1))
    return sg.Asset(path=out)


@sg.task
def total(work: sg.Workdir, numbers: list[sg.Asset]) -> sg.Asset:
    out = work.file("total.txt")
    out.write_text(str(sum(int(n.path.read_text()) for n in numbers)))
    return sg.Asset(path=out)


def reference(folder: Path, i: int) -> sg.Asset:
    """A file with a companion."""
    fasta, index = folder / f"{i}.fa", folder / f"{i}.fa.fai"
    fasta.write_text(f">chr{i}\nACGT\n")
    index.write_text(f"chr{i}\t4\t6\t4\t5\n")
    return sg.add(fasta, sg.Reference(build="b"), companions=[sg.ReferenceIndex(path=index, build="b")])


def main() -> None:
    folder = Path(sys.argv[1])
    os.makedirs(folder, exist_ok=True)
    for i in range(10):
        (folder / f"{i}.fq").write_text(f"@{i}\nACGT\n+\nIIII\n")
    with sg.Store(folder / "store"):
        stored = total([number(i=i) for i in range(3)]).compute()
        references = [reference(folder, i) for i in range(10)]
        trips = {
            "call": lambda i: number(i=100 + i).compute(),
            "known": lambda i: number(i=1).compute(),
            "run": lambda i: sg.run(number(i=200 + i)),
            "add": lambda i: sg.add(folder / f"{i}.fq", sg.R1(sample_id="s")),
            "fetch": lambda i: sg.fetch(references[i]),
            "trace": lambda i: sg.trace(stored),
        }
        print(json.dumps({name: touched.trip(work) for name, work in trips.items()}))


if __name__ == "__main__":
    main()
