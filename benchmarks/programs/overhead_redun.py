"""The same with redun: ``CHANGED COUNT FOLDER``."""

import json
import logging
import os
import sys
import time

from redun import File, Scheduler, task
from redun.config import Config

redun_namespace = "overhead"
FOLDER = sys.argv[3]


@task()
def number(i: int) -> File:
    file = File(f"{FOLDER}/{i}.txt")
    file.write(str(2 * i + 1))
    return file


@task()
def total(numbers: list[File]) -> File:
    file = File(f"{FOLDER}/total.txt")
    file.write(str(sum(int(each.read()) for each in numbers)))
    return file


def main() -> None:
    changed, count = int(sys.argv[1]), int(sys.argv[2])
    os.makedirs(FOLDER, exist_ok=True)
    logging.getLogger("redun").setLevel(logging.ERROR)
    start = time.perf_counter()
    scheduler = Scheduler(config=Config({"backend": {"db_uri": f"sqlite:///{FOLDER}/redun.db"}}))
    scheduler.load()
    made = scheduler.run(total([number(changed if i == 0 else i) for i in range(count)]))
    print(json.dumps({"total": int(made.read()), "seconds": time.perf_counter() - start}))


if __name__ == "__main__":
    main()
