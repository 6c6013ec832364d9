"""Digest the body of a task in a folder: CPU seconds of the first time, and of the median of those after."""

from __future__ import annotations

import importlib
import json
import statistics
import sys
import time
import warnings

import stargazer.calls  # noqa: F401  (who digests a task has it)
from stargazer import config
from stargazer.fingerprint import identify


def seconds(body: object) -> float:
    start = time.process_time()
    identify(body, "body")  # type: ignore[arg-type]
    return time.process_time() - start


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    config.cache_dir()
    sys.path.insert(0, sys.argv[1])
    body = importlib.import_module("pipeline").body
    first = seconds(body)
    again = statistics.median(seconds(body) for _ in range(5))
    print(json.dumps({"first": first, "again": again, "pieces": len(identify(body, "body").manifest)}))
