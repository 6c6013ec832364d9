"""On the worker: find → stage → body → save → append."""

from stargazer.execute.execute import execute
from stargazer.execute.order import Order, Work

__all__ = ["Order", "Work", "execute"]
