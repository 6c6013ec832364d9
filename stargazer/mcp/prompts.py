"""Prompts: what a person may ask an agent to do with this server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stargazer import api
from stargazer.mcp.answers import without_secrets
from stargazer.mcp.lineage import call_told

if TYPE_CHECKING:
    from mcp.server.mcpserver import MCPServer

    from stargazer.mcp.place import Place

__all__ = ["add_prompts"]

MOST_CALLS = 60


def add_prompts(server: MCPServer[Any], place: Place) -> None:
    """Add the prompts of a place to its server."""

    @server.prompt()
    def plan_analysis(question: str) -> str:
        """Plan an analysis with the tasks, workflows and files that are there, before anything runs."""
        return (
            f"A biologist asks: {question}\n\nLook with query_files which files there are, and with list_tasks which "
            "workflows and tasks fit (workflows first). Read describe_task of those you would use. Then call "
            "plan_workflow or plan_task, and tell: which files go in, which steps would run and which are known, which "
            "parameters you chose and why, and what is missing. Run nothing before the person agrees."
        )

    @server.prompt()
    def explain_failure(run: str) -> str:
        """Explain why a run failed, and what to do."""
        return (
            f"Call wait_for_run(run={run!r}, wait=0) and, for each of its failures, read_log with the name in `logs`. "
            "Say in plain words which step failed, on which sample, why (quote the decisive line of the log), and what "
            "to do: mend the input, install a tool, give more memory. What had finished is kept: say what runs again."
        )

    @server.prompt()
    def germline(build: str = "GRCh38", samples: str = "") -> str:
        """Call germline variants of samples that are in the store."""
        which = f"the samples {samples}" if samples else "the samples that the person names"
        return (
            f"Call germline short variants of {which} against {build}. Check with query_files that the reference "
            f'({{"asset": "reference", "build": "{build}"}}) and the reads (asset r1 and r2 with these sample_id) are '
            "there. Read describe_task(germline_short_variant_discovery), plan it with plan_workflow, tell the plan, "
            "and when the person agrees run it with run_workflow; wait with wait_for_run. Show the VCF's CID and a "
            "preview (describe_file with preview: true), and trace it."
        )

    @server.prompt()
    def scrna(sample: str = "") -> str:
        """Analyse single-cell RNA-seq counts, from raw counts to annotated clusters."""
        which = f" of sample {sample}" if sample else ""
        return (
            f'Analyse the single-cell counts{which}. Find them with query_files({{"asset": "anndata"}}), look at them '
            'with describe_file (preview: true), choose a workflow with list_tasks(category="workflow", word="cell"), '
            "read describe_task, and plan. Explain thresholds in terms of the data before running; afterwards show how "
            "many cells and genes stayed, the clusters, and the CIDs of tables and figures."
        )

    @server.prompt()
    def methods_section(cid: str) -> str:
        """Write the methods section of a paper for a result, with tools and versions from its lineage."""
        lineage = api.trace(cid, store=place.store)
        lines = [_method(call_told(record)) for record in reversed(lineage.records[:MOST_CALLS])]
        rest = len(lineage.records) - MOST_CALLS
        more = [f"… and {rest} more calls: trace(cid={cid!r}) lists them"] if rest > 0 else []
        inputs = "\n".join(f"- {asset.name} (CID {asset.cid})" for asset in lineage.sources[:MOST_CALLS])
        facts = without_secrets("\n".join([*lines, *more]))
        return (
            "Write a methods section in the past tense for the result below, from these facts alone: name every tool "
            "with its version and the parameters that matter, group repeated steps over samples, invent nothing, and "
            f"end with the sentence that data and provenance are addressed by CID {cid}.\n\nInput files:\n{inputs}\n\n"
            f"Calls, in the order in which they ran:\n{facts}"
        )


def _method(call: dict[str, Any]) -> str:
    tools = ", ".join(f"{tool['name']} {tool['version']}" for tool in call["tools"]) or "own code"
    libraries = ", ".join(f"{name} {version}" for name, version in call["libraries"].items())
    parameters = ", ".join(f"{name}={value!r}" for name, value in call["parameters"].items())
    used = "; ".join(filter(None, (tools, libraries)))
    return f"- {call['task']} ({used}){f' with {parameters}' if parameters else ''}"
