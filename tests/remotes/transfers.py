"""Transfers in processes that can be killed: a program that forks for each, so that Python starts once.

It reads one JSON a line, ``[verb, {…}]``, and answers with the pid, the bytes that came, one number a line, and the
exit code of the process that did it.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import traceback
from pathlib import Path
from typing import Any

import dask.config
import dask.threaded
from text_tasks import wired

import stargazer as sg
from stargazer.remotes import fallback, fetch_into, find_bundle, push, push_lineage, read_remote
from stargazer.store import Store

PART = 1 << 20


def told(size: int) -> None:
    """Write a line whole: several threads tell, and a kill must not leave half a line before the next one."""
    os.write(1, b"%d\n" % size)


def remote_of(entry: dict[str, Any]) -> Any:
    made = read_remote(entry)
    if "pinata" in entry:
        made.large, made.part = 2 * PART, PART  # type: ignore[attr-defined]
    return made


def do(verb: str, store: str, entry: dict[str, Any], cid: str = "", name: str = "") -> None:
    here = Store(store)
    if verb == "push":
        push(here, here.get(cid), remote_of(entry), told)
    elif verb == "lineage":
        push_lineage(here, here.get(cid), remote_of(entry), inputs=True, progress=told)
    elif verb == "fetch":
        fetch_into(here, cid, [remote_of(entry)], told)
    elif verb == "bundle":
        find_bundle(name).fetch(here, [remote_of(entry)], told)
    elif verb == "compute":
        with dask.config.set({"stargazer.remotes": [entry]}), here:
            [source] = here.find(name="text.txt")
            sg.run(wired(source), progress=False)


def main() -> None:
    _ = sg.run, dask.threaded.get, fallback.take  # imported once, for all
    for line in sys.stdin:
        verb, options = json.loads(line)
        pid = os.fork()
        if not pid:
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            code = 1
            print("pid", os.getpid(), flush=True)
            try:
                do(verb, **options)
                code = 0
            except BaseException:  # noqa: BLE001 - the process ends here
                traceback.print_exc()
            sys.stdout.flush()
            os._exit(code)
        _, status = os.waitpid(pid, 0)
        print("ended", os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))
    main()
