"""The process that drives a run of its own."""
