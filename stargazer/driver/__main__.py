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
    told = parser.parse_args()

    from stargazer.driver.drive import drive

    return drive(told.run, told.store, told.given)


if __name__ == "__main__":
    sys.exit(main())
