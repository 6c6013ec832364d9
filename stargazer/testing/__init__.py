"""For the tests of others: contracts of stores, remotes, formats, integrations as classes; small inputs; for pytest."""

import pytest

for _name in ("stores", "remotes", "notebooks", "integrations"):
    pytest.register_assert_rewrite(f"stargazer.testing.{_name}")
