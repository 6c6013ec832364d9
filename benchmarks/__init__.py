"""How fast is Stargazer, beside what else does the same? ``python -m benchmarks`` answers, one question a module.

Every figure is a ratio of two things that were measured in turns in one run, so that it holds on a machine whose speed
drifts. Needs the extra ``bench`` of the package.
"""
