"""Tasks that each make a file, and one that adds them up: ``CHANGED COUNT [SCHEDULER ADDRESS]``.

Prints what came out, and how long it took to wire and to compute, without imports and connecting.
"""

import json
import sys
import time

import stargazer as sg


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


def main() -> None:
    changed, count = int(sys.argv[1]), int(sys.argv[2])
    options = {"scheduler": "threads"}
    if len(sys.argv) > 3:
        from distributed import Client

        options = {"scheduler": Client(sys.argv[3])}
    start, cpu = time.perf_counter(), time.process_time()
    stored = total([number(i=changed if i == 0 else i) for i in range(count)]).compute(**options)
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    print(json.dumps({"total": int(stored.fetch().read_text()), "seconds": seconds, "cpu": cpu}))


if __name__ == "__main__":
    main()
