"""On the worker: find → stage → body → save → append. What runs is in `stargazer.execute.execute`."""

from stargazer.execute.needs import Needs
from stargazer.execute.order import Order, Work

__all__ = ["Needs", "Order", "Work"]
