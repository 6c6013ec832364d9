"""Draw the packages of Stargazer as the import contract has them: ``python docs/make/architecture.py``.

It writes ``docs/pictures/architecture.svg`` and the table of ``docs/architecture.md``: both say what ``pyproject.toml``
has import-linter check, so neither can go out of date unseen.
"""

from __future__ import annotations

import ast
import tomllib
from html import escape
from pathlib import Path

ROOT = Path(__file__).parents[2]
PICTURE = ROOT / "docs" / "pictures" / "architecture.svg"
PAGE = ROOT / "docs" / "architecture.md"
START, END = "<!-- table: made by docs/make/architecture.py -->", "<!-- end -->"

GROUPS = {
    "surfaces": ("cli", "testing", "demo", "app", "mcp", "notebook", "service", "catalog"),
    "science": ("workflows", "tasks", "bio", "embedded"),
    "engine": (
        "driver", "client", "names", "prompts", "runs", "tables", "api", "calls", "execute", "executors", "remotes",
        "relay", "ledger", "tools", "store", "assets", "profiles",
    ),
    "ground": (
        "cid", "display", "fingerprint", "config", "bounded", "encodings", "hosts", "origins", "plugins", "errors",
        "visible",
    ),
}  # fmt: skip

WIDTH, ROW, GAP, LEFT = 960, 34, 8, 20
STYLE = """
  text { font: 14px system-ui, sans-serif; fill: #1f2328; dominant-baseline: central; text-anchor: middle }
  .legend { text-anchor: start }
  rect { stroke-width: 1.5 }
  .surfaces { fill: #ddf4ff; stroke: #0969da } .science { fill: #dafbe1; stroke: #1a7f37 }
  .engine { fill: #fff8c5; stroke: #9a6700 } .ground { fill: #eaeef2; stroke: #59636e }
  @media (prefers-color-scheme: dark) {
    text { fill: #f0f6fc }
    .surfaces { fill: #0c2d6b; stroke: #58a6ff } .science { fill: #033a16; stroke: #3fb950 }
    .engine { fill: #4b2900; stroke: #d29922 } .ground { fill: #262c36; stroke: #9198a1 }
  }
"""


def layers() -> list[list[str]]:
    """Packages by layer, the highest first; those that are not there are left out."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    contract = next(contract for contract in settings["contracts"] if contract["type"] == "layers")
    rows = [[name.strip().strip("()") for name in layer.split("|")] for layer in contract["layers"]]
    return [there for row in rows if (there := [name for name in row if source(name) is not None])]


def source(name: str) -> Path | None:
    """The file that says what a package holds."""
    package, module = ROOT / "stargazer" / name / "__init__.py", ROOT / "stargazer" / f"{name}.py"
    return next((path for path in (package, module) if path.exists()), None)


def summary(name: str) -> str:
    """The first line of a package's docstring."""
    path = source(name)
    assert path is not None
    lines = (ast.get_docstring(ast.parse(path.read_text())) or "").splitlines()
    return lines[0].replace("``", "`") if lines else ""


def group(name: str) -> str:
    """What a package belongs to."""
    return next(group for group, names in GROUPS.items() if name in names)


def picture(rows: list[list[str]]) -> str:
    """The packages as boxes, each layer above those that it may import."""
    height = 2 * LEFT + (len(rows) + 1) * (ROW + GAP)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img">',
        f"<title>Packages of Stargazer: each may import what lies below it</title><style>{STYLE}</style>",
    ]
    for index, row in enumerate(rows):
        width = (WIDTH - 2 * LEFT - GAP * (len(row) - 1)) / len(row)
        y = LEFT + index * (ROW + GAP)
        for column, name in enumerate(row):
            x = LEFT + column * (width + GAP)
            parts.append(f'<rect class="{group(name)}" x="{x:.0f}" y="{y}" width="{width:.0f}" height="{ROW}" rx="6"/>')
            parts.append(f'<text x="{x + width / 2:.0f}" y="{y + ROW / 2:.0f}">{escape(name)}</text>')
    y = LEFT + len(rows) * (ROW + GAP) + ROW // 2
    for column, name in enumerate(GROUPS):
        x = LEFT + column * 160
        parts.append(f'<rect class="{name}" x="{x}" y="{y - 8}" width="16" height="16" rx="3"/>')
        parts.append(f'<text class="legend" x="{x + 24}" y="{y}">{name}</text>')
    return "\n".join([*parts, "</svg>", ""])


def table(rows: list[list[str]]) -> str:
    """What each package holds, in the order of the layers."""
    lines = [f"| `{name}` | {group(name)} | {summary(name)} |" for row in rows for name in row]
    return "\n".join(["| Package | Part | Holds |", "|---|---|---|", *lines])


def page(text: str, rows: list[list[str]]) -> str:
    """The page with its table made anew."""
    before, _, rest = text.partition(START)
    return f"{before}{START}\n\n{table(rows)}\n\n{END}{rest.partition(END)[2]}"


if __name__ == "__main__":
    found = layers()
    PICTURE.write_text(picture(found))
    PAGE.write_text(page(PAGE.read_text(), found))
