"""Profiles: where calls run, by configuration alone."""

from stargazer.profiles.profile import Profile
from stargazer.profiles.reading import find_profile, profile_names

__all__ = ["Profile", "find_profile", "profile_names"]
