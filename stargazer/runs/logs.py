"""Logs of calls that failed, read once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stargazer.errors import StargazerError
from stargazer.ledger import Ledger
from stargazer.ledger.logs import SHOWN_DIGITS, log_of, record_of

if TYPE_CHECKING:
    from stargazer.store import Store

__all__ = ["Logs"]


class Logs:
    """Logs of calls that failed, by their errors.

    Parameters
    ----------
    store
        In which they ran; None where nothing ran.
    """

    def __init__(self, store: Store | None) -> None:
        self.store = store
        self._read: dict[str, str] = {}

    def log(self, error: BaseException) -> str:
        """Return the whole log; empty where the call left none, or it cannot be read."""
        name = record_of(error)
        if name is None or self.store is None:
            return ""
        if name not in self._read:
            self._read[name] = self._log(Ledger(self.store), name)
        return self._read[name]

    @staticmethod
    def _log(ledger: Ledger, name: str) -> str:
        try:
            record = ledger.get(name)
            return log_of(ledger, record) if record is not None else ""
        except (StargazerError, OSError):
            return ""

    def command(self, error: BaseException) -> str:
        """Return the command that shows it; empty where there is none."""
        name = record_of(error)
        if name is None or self.store is None:
            return ""
        from stargazer.config import store_url
        from stargazer.store import Store

        elsewhere = "" if Store.open(store_url()).url == self.store.url else f" --store {self.store.url}"
        return f"stargazer log {name[:SHOWN_DIGITS]}{elsewhere}"
