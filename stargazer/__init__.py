"""Stargazer."""
