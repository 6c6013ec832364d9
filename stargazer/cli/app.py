"""The command line, put together."""

from __future__ import annotations

import errno
import warnings
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from stargazer.cli import (
    catalog,
    cid,
    completion,
    config,
    deleting,
    demo,
    exchange,
    flow,
    forgetting,
    germline,
    home,
    keeping,
    keys,
    mcp,
    notebook,
    promotion,
    publishing,
    remotes,
    run,
    scrna,
    serve,
    stats,
    store,
    tables,
    tools,
    unattended,
    worker,
)
from stargazer.cli.options import examples, print_json, say
from stargazer.cli.run import WithAgain
from stargazer.errors import ArgumentError, NotAReference, StargazerError, UnknownName
from stargazer.visible import visible

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["app"]


class Commands(TyperGroup):
    """Commands whose failures are messages, not tracebacks."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read what was typed before the name of a command."""
        as_json = "--json" in args
        try:
            return list(super().parse_args(ctx, args))
        except UsageError as error:
            if as_json:
                _tell_usage(error)
            raise

    def invoke(self, ctx: Any) -> Any:
        """Run the command that was asked for."""
        shown, warnings.formatwarning = warnings.formatwarning, _warned
        as_json = "--json" in (*getattr(ctx, "_protected_args", ()), *ctx.args)
        try:
            return super().invoke(ctx) if not as_json else self._invoke_for_json(ctx)
        except (ArgumentError, NotAReference, UnknownName) as error:  # what was typed names nothing, or does not fit
            raise typer.BadParameter(str(error)) from error
        except StargazerError as error:
            raise _failed(error) from error
        except KeyboardInterrupt:
            say("stargazer: interrupted; what was finished is kept", err=True)
            raise typer.Exit(130) from None
        except OSError as error:
            if error.errno == errno.EPIPE:
                raise
            raise _failed(error) from error
        finally:
            warnings.formatwarning = shown

    def _invoke_for_json(self, ctx: Any) -> Any:
        """Run a command whose answer is read by a program: what it could not do is an object on stdout, too."""
        try:
            return super().invoke(ctx)
        except (StargazerError, OSError) as error:
            if not getattr(error, "is_told", False):
                print_json({"error": {"type": type(error).__name__, "message": _message(error)}})
            raise
        except UsageError as error:
            _tell_usage(error)
            raise
        except KeyboardInterrupt:
            print_json({"error": {"type": "Interrupted", "message": "interrupted; what was finished is kept"}})
            raise

    def list_commands(self, ctx: Any) -> list[str]:
        """Names in the order in which they are mostly needed."""
        return list(self.commands)


def _tell_usage(error: Any) -> None:
    print_json({"error": {"type": "Usage", "message": error.format_message()}})


def _warned(message: Warning | str, category: type[Warning], *_: Any, **__: Any) -> str:
    """What is shown of a warning: nobody who types a command wants to know where in the code it was given."""
    kind = "" if issubclass(category, UserWarning) else f"{category.__name__}: "
    return f"stargazer: {kind}{visible(message, lines=True)}\n"


def _failed(error: Exception) -> typer.Exit:
    notes = "".join(f"\n{note}" for note in getattr(error, "__notes__", ()))
    say(f"stargazer: {_message(error)}{notes}", err=True)
    return typer.Exit(1)


