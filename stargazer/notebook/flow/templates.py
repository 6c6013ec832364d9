"""New notebooks that run: a header, what every notebook begins with, and the query of what it is about."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stargazer.fingerprint.parsing import lines_of

if TYPE_CHECKING:
    from stargazer.notebook.flow.results import Draft

__all__ = ["marimo_template", "percent_template"]


def percent_template(draft: Draft) -> str:
    """Text of a percent script."""
    cells = [f"# %% [markdown]\n# # {draft.name}\n# {_objective(draft)}"]
    cells += ["# %% imports\nimport stargazer as sg"]
    cells += [f"# %% {name}\n{source}" for name, source in _work(draft)]
    return draft.header + "\n" + "\n\n".join(cells) + "\n"


def marimo_template(draft: Draft) -> str:
    """Text of a marimo file, as marimo itself would write it."""
    from importlib.metadata import version

    title = f'mo.md(r"""\n# {draft.name}\n\n{_objective(draft)}\n""")'
    cells, made = [_marimo_cell("_", title, [], "")], list[str]()
    for name, source in _interactive() if draft.mode == "interactive" else _work(draft):
        cells.append(_marimo_cell(name, source, [each for each in made if _reads(source, each)], name))
        made.append(name)
    setup = "with app.setup:\n    import marimo as mo\n    import stargazer as sg\n"
    head = f'{draft.header}\nimport marimo\n\n__generated_with = "{version("marimo")}"\napp = marimo.App()\n'
    return f"{head}\n{setup}\n\n" + "\n\n".join(cells) + '\n\nif __name__ == "__main__":\n    app.run()\n'


def _marimo_cell(name: str, source: str, reads: list[str], gives: str) -> str:
    """A cell as marimo writes it; what the setup imports is no parameter."""
    body = "".join(f"    {line}\n" if line else "\n" for line in lines_of(source))
    ends = f"    return ({gives},)\n" if gives else "    return\n"
    return f"@app.cell\ndef {'_' if gives else name}({', '.join(reads)}):\n{body}{ends}"


def _reads(source: str, name: str) -> bool:
    from stargazer.notebook.names import names_of

    return name in names_of(source).refs


def _objective(draft: Draft) -> str:
    return draft.objective or (f"What {draft.mod} made." if draft.mod else "What is it for?")


def _work(draft: Draft) -> list[tuple[str, str]]:
    """Cells by name: what is looked at, and a look at it."""
    if not draft.mod:
        return [("stored", "stored = sg.assemble()\nlen(stored)"), ("kinds", KINDS)]
    keys = ", ".join(repr(key).replace("'", '"') for key in draft.queries)
    query = f'sg.assemble(asset=[{keys}], missing="skip")' if draft.queries else "sg.assemble()"
    if not draft.of_task:
        return [
            ("made", f"# What {draft.mod} makes, of all that is stored.\nmade = {query}\nlen(made)"),
            ("facts", FACTS),
        ]
    made = MADE.format(mod=draft.mod, bare=draft.mod.rpartition(".")[2], query=query)
    return [("made", made), ("facts", FACTS)]


def _interactive() -> list[tuple[str, str]]:
    return [
        ("kinds", KINDS.replace("stored", "sg.assemble()").rpartition("\n")[0]),
        ("chosen", 'chosen = mo.ui.dropdown(options=kinds, label="Kind of asset")\nchosen'),
        ("found", "found = sg.assemble(asset=chosen.value) if chosen.value else []\nfound"),
    ]


KINDS = "kinds = sorted({asset.asset_key for asset in stored})\nkinds"

MADE = """\
# What {mod} made, of all that is stored.
made = [
    asset
    for asset in {query}
    if any(record.task.rpartition(".")[2] == "{bare}" for record in sg.trace(asset).records)
]
len(made)"""

FACTS = "facts = [asset.to_dict() for asset in made]\nfacts"
