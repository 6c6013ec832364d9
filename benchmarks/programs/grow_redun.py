"""The same with redun: ``COUNT FOLDER``."""

import json
import logging
import os
import sys
import time

from redun import File, Scheduler, task
from redun.config import Config

redun_namespace = "grow"
FOLDER = sys.argv[2]


@task()
def pieces(count: int) -> list[File]:
    made = [File(f"{FOLDER}/{number}.txt") for number in range(count)]
    for number, file in enumerate(made):
        file.write(str(number))
    return made


@task()
def double(piece: File) -> File:
    file = File(f"{piece.path}.double")
    file.write(str(2 * int(piece.read()) + 1))
    return file


@task()
def total(numbers: list[File]) -> int:
    return sum(int(each.read()) for each in numbers)


@task()
def doubled(found: list[File]) -> list[File]:
    return [double(piece) for piece in found]


def main() -> None:
    os.makedirs(FOLDER, exist_ok=True)
    logging.getLogger("redun").setLevel(logging.ERROR)
    start = time.perf_counter()
    scheduler = Scheduler(config=Config({"backend": {"db_uri": f"sqlite:///{FOLDER}/redun.db"}}))
    scheduler.load()
    made = scheduler.run(total(doubled(pieces(int(sys.argv[1])))))
    print(json.dumps({"total": made, "seconds": time.perf_counter() - start}))


if __name__ == "__main__":
    main()
