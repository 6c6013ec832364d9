"""Tools that only read: what they answer, and how they refuse."""

from __future__ import annotations

import gzip
import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pysam
import pytest
from mcp_agents import asked, stdio, with_client

import stargazer as sg
from stargazer.mcp.place import Place
from stargazer.mcp.server import make_server

Ask = Callable[..., Any]
TOOLS = {
    "list_tasks", "describe_task", "plan_task", "plan_workflow", "run_task", "run_workflow", "wait_for_run",
    "list_runs",
    "cancel_run", "read_log", "query_files", "describe_file", "upload_file", "begin_upload", "download_file",
    "update_file", "delete_file", "trace", "list_bundles", "fetch_resource_bundle", "list_notebooks", "plan_notebook",
    "run_notebook", "why",
}  # fmt: skip


def add(store: sg.Store, folder: Path, name: str, draft: sg.Asset, text: str = "ACGT") -> sg.Asset:
    (folder / name).write_text(text)
    return store.add(folder / name, draft)


def test_every_tool_has_a_schema_of_its_answer_and_says_what_it_does(place: Place) -> None:
    tools = with_client(make_server(place), lambda client: client.list_tools()).tools
    assert {tool.name for tool in tools} >= TOOLS
    for tool in tools:
        assert tool.output_schema, tool.name
        assert tool.annotations is not None, tool.name
        assert tool.description, tool.name
    hints = {tool.name: tool.annotations for tool in tools}
    assert hints["delete_file"].destructive_hint
    assert hints["trace"].read_only_hint
    assert not hints["run_task"].read_only_hint
    assert hints["run_task"].idempotent_hint


def test_tasks_are_listed_in_pages_that_fit(ask: Ask) -> None:
    names, cursor = list[str](), None
    while True:
        answer = ask("list_tasks", cursor=cursor, limit=30)
        assert len(json.dumps(answer)) < 60_000
        names += [each["name"] for each in answer["tasks"]]
        cursor = answer["next_cursor"]
        if cursor is None:
            break
    assert len(names) == len(set(names)) == answer["total"]
    assert {"adding", "part", "germline_short_variant_discovery", "gatk.mark_duplicates"} <= set(names)


def test_an_entry_is_as_documented(ask: Ask) -> None:
    (entry,) = ask("list_tasks", category="task", word="letters of reads")["tasks"]
    assert entry["params"][0] == {"name": "reads", "type": "R1", "required": True, "default": None, "text": None}
    assert entry["outputs"] == [{"name": "o0", "type": "Asset"}] or entry["outputs"][0]["type"] == "Asset"
    described = ask("describe_task", name="letters")
    assert described["input_schema"]["properties"]["upper"]["default"] is False
    assert {each["category"] for each in ask("list_tasks", category="workflow")["tasks"]} == {"workflow"}


def test_plans_say_why(ask: Ask, store: sg.Store, folder: Path) -> None:
    planned = ask("plan_workflow", workflow_name="adding", inputs={"n": 3})
    assert planned["to_run"] == 4
    assert {step["task"]: step["calls"] for step in planned["steps"]} == {"part": 3, "total": 1}
    assert planned["steps"][0]["reasons"] == ["never ran"]
    add(store, folder, "s1.fq", sg.R1(sample_id="s1"))
    assert ask("plan_task", task_name="letters", filters={"sample_id": "s1"})["to_run"] == 1
    assert "never ran" in ask("why", name="letters", filters={"sample_id": "s1"})["why"][0]


@pytest.mark.parametrize(
    ("tool", "arguments", "told"),
    [
        ("plan_task", {"task_name": "adding"}, "adding is a workflow: use run_workflow"),
        ("plan_workflow", {"workflow_name": "part", "inputs": {}}, "part is a task: use run_task"),
        ("plan_workflow", {"workflow_name": "addin"}, "no task or workflow is named 'addin'.*adding"),
        ("plan_workflow", {"workflow_name": "adding", "inputs": {"m": 1}}, "no parameter 'm'.*n missing.*takes n,"),
        ("plan_workflow", {"workflow_name": "mark_duplicates", "inputs": {}}, "gatk.mark_duplicates, general"),
        ("plan_workflow", {"workflow": "adding"}, "has no argument 'workflow'.*It takes workflow_name"),
        ("plan_workflow", {}, "workflow_name: must be given"),
        ("list_tasks", {"limit": "many"}, "limit: must be a whole number"),
        ("list_tasks", {"cursor": "eA"}, "cursor: it belongs to another question"),
        ("query_files", {"keyvalues": {"asset": "nothing"}}, "nothing"),
        ("describe_file", {"cid": "../../etc/passwd"}, "neither a CID nor the id"),
        ("no_tool", {}, "there is no tool 'no_tool'"),
        ("trace", {"cid": "bafkreib6vj3os7l4lqqytaw5vju46iorcknttfiwfnlbizjcqn7xd5hrvy"}, "nothing|has no|knows"),
    ],
)
def test_wrong_questions_are_told_what_is_wrong(
    refuse: Callable[..., str], tool: str, arguments: dict[str, Any], told: str
) -> None:
    import re

    found = refuse(tool, **arguments)
    assert re.search(told, found, re.DOTALL), found
    assert "pydantic" not in found
    assert "Traceback" not in found


