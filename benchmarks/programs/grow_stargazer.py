"""A list, a task for each element, a sum: ``KIND COUNT FOLDER``; of ``wire`` processor time an element, in µs."""

import json
import sys
import time

import stargazer as sg


@sg.task
def pieces(work: sg.Workdir, *, count: int) -> list[sg.Asset]:
    made = []
    for number in range(count):
        out = work.file(f"{number}.txt")
        out.write_text(str(number))
        made.append(sg.Asset(path=out))
    return made


@sg.task
def double(work: sg.Workdir, piece: sg.Asset) -> sg.Asset:
    out = work.file(piece.name)
    out.write_text(str(2 * int(piece.path.read_text()) + 1))
    return sg.Asset(path=out)


@sg.task
def total(work: sg.Workdir, numbers: list[sg.Asset]) -> int:
    return sum(int(each.path.read_text()) for each in numbers)


@sg.dynamic
def doubled(found: list[sg.Asset]) -> list[sg.Asset]:
    return [double(piece) for piece in found]


def wire(count: int) -> dict[str, float]:
    """What it takes to wire, with the list there."""
    from stargazer.calls.graph import flatten
    from stargazer.calls.growth import Growth

    found = pieces(count=count)
    handles = found.compute()

    def spent(kind: str) -> float:
        call = {"grows": doubled, "maps": double.map}.get(kind, lambda _: None)(found)
        start = time.process_time()
        if call is None:
            flatten([total([double(piece) for piece in handles])])
        else:
            Growth(*flatten([call])).wire(call, {})
        return (time.process_time() - start) / count * 1e6

    spent("grows")
    return {kind: spent(kind) for kind in ("static", "grows", "maps")}


def main() -> None:
    kind, count = sys.argv[1], int(sys.argv[2])
    if kind == "wire":
        print(json.dumps(wire(count)))
        return
    start = time.perf_counter()
    found = pieces(count=count)
    if kind == "list":
        result = len(found.compute())
    elif kind == "static":
        result = total([double(found[place]) for place in range(count)]).compute()
    else:
        result = total(doubled(found) if kind == "grows" else double.map(found)).compute()
    print(json.dumps({"total": result, "seconds": time.perf_counter() - start}))


if __name__ == "__main__":
    main()
