"""The germline demonstration, asked for by an agent's calls alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from mcp import Client
from mcp_agents import asked, stdio, with_client

import stargazer as sg


@pytest.mark.slow
def test_from_reads_to_a_traced_vcf(store: sg.Store, folder: Path) -> None:
    from stargazer.bio.simulate import simulate_cohort

    reads = simulate_cohort(folder, length=6_000, depth=20.0)
    samples = {sample: lanes[0] for sample, lanes in reads.reads.items()}

    async def work(client: Client) -> dict[str, Any]:
        await asked(client, "upload_file", path=str(reads.reference), keyvalues={"asset": "reference", "build": "demo"})
        for sample, (r1, r2) in samples.items():
            for kind, file in (("r1", r1), ("r2", r2)):
                facts = {"asset": kind, "sample_id": sample}
                assert (await asked(client, "upload_file", path=str(file), keyvalues=facts))["cid"]
        found = await asked(client, "list_tasks", category="workflow", word="germline")
        name = "germline_short_variant_discovery"
        assert name in {entry["name"] for entry in found["tasks"]}
        described = await asked(client, "describe_task", name=name)
        assert {"build", "sample_ids"} <= set(described["input_schema"]["properties"])
        inputs = {"build": "demo", "sample_ids": list(samples)}
        assert (await asked(client, "plan_workflow", workflow_name=name, inputs=inputs))["to_run"] > 5
        told = await asked(client, "run_workflow", workflow_name=name, inputs=inputs)
        while told["state"] == "running":
            told = await asked(client, "wait_for_run", run=told["run"])
        assert told["state"] == "done", told
        vcf = next(each for each in assets_in(told["result"]) if each["type"] == "variants")
        seen = await asked(client, "describe_file", cid=vcf["id"], preview=True)
        assert seen["preview_kind"] == "vcf"
        traced = await asked(client, "trace", cid=vcf["id"])
        assert traced["records"] > 5
        assert any("bwa" in str(call["tools"]) + str(call["libraries"]) for call in traced["calls"])
        again = await asked(client, "run_workflow", workflow_name=name, inputs=inputs)
        assert (again["total"], again["result"]) == (0, told["result"])
        return told

    with_client(stdio(store), work)


def assets_in(value: Any) -> list[dict[str, Any]]:
    if isinstance(value, dict) and "cid" in value:
        return [value]
    items = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [asset for item in items for asset in assets_in(item)]
