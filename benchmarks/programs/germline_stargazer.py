"""The embedded germline workflow on reads in a folder: ``germline_stargazer.py READS SAMPLE…``."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path


def main() -> None:
    start = time.perf_counter()
    import stargazer as sg
    from stargazer.workflows import Lane, call_cohort, index_reference

    reads = Path(sys.argv[1])
    reference = sg.add(reads / "reference.fa", sg.Reference(build="simulated"))
    samples = {}
    for sample in sys.argv[2:]:
        first = sg.add(reads / f"{sample}_R1.fastq.gz", sg.R1(sample_id=sample))
        second = sg.add(reads / f"{sample}_R2.fastq.gz", sg.R2(sample_id=sample))
        samples[sample] = [Lane(first, second)]
    flight = sg.run(call_cohort(index_reference(reference), samples, "cohort"), progress=False)
    seconds = time.perf_counter() - start
    print(json.dumps({"vcf": str(flight.result().fetch()), "tasks": flight.tasks_run, "seconds": seconds}))


if __name__ == "__main__":
    main()