def _message(error: Exception) -> str:
    if isinstance(error, OSError) and not isinstance(error, StargazerError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    return str(error) or type(error).__name__


app = typer.Typer(
    cls=Commands, no_args_is_help=True, add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False
)


def _version(wanted: bool) -> None:
    if wanted:
        from stargazer import __version__

        say(f"stargazer {__version__}")
        raise typer.Exit


@app.callback()
def stargazer(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Content-addressed files and workflows: never computed twice, never lost, always traceable.

    The store is the one of the settings (DASK_STARGAZER__STORE, or ~/.stargazer/store) unless --store names another.
    """


UsageError: Any = next(kind for kind in typer.BadParameter.__mro__ if kind.__name__ == "UsageError")
CID = "bafybeia3lsmhibzqk3uo5phryz4wurlj26pn74klczwbmnxq3pf5q3iyy4"

_COMMANDS: dict[str, tuple[Callable[..., None], list[str]]] = {
    "cid": (cid.cid, ["cid reads_R1.fq.gz results/", f"cid --check {CID} reads_R1.fq.gz"]),
    "add": (
        store.add,
        [
            "add s1_R1.fq.gz --as r1 --fact sample_id=s1",
            "add ref.fa --as reference --fact build=GRCh38 --companion reference_index=ref.fa.fai",
        ],
    ),
    "ls": (store.ls, ["ls asset=r1 sample_id=s1 sample_id=s2"]),
    "get": (store.get, [f"get {CID} --out results/"]),
    "push": (remotes.push, [f"push {CID} --to lab"]),
    "remotes": (remotes.remotes, ["remotes --json"]),
    "publish": (
        publishing.publish,
        ["publish cohort.vcf.gz --to home --title 'Variants of the family'", f"publish {CID} --to pinata --public"],
    ),
    "mirror": (exchange.mirror, ["mirror --to lab", "mirror asset=variants --to home"]),
    "where": (exchange.where, [f"where {CID}"]),
    "export": (exchange.export, [f"export {CID} --car reads.car"]),
    "import": (exchange.import_, ["import reads.car"]),
    "delete": (deleting.delete, ["delete --from pinata name=s1_R1.fq.gz", "delete --from pinata sample_id=s1 --all"]),
    "bundles": (remotes.bundles, ["bundles --json"]),
    "run": (
        run.run,
        [
            "run germline_short_variant_discovery build=GRCh38 sample_ids=s1,s2 --out results/",
            f"run pipeline.py:analyse reads={CID}",
            f"run pipeline.py:analyse reads={CID} --again align sort",
            f"run pipeline.py:analyse reads={CID} --submit --on slurm",
        ],
    ),
    "germline": (
        germline.germline,
        [
            "germline samples.csv --ref GRCh38.fa --target exome.bed --out results/",
            "germline samples.csv --ref GRCh38 --engine gatk --known-sites dbsnp=sites.vcf.gz --on slurm --out out/",
        ],
    ),
    "scrna": (
        scrna.scrna,
        ["scrna samples.csv --out results/", "scrna samples.csv --out results/ --reference ctrl --markers types.csv"],
    ),
    "plan": (run.plan, ["plan germline_short_variant_discovery build=GRCh38 sample_ids=s1,s2"]),
    "tasks": (catalog.tasks, ["tasks", "tasks vcf", "tasks --json"]),
    "describe": (catalog.describe, ["describe gatk.mark_duplicates", "describe call_sheet --json"]),
    "trace": (run.trace, [f"trace {CID}", f"trace {CID} --down --mermaid"]),
    "forget": (forgetting.forget, [f"forget {CID} --down", "forget align --dry-run"]),
    "verify": (forgetting.verify, [f"verify {CID}", "verify --sample 1% --json"]),
    "fsck": (store.fsck, ["fsck --store /data/store"]),
    "gc": (store.gc, ["gc --dry-run --grace 1d", "gc --budget 500GB"]),
    "name": (keeping.name, [f"name pbmc/clusters {CID}", "name release pbmc/clusters@3"]),
    "names": (keeping.names, ["names", "names pbmc/clusters", "names pbmc/clusters --diff --from 2"]),
    "facts": (keeping.facts, [f"facts {CID}", f"facts {CID} sample_id=s2"]),
    "rm": (keeping.rm, [f"rm {CID}"]),
    "pin": (keeping.pin, [f"pin paper-2026 {CID}"]),
    "unpin": (keeping.unpin, ["unpin paper-2026"]),
    "pins": (keeping.pins, ["pins --json"]),
    "runs": (run.runs, ["runs", "runs --limit 100 --json"]),
    "attach": (unattended.attach, ["attach germline-3f2a1c9-20261129T101500Z", "attach germline-3f2a --json"]),
    "cancel": (unattended.cancel, ["cancel germline-3f2a1c9-20261129T101500Z"]),
    "resume": (unattended.resume, ["resume germline-3f2a1c9-20261129T101500Z"]),
    "stats": (stats.stats, ["stats", "stats bwa_mem --json", "stats --run germline-3f2a1c9-20261129T101500Z"]),
    "log": (run.log, ["log germline-3f2a1c9-20261129T101500Z", "log 3fa1c09be2d4", f"log {CID} --json"]),
    "mcp": (mcp.mcp, ["mcp", "mcp --http --port 8731", "mcp --check"]),
    "app": (home.app, ["app", "app ~/notebooks --port 8888 --no-open"]),
    "completion": (completion.completion, ["completion bash > ~/.local/share/bash-completion/completions/stargazer"]),
    "warm": (tables.warm, ["warm file:///warehouse#db.events --columns id,value"]),
    "serve": (serve.serve, ["serve", "serve --host 0.0.0.0 --port 8765 --on slurm", "serve --new-token anna"]),
    "config": (config.config, ["config", "config profiles.slurm"]),
    "connect": (config.connect, ["connect slurm", "connect --check slurm --for pipeline.py"]),
}
for _name, (_command, _examples) in _COMMANDS.items():
    app.command(_name, cls=WithAgain if _name in ("run", "plan") else None, epilog=examples(*_examples))(_command)
app.add_typer(keys.app, name="keys")
app.add_typer(tools.app, name="tools")
app.add_typer(remotes.app, name="bundle")
app.add_typer(demo.app, name="demo")
flow.add_to(notebook.app)
promotion.add_to(notebook.app)
app.add_typer(notebook.app, name="nb")
app.add_typer(worker.app, name="worker")
