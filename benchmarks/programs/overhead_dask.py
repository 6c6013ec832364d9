"""The same with bare Dask: ``CHANGED COUNT FOLDER [SCHEDULER ADDRESS]``."""

import json
import os
import sys
import time

import dask
from dask import delayed


def number(folder, i):
    path = f"{folder}/{i}.txt"
    with open(path, "w") as file:
        file.write(str(2 * i + 1))
    return path


def total(folder, numbers):
    path, found = f"{folder}/total.txt", 0
    for each in numbers:
        with open(each) as file:
            found += int(file.read())
    with open(path, "w") as file:
        file.write(str(found))
    return path


def main():
    changed, count, folder = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    os.makedirs(folder, exist_ok=True)
    options = {"scheduler": "threads"}
    if len(sys.argv) > 4:
        from distributed import Client

        options = {"scheduler": Client(sys.argv[4])}
    start, cpu = time.perf_counter(), time.process_time()
    numbers = [delayed(number)(folder, changed if i == 0 else i) for i in range(count)]
    (path,) = dask.compute(delayed(total)(folder, numbers), **options)
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    with open(path) as file:
        print(json.dumps({"total": int(file.read()), "seconds": seconds, "cpu": cpu}))


if __name__ == "__main__":
    main()
