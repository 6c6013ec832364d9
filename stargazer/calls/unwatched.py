"""Tasks whose bodies ask what their parameters name: files of others, services. Nobody looks at what they read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from stargazer.calls.task import Task

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stargazer.execute import TaskSpec
    from stargazer.tools import Workdir

__all__ = ["Unwatched"]


class _Here(NamedTuple):
    """Where such bodies run: as all others do; what they depend on stands in their parameters."""

    runtime: str = "here"

    @property
    def is_elsewhere(self) -> bool:
        """Whether another machine compares code, tools and libraries itself."""
        return False

    def key(self, key: str) -> str:
        """The identity of a task, which is what it would be anyway."""
        return key


class Unwatched(Task[..., Any]):
    """A task whose parameters hold all that its result depends on, so that what it reads is no hidden input.

    Its parameters say which bytes these are: by a stamp of files, or by the words that are sent to a service.
    """

    def _place(self) -> Any:
        return _Here()

    def sent(
        self, place: Any, spec: TaskSpec, work: Workdir, staged: Mapping[str, Any], parameters: Mapping[str, Any]
    ) -> Any:
        """Run the body here, and look at nothing that it does."""
        return self.body(work, *(staged[name] for name in self.positional), **parameters)
