"""What tools answer, as programs read it: the output schemas are made of these."""

from typing import Any, Literal

from pydantic import BaseModel, Field

__all__ = [
    "AssetOut", "BundleOut", "BundlesOut", "CellsOut", "DeletedOut", "DescribedFile", "EntryOut", "FetchedOut",
    "FilesOut", "LogOut", "NotebookOut", "NotebookPlan", "NotebooksOut", "OutputOut", "ParamOut", "PlanOut", "RunOut",
    "RunRow", "RunsOut", "State", "StepOut", "TaskOut", "TasksOut", "TraceOut", "TransferOut", "WhyOut",
]  # fmt: skip

NEXT = "Pass it as cursor for the next page; null where there is none."
State = Literal["running", "done", "failed", "cancelled", "lost"]


class AssetOut(BaseModel):
    """A stored file or directory."""

    cid: str
    id: str = Field(description="Names the file with its facts; give it where an asset is wanted.")
    type: str
    name: str
    facts: dict[str, Any]
    keyvalues: dict[str, str]
    size: int | None = Field(description="Bytes; null where the store knows it and does not have it.")
    uri: str
    path: str | None = Field(default=None, description="Where it can be read on this machine.")


class ParamOut(BaseModel):
    """A parameter."""

    name: str
    type: str
    required: bool
    default: Any = None
    text: str | None = None


class OutputOut(BaseModel):
    """One of the results."""

    name: str
    type: str


class EntryOut(BaseModel):
    """A task or workflow in a list."""

    name: str
    category: Literal["task", "workflow"]
    description: str
    params: list[ParamOut]
    outputs: list[OutputOut]
    how: str | None = Field(default=None, description="What to install first, where it cannot be run here.")


class TasksOut(BaseModel):
    """A page of tasks and workflows."""

    tasks: list[EntryOut]
    total: int
    next_cursor: str | None = Field(default=None, description=NEXT)


class TaskOut(EntryOut):
    """All of one task or workflow."""

    text: str
    input_schema: dict[str, Any] = Field(description="JSON Schema of inputs.")
    needs: dict[str, Any]
    tools: list[dict[str, Any]]


class StepOut(BaseModel):
    """A call in a plan."""

    task: str
    state: Literal["known", "run", "maybe"]
    calls: int = Field(description="So many calls of the task are in that state for these reasons.")
    reasons: list[str]


class PlanOut(BaseModel):
    """What would run, and why."""

    known: int
    to_run: int
    steps: list[StepOut]
    next_cursor: str | None = Field(default=None, description=NEXT)


class RunOut(BaseModel):
    """A run: its result, or its handle."""

    run: str = Field(description="The handle: for wait_for_run, cancel_run and read_log.")
    what: str
    state: State
    done: int = Field(description="Calls that have ended.")
    total: int = Field(description="Calls that had to run; 0 where all was known.")
    seconds: float
    progress: str
    result: Any = Field(
        default=None, description="Named tuples by field, other tuples as o0, o1, …; assets as objects."
    )
    failures: dict[str, str] = Field(default_factory=dict, description="Why calls failed; read_log tells more.")
    logs: dict[str, str] = Field(default_factory=dict, description="What read_log takes for each of them.")


class RunRow(BaseModel):
    """A run in a list."""

    run: str
    what: str
    state: State
    started: str
    seconds: float
    done: int
    total: int
    failed: int
    where: str
    user: str
    mine: bool = Field(description="Whether this server started it.")


class RunsOut(BaseModel):
    """A page of runs, the newest first."""

    runs: list[RunRow]
    next_cursor: str | None = Field(default=None, description=NEXT)


class LogOut(BaseModel):
    """A piece of a log."""

    name: str
    kind: Literal["run", "call"]
    text: str
    error: str | None = None
    next_cursor: str | None = Field(default=None, description=NEXT)


class FilesOut(BaseModel):
    """A page of files."""

    files: list[AssetOut]
    total: int
    missing: str = Field(default="", description="What was asked for and nothing has.")
    next_cursor: str | None = Field(default=None, description=NEXT)


class DescribedFile(BaseModel):
    """All of one file."""

    file: AssetOut
    companions: list[AssetOut]
    records: int = Field(description="How many calls made it; trace shows them.")
    preview_kind: str = Field(
        description="text, vcf, alignment, anndata, directory, binary; empty where not asked for."
    )
    preview: str = Field(default="", description="Its beginning in a form to read; never all of a large file.")


class TransferOut(BaseModel):
    """A one-time address."""

    url: str | None = None
    method: Literal["PUT", "GET"] | None = None
    path: str | None = Field(default=None, description="Where the file is on this machine.")
    expires: str | None = None
    largest: int | None = Field(default=None, description="Bytes that may be sent.")
    how: str = ""


class DeletedOut(BaseModel):
    """What was forgotten, or would be."""

    deleted: bool
    would_delete: list[AssetOut]
    kept: list[str] = Field(description="Why its bytes would stay: pins and names that hold it.")
    how: str = ""


class TraceOut(BaseModel):
    """Where a file came from, or what was made of it."""

    cid: str
    direction: Literal["up", "down"]
    records: int
    text: str = Field(description="The tree: a line a file.")
    sources: list[str] = Field(description="Files that nothing recorded made.")
    calls: list[dict[str, Any]] = Field(description="Calls, nearest first: task, parameters, tools with versions.")
    next_cursor: str | None = Field(default=None, description=NEXT)


class BundleOut(BaseModel):
    """A bundle."""

    name: str
    description: str
    file_count: int
    size: int | None


class BundlesOut(BaseModel):
    """Bundles that come along."""

    bundles: list[BundleOut]


class FetchedOut(BaseModel):
    """What came with a bundle."""

    files: list[AssetOut]
    total: int
    told: list[str] = Field(description="Whom the files were asked of.")


class NotebookOut(BaseModel):
    """A notebook in a list."""

    path: str
    format: str
    cells: int
    title: str
    problems: list[str]


class NotebooksOut(BaseModel):
    """A page of notebooks."""

    notebooks: list[NotebookOut]
    missed: str = Field(default="", description="What was not looked at, and why; empty where all was.")
    next_cursor: str | None = Field(default=None, description=NEXT)


class NotebookPlan(BaseModel):
    """What becomes of the cells of a notebook."""

    notebook: str
    success: bool
    seconds: float
    cells: list[dict[str, Any]]


class WhyOut(BaseModel):
    """Why something would run, or did."""

    what: str
    state: str
    why: list[str]


class CellsOut(BaseModel):
    """The cells of a notebook, or what an edit makes of them."""

    notebook: str
    version: str = Field(description="Digest of the file: an edit names the one that it was made for.")
    written: bool
    cells: list[dict[str, Any]]
    would_run: list[str] = Field(default_factory=list)
    problems: list[str] = Field(default_factory=list)
    next_cursor: str | None = Field(default=None, description=NEXT)
