"""``%load_ext stargazer``: cells of any kernel of IPython are calls, by its public hooks."""

from __future__ import annotations

import ast
import contextlib
import json
import logging
from typing import TYPE_CHECKING, Any

from stargazer.errors import StargazerError
from stargazer.notebook.live import Live, teed
from stargazer.notebook.shown import Captured, last_name
from stargazer.store import active_store

if TYPE_CHECKING:
    from stargazer.notebook.live import Looked

__all__ = ["load_ipython_extension", "unload_ipython_extension"]

REPLAY = "__stargazer_replay__"
HELP = "%sg plan: what each cell came to · %sg why: of the last cell · %sg off, %sg on"


class Host(ast.NodeTransformer):
    """Stands between a kernel and its cells.

    Parameters
    ----------
    shell
        The running IPython.
    """

    def __init__(self, shell: Any) -> None:
        self.shell, self.on = shell, True
        self.live = Live(active_store(), sequential=True)
        self._source: str | None = None
        self._place = ""
        self._looked: Looked | None = None
        self._out = Captured()
        self._stack = contextlib.ExitStack()

    def before(self, info: Any) -> None:
        """A cell is about to run."""
        raw = str(info.raw_cell or "")
        source = self.shell.transform_cell(raw)
        self._source = raw if source.strip() == raw.strip() else source
        self._place = str(getattr(info, "cell_id", None) or "")

    def visit(self, tree: ast.AST) -> ast.AST:
        """Take the body of a known cell away, and put its values in place."""
        source, self._source = self._source, None
        if not self.on or source is None or not isinstance(tree, ast.Module) or "get_ipython()" in source:
            self.live.forget()
            return tree
        space = self.shell.user_ns
        try:
            looked = self.live.look(source, space, self._place)
            if looked.record is not None:
                return self._restored(looked, tree)
        except StargazerError as error:
            logging.getLogger("stargazer").warning("this cell runs as if nothing were known of it: %s", error)
            return tree
        self._looked, self._out = looked, Captured()
        self._stack.enter_context(self.live.watched(looked))
        self._stack.enter_context(teed(self._out))
        return tree

    def _restored(self, looked: Looked, tree: ast.Module) -> ast.AST:
        outputs = self.live.restore(looked, self.shell.user_ns)
        name = last_name(looked.cell.source)
        if name is not None and name in self.shell.user_ns:
            outputs = [each for each in outputs if each["output_type"] != "execute_result"]
        self.shell.user_ns[REPLAY] = lambda: self._replay(outputs)
        body: list[ast.stmt] = [ast.Expr(ast.Call(ast.Name(REPLAY, ast.Load()), [], []))]
        if name is not None:
            body.append(ast.Expr(ast.Name(name, ast.Load())))
        return ast.fix_missing_locations(ast.Module(body, []))

    def _replay(self, outputs: list[dict[str, Any]]) -> None:
        import sys

        for output in outputs:
            if output["output_type"] == "stream":
                print(output["text"], end="", file=getattr(sys, output["name"]))
            else:
                self.shell.display_pub.publish(data=output["data"], metadata=output["metadata"])

    def after(self, result: Any) -> None:
        """A cell has run."""
        looked, self._looked = self._looked, None
        if looked is None:
            return
        stack, self._stack = self._stack, contextlib.ExitStack()
        stack.close()
        if (error := result.error_in_exec or result.error_before_exec) is not None:
            self.live.failed(looked, error)
            return
        outputs = self._out.outputs
        if result.result is not None:
            data, metadata = self.shell.display_formatter.format(result.result)
            outputs.append(
                {"output_type": "execute_result", "data": data, "metadata": metadata, "execution_count": None}
            )
        self.live.record(looked, self.shell.user_ns, outputs)

    def published(self, message: dict[str, Any]) -> dict[str, Any]:
        """Something is shown while a cell runs."""
        if self._looked is not None and message.get("header", {}).get("msg_type") == "display_data":
            content = message["content"]
            self._out.outputs.append(
                {"output_type": "display_data", "data": content["data"], "metadata": content["metadata"]}
            )
        return message

    def magic(self, line: str) -> None:
        """``%sg plan``, ``%sg why``, ``%sg off``, ``%sg on``; ``%sg reads`` tells a program which files cells read."""
        word = line.strip()
        if word in ("on", "off"):
            self.on = word == "on"
        elif word == "plan":
            width = max((len(name) for name, _, _ in self.live.rows), default=0)
            for name, state, why in self.live.rows:
                print(f"{state:6} {name.ljust(width)}  {why}".rstrip())
        elif word == "why":
            name, state, why = self.live.rows[-1] if self.live.rows else ("no cell", "ran yet", "")
            print(f"{name}: {state} {why}".rstrip())
        elif word == "reads":
            print(json.dumps(self.live.reads))
        else:
            print(HELP)


_hosts: dict[int, Host] = {}


def load_ipython_extension(shell: Any) -> None:
    """Let the cells of a kernel be calls from now on."""
    if id(shell) in _hosts:
        _hosts[id(shell)].on = True
        return
    host = _hosts[id(shell)] = Host(shell)
    shell.ast_transformers.append(host)
    shell.events.register("pre_run_cell", host.before)
    shell.events.register("post_run_cell", host.after)
    if hasattr(shell.display_pub, "register_hook"):
        shell.display_pub.register_hook(host.published)
    shell.register_magic_function(host.magic, magic_name="sg")


def unload_ipython_extension(shell: Any) -> None:
    """Let cells be what they were."""
    host = _hosts.pop(id(shell), None)
    if host is None:
        return
    shell.ast_transformers.remove(host)
    shell.events.unregister("pre_run_cell", host.before)
    shell.events.unregister("post_run_cell", host.after)
    if hasattr(shell.display_pub, "unregister_hook"):
        shell.display_pub.unregister_hook(host.published)