def test_files_are_found_and_described(ask: Ask, store: sg.Store, folder: Path) -> None:
    for number in range(7):
        add(store, folder, f"s{number}.fq", sg.R1(sample_id=f"s{number}"), f"@{number}\nACGT\n")
    first = ask("query_files", keyvalues={"asset": "r1"}, limit=5)
    assert (len(first["files"]), first["total"]) == (5, 7)
    rest = ask("query_files", keyvalues={"asset": "r1"}, limit=5, cursor=first["next_cursor"])
    assert rest["next_cursor"] is None
    assert [each["facts"]["sample_id"] for each in [*first["files"], *rest["files"]]] == [f"s{n}" for n in range(7)]
    told = ask("query_files", keyvalues={"asset": "r1", "sample_id": ["s1", "s9"]})
    assert "s9" in told["missing"]
    one = ask("describe_file", cid=first["files"][0]["cid"])
    assert (one["preview"], one["records"]) == ("", 0)
    assert Path(one["file"]["path"]).read_text() == "@0\nACGT\n"
    assert ask("describe_file", cid=first["files"][0]["id"], preview=True)["preview"] == "@0\nACGT"
    assert Path(ask("download_file", cid=one["file"]["cid"])["path"]).read_text() == "@0\nACGT\n"


def test_previews(ask: Ask, store: sg.Store, folder: Path) -> None:
    header = "##fileformat=VCFv4.2\n##contig=<ID=chr1>\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\ts1\n"
    rows = "".join(f"chr1\t{n}\t.\tA\tC\t.\t.\t.\tGT\t0/1\n" for n in range(1, 50))
    (folder / "x.vcf.gz").write_bytes(gzip.compress((header + rows).encode()))
    with pysam.AlignmentFile(
        str(folder / "x.bam"), "wb", header={"HD": {"VN": "1.6"}, "SQ": [{"SN": "chr1", "LN": 9}]}
    ):
        pass
    (folder / "long.txt").write_text("".join(f"line {n}\x1b[2J\n" for n in range(100_000)))
    (folder / "x.bin").write_bytes(bytes(range(256)) * 4)
    (folder / "dir").mkdir()
    (folder / "dir" / "a").write_text("1")
    shown = {}
    for name in ("x.vcf.gz", "x.bam", "long.txt", "x.bin", "dir"):
        cid = store.add(folder / name).cid
        shown[name] = ask("describe_file", cid=cid, preview=True, lines=5)
    kinds = {name: told["preview_kind"] for name, told in shown.items()}
    assert kinds == {"x.vcf.gz": "vcf", "x.bam": "alignment", "long.txt": "text", "x.bin": "binary", "dir": "directory"}
    assert "1 samples: s1" in shown["x.vcf.gz"]["preview"]
    assert shown["x.vcf.gz"]["preview"].count("0/1") == 5
    assert "@SQ\tSN:chr1\tLN:9" in shown["x.bam"]["preview"]
    assert "\x1b" not in shown["long.txt"]["preview"]
    assert len(shown["long.txt"]["preview"]) < 1000


def test_a_preview_of_cells_in_hdf5(ask: Ask, store: sg.Store, folder: Path) -> None:
    h5py, anndata, numpy = (pytest.importorskip(name) for name in ("h5py", "anndata", "numpy"))
    cells = anndata.AnnData(numpy.ones((5, 3), "f4"), layers={"counts": numpy.ones((5, 3), "f4")})
    cells.obsm["X_pca"] = numpy.ones((5, 2))
    cells.obs["donor"] = list("aabbc")
    cells.write_h5ad(folder / "cells.h5ad")
    with h5py.File(folder / "other.h5", "w") as file:
        file["counts"] = [1]
    with h5py.File(folder / "linked.h5ad", "w") as file:
        file["obs"] = h5py.ExternalLink(str(folder / "cells.h5ad"), "/obs")
        file.create_group("var")
    with h5py.File(folder / "way.h5ad", "w") as file:
        file.create_group("var")
        file.create_group("obs").attrs["_index"] = "far/_index"
        file["obs"]["far"] = h5py.ExternalLink(str(folder / "cells.h5ad"), "/obs")
    shown = {
        name: ask("describe_file", cid=store.add(folder / name).cid, preview=True)
        for name in ("cells.h5ad", "other.h5", "linked.h5ad", "way.h5ad")
    }
    assert shown["way.h5ad"]["preview"].startswith("? cells × ? genes")
    assert shown["cells.h5ad"]["preview_kind"] == "anndata"
    lines = shown["cells.h5ad"]["preview"].splitlines()
    assert lines[0] == "5 cells × 3 genes"
    assert {"obs: donor", "obsm: X_pca", "layers: counts"} <= set(lines)
    assert shown["other.h5"]["preview_kind"] == shown["linked.h5ad"]["preview_kind"] == "binary"


