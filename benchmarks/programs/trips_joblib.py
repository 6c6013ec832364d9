"""The same with joblib.Memory: ``FOLDER``."""

import json
import os
import sys

import joblib
from touched import Touched

FOLDER = sys.argv[1]
touched = Touched(joblib)
memory = joblib.Memory(f"{FOLDER}/joblib", verbose=0)


@memory.cache
def number(i):
    path = f"{FOLDER}/{i}.txt"
    with open(path, "w") as file:
        file.write(str(2 * i + 1))
    return path


def main():
    os.makedirs(FOLDER, exist_ok=True)
    trips = {"call": lambda i: number(100 + i), "known": lambda i: number(1)}
    print(json.dumps({name: touched.trip(work) for name, work in trips.items()}))


if __name__ == "__main__":
    main()
