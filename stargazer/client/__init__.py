"""Dask clients by configuration alone."""

from stargazer.client.connecting import connect

__all__ = ["connect"]