def test_a_torn_file_is_told_as_such(refuse: Callable[..., str], store: sg.Store, folder: Path) -> None:
    (folder / "torn.vcf.gz").write_bytes(gzip.compress(b"x" * 100_000)[:50])
    (folder / "torn.bam").write_bytes(b"BAM\1nothing")
    for name in ("torn.vcf.gz", "torn.bam"):
        told = refuse("describe_file", cid=store.add(folder / name).cid, preview=True)
        assert "cut short or damaged" in told


def test_resources_and_prompts(place: Place, store: sg.Store, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PINATA_JWT", "very-secret-token-of-somebody")
    asset = add(store, folder, "s1.fq", sg.R1(sample_id="s1"))
    made = sg.run(sg.tasks.samtools_faidx(add(store, folder, "r.fa", sg.Reference(build="b"), ">a\nACGT\n"))).result()

    async def work(client: Any) -> dict[str, Any]:
        names = {str(each.uri) for each in (await client.list_resources()).resources}
        templates = {each.uri_template for each in (await client.list_resource_templates()).resource_templates}
        config = (await client.read_resource("stargazer://config")).contents[0].text
        told = (await client.read_resource(f"stargazer://assets/{asset.cid}")).contents[0].text
        prompts = {each.name for each in (await client.list_prompts()).prompts}
        methods = (await client.get_prompt("methods_section", {"cid": made.cid})).messages[0].content.text
        return {"names": names, "templates": templates, "config": config, "asset": told, "prompts": prompts,
                "methods": methods}  # fmt: skip

    found = with_client(make_server(place), work)
    assert {"stargazer://config", "stargazer://catalog"} <= found["names"]
    assert len(found["templates"]) == 3
    assert json.loads(found["config"])["pinata_jwt"] == "set"
    assert "very-secret" not in found["config"]
    assert json.loads(found["asset"])["facts"]["sample_id"] == "s1"
    assert found["prompts"] == {"plan_analysis", "explain_failure", "germline", "scrna", "methods_section"}
    assert "samtools" in found["methods"]
    assert "r.fa" in found["methods"]


def test_a_resource_that_is_not_there(place: Place) -> None:
    async def work(client: Any) -> str:
        with pytest.raises(Exception, match="no run") as caught:
            await client.read_resource("stargazer://runs/nothing-1")
        return str(caught.value)

    assert "Traceback" not in with_client(make_server(place), work)


@pytest.mark.parametrize(
    ("name", "arguments", "told"),
    [
        ("methods_section", {"cid": "nothing"}, "neither a CID nor the id"),
        ("methods_section", {}, "cid missing"),
        ("no_prompt", {}, "there is no prompt 'no_prompt'"),
    ],
)
def test_a_prompt_that_cannot_be(place: Place, name: str, arguments: dict[str, str], told: str) -> None:
    async def work(client: Any) -> None:
        with pytest.raises(Exception, match=told):
            await client.get_prompt(name, arguments)

    with_client(make_server(place), work)


def test_notebooks_are_listed(ask: Ask, folder: Path) -> None:
    (folder / "a.py").write_text("# %% [markdown]\n# # Title of it\n# %%\nx = 1\n")
    (folder / "plain.py").write_text("x = 1\n")
    (folder / ".hidden").mkdir()
    (folder / ".hidden" / "b.py").write_text("# %%\nx = 1\n")
    (row,) = ask("list_notebooks")["notebooks"]
    assert (row["path"], row["format"], row["cells"]) == (str(folder / "a.py"), "percent", 2)
    assert row["title"] == "Title of it"


def test_bundles_are_listed(ask: Ask) -> None:
    (first, *_) = ask("list_bundles")["bundles"]
    assert {"name", "description", "file_count"} <= first.keys()


def test_secrets_are_in_no_error(refuse: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAB_TOKEN", "abcdef-secret-0123456789")
    told = refuse("plan_workflow", workflow_name="abcdef-secret-0123456789")
    assert "abcdef-secret" not in told


def test_check_calls_every_tool_that_reads(store: sg.Store, folder: Path) -> None:
    add(store, folder, "s1.fq", sg.R1(sample_id="s1"))
    from stargazer.mcp.check import check

    found = check(store.url)
    assert [each for each in found if not each.ok] == []
    assert {"list_tasks", "query_files", "trace", "describe_file"} <= {each.what for each in found}


def test_stdout_has_the_protocol_alone(store: sg.Store, folder: Path) -> None:
    server = stdio(store)
    done = subprocess.run([server.command, *server.args], input="", capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout) == (0, "")


def test_reading_in_the_oldest_protocol(place: Place) -> None:
    async def work(client: Any) -> Any:
        return await asked(client, "list_tasks", limit=1), client.protocol_version

    answer, version = with_client(make_server(place), work, mode="legacy")
    assert answer["tasks"]
    assert version < "2026"
