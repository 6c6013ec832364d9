"""``python -m stargazer.driver RUN --store URL --given DIGEST``."""

from __future__ import annotations

import argparse
import sys


def main() -> int:
    """Read what the process was told, and drive the run."""
    parser = argparse.ArgumentParser(prog="stargazer.driver")
    parser.add_argument("run")
    parser.add_argument("--store", required=True)
    parser.add_argument("--given", required=True)
    parser.add_argument("--times", type=int, default=1)
    parser.add_argument("--profile")
    parser.add_argument("--walltime", type=float)
    told = parser.parse_args()

    from stargazer.driver.drive import drive
    from stargazer.driver.handover import Handover

    ends = Handover(told.profile, told.walltime, told.times) if told.profile else None
    return drive(told.run, told.store, told.given, ends)


if __name__ == "__main__":
    sys.exit(main())
