"""The GATK workflow on reads in a folder: ``germline_gatk_stargazer.py READS FILTER SAMPLE…``."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any


def main() -> None:
    import stargazer as sg
    from stargazer.workflows import GatkOptions, Lane, call_cohort, index_reference

    reads, how = Path(sys.argv[1]), sys.argv[2]
    add: Any = sg.add
    reference = add(reads / "reference.fa", sg.Reference(build="simulated"))
    known = add(reads / "known.vcf", sg.KnownSites(build="simulated", resource_name="known"))
    samples = {}
    for sample in sys.argv[3:]:
        first = add(reads / f"{sample}_R1.fastq.gz", sg.R1(sample_id=sample))
        second = add(reads / f"{sample}_R2.fastq.gz", sg.R2(sample_id=sample))
        samples[sample] = [Lane(first, second)]
    options = GatkOptions(known_sites=[known], filter=how)  # type: ignore[arg-type]
    indexed = index_reference(reference, engine="gatk")
    flight = sg.run(call_cohort(indexed, samples, "cohort", engine="gatk", options=options), progress=False)
    print(json.dumps({"vcf": str(flight.result().fetch()), "tasks": flight.tasks_run}))


if __name__ == "__main__":
    main()
