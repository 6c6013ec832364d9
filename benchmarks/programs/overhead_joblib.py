"""The same with joblib.Memory: ``CHANGED COUNT FOLDER``."""

import json
import os
import sys
import time

from joblib import Memory

FOLDER = sys.argv[3]
memory = Memory(f"{FOLDER}/joblib", verbose=0)


@memory.cache
def number(i):
    path = f"{FOLDER}/{i}.txt"
    with open(path, "w") as file:
        file.write(str(2 * i + 1))
    return path


@memory.cache
def total(numbers):
    path, found = f"{FOLDER}/total.txt", 0
    for each in numbers:
        with open(each) as file:
            found += int(file.read())
    with open(path, "w") as file:
        file.write(str(found))
    return path


def main():
    changed, count = int(sys.argv[1]), int(sys.argv[2])
    os.makedirs(FOLDER, exist_ok=True)
    start, cpu = time.perf_counter(), time.process_time()
    path = total([number(changed if i == 0 else i) for i in range(count)])
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    with open(path) as file:
        print(json.dumps({"total": int(file.read()), "seconds": seconds, "cpu": cpu}))


if __name__ == "__main__":
    main()
