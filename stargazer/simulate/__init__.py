"""Simulated cohorts whose truth is known, and the comparison of calls to it."""

from stargazer.simulate.cohort import Cohort, simulate_cohort

__all__ = ["Cohort", "simulate_cohort"]
