"""A script that wires on workers what it defines itself: they have no source of it. Prints what it gives: STORE."""

import sys

from distributed import Client, LocalCluster

import stargazer as sg


class Mine(sg.Asset):
    n: int = 0


@sg.task
def split(work: sg.Workdir, *, n: int) -> list[Mine]:
    made = []
    for number in range(n):
        out = work.file(f"part{number}.txt")
        out.write_text(str(number))
        made.append(Mine(path=out, n=number))
    return made


@sg.task
def double(work: sg.Workdir, part: Mine, *, by: int = 2) -> sg.Asset:
    out = work.file("double.txt")
    out.write_text(str(int(part.path.read_text()) * by))
    return sg.Asset(path=out)


@sg.task
def total(work: sg.Workdir, parts: list[sg.Asset]) -> int:
    return sum(int(p.path.read_text()) for p in parts)


@sg.dynamic
def per(parts: list[Mine], by: int = 3) -> list[sg.Asset]:
    return [double(p, by=by) for p in parts if p.n]


@sg.dynamic
def again(parts: list[Mine], left: int) -> int:
    return again(parts, left - 1) if left else total(per(parts, by=left + 9))


if __name__ == "__main__":
    with (
        LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=":0") as cluster,
        Client(cluster) as client,
        sg.Store(sys.argv[1]),
    ):
        found = [
            client.compute(total(per(split(n=4)))).result(),
            client.compute(total(double.map(split(n=5)))).result(),
            client.compute(again(split(n=4), 3)).result(),
            sg.run(again(split(n=5), 3), progress=False).result(),
            again(split(n=6), 2).compute(),
        ]
        print(found)
