"""A tool: a task that runs ``wc``."""

import stargazer as sg
from lab_stargazer.assets import LineCount


@sg.task(tools=["wc"])
def count_lines(work: sg.Workdir, text: sg.Asset) -> LineCount:
    """Count the lines of a text."""
    out = work.file("count.txt")
    work.run(["wc", "-l"], stdin=text.path, stdout=out)
    return LineCount(path=out, lines=int(out.read_text()))
