"""Profiles: where calls run, by configuration alone."""
