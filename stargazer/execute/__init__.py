"""On the worker: find → stage → body → save → append. What runs is in `stargazer.execute.execute`."""

from stargazer.execute.order import Order, Work

__all__ = ["Order", "Work"]
