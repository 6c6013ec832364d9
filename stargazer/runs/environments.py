"""Whether the environments of tools are there that a run wants: told before anything of it runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stargazer.errors import ToolMissing

if TYPE_CHECKING:
    from collections.abc import Iterable

    from distributed import Client

    from stargazer.calls.call import Call

__all__ = ["check_environments"]


def check_environments(calls: Iterable[Call], client: Client | None = None) -> None:
    """Refuse calls whose tools run in an environment that nothing here runs, or that was not built.

    Parameters
    ----------
    calls
        Those that would run.
    client
        Whose workers would run them, those that are there now; threads of this process by default.

    Raises
    ------
    ToolMissing
        Names all such environments, and what to do.
    """
    specs = {id(call.spec): call.spec for call in calls}.values()
    names = sorted({tool.name for spec in specs for tool in spec.tools if tool.is_environment})
    if not names:
        return
    from stargazer.tools.enclosure import unready

    told = [unready(names)] if client is None else client.run(unready, names).values()
    if why := dict.fromkeys(message for found in told for message in found.values()):
        raise ToolMissing("; ".join(why))
