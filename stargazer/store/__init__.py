"""Content-addressed storage on any fsspec URL."""

from stargazer.store.store import Store, active_store

__all__ = ["Store", "active_store"]
