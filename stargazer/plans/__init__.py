"""What would run, what is known, and why something is not."""

from stargazer.plans.plan import Plan, Planned, plan
from stargazer.plans.reasons import Reason

__all__ = ["Plan", "Planned", "Reason", "plan"]
