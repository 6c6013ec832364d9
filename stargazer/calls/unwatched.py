"""Tasks whose bodies ask what their parameters name: files of others, services. Nobody looks at what they read."""

from __future__ import annotations

from typing import Any

from stargazer.calls.task import Task

__all__ = ["Unwatched"]


class Unwatched(Task[..., Any]):
    """A task whose parameters hold all that its result depends on, so that what it reads is no hidden input.

    Its parameters say which bytes these are: by a stamp of files, or by the words that are sent to a service.
    """

    is_watched = False
