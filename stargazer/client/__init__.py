"""Dask clients by configuration alone."""

from stargazer.client.connect import connect

__all__ = ["connect"]
