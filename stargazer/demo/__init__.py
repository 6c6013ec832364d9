"""Whole analyses of simulated data with a known truth."""
