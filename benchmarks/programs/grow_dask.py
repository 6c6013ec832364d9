"""The same with Dask's futures, of which one starts the others: ``COUNT FOLDER``. Nothing is remembered."""

import json
import sys
import time
from pathlib import Path

from distributed import Client, worker_client

FOLDER = Path(sys.argv[2])


def pieces(count: int, folder: Path) -> list[Path]:
    made = [folder / f"{number}.txt" for number in range(count)]
    for number, file in enumerate(made):
        file.write_text(str(number))
    return made


def double(piece: Path) -> Path:
    file = piece.with_suffix(".double")
    file.write_text(str(2 * int(piece.read_text()) + 1))
    return file


def doubled(found: list[Path]) -> list[Path]:
    with worker_client() as client:
        return client.gather(client.map(double, found))


def total(numbers: list[Path]) -> int:
    return sum(int(each.read_text()) for each in numbers)


def main() -> None:
    start = time.perf_counter()
    with Client(processes=False, dashboard_address=":0") as client:
        found = client.submit(pieces, int(sys.argv[1]), FOLDER)
        made = client.submit(total, client.submit(doubled, found)).result()
        print(json.dumps({"total": made, "seconds": time.perf_counter() - start}))


if __name__ == "__main__":
    main()
