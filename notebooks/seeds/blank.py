# /// script
# requires-python = ">=3.11"
# dependencies = ["stargazer-dask[notebook]"]
#
# [tool.stargazer]
# cells = true
# title = "Blank"
# description = "An empty notebook."
# order = 1
# cpus = 1
# memory = "1 GiB"
# ///
import marimo

app = marimo.App(width="medium")

with app.setup:
    pass


@app.cell
def _():
    return


if __name__ == "__main__":
    app.run()
