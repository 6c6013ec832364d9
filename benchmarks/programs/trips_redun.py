"""The same with redun: ``FOLDER``."""

import json
import logging
import os
import sys

import redun
from redun import File, Scheduler, task
from redun.config import Config
from touched import Touched

redun_namespace = "trips"
FOLDER = sys.argv[1]
touched = Touched(redun)


@task()
def number(i: int) -> File:
    file = File(f"{FOLDER}/{i}.txt")
    file.write(str(2 * i + 1))
    return file


def main() -> None:
    os.makedirs(FOLDER, exist_ok=True)
    logging.getLogger("redun").setLevel(logging.ERROR)
    scheduler = Scheduler(config=Config({"backend": {"db_uri": f"sqlite:///{FOLDER}/redun.db"}}))
    scheduler.load()
    trips = {
        "call": lambda i: scheduler.run(number(100 + i)),
        "known": lambda i: scheduler.run(number(1)),
        "run": lambda i: scheduler.run(number(200 + i)),
    }
    print(json.dumps({name: touched.trip(work) for name, work in trips.items()}))


if __name__ == "__main__":
    main()
