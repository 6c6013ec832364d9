"""Simulated cohorts whose truth is known."""

from stargazer.bio.simulate.cohort import Cohort, simulate_cohort
from stargazer.bio.simulate.exomes import Exomes, simulate_exomes

__all__ = ["Cohort", "Exomes", "simulate_cohort", "simulate_exomes"]
