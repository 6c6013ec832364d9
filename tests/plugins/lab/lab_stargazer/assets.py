"""An asset type: a class with facts."""

import stargazer as sg


class LineCount(sg.Asset):
    """The number of lines of a text, in a file of its own.

    Parameters
    ----------
    lines
        How many.
    """

    lines: int = 0
