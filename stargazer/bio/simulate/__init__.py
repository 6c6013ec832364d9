"""Simulated cohorts whose truth is known."""

from stargazer.bio.simulate.cohort import Cohort, simulate_cohort

__all__ = ["Cohort", "simulate_cohort"]
