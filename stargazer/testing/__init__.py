"""For the tests of others: contracts of stores, remotes and notebook formats as classes, small inputs; with pytest."""

import pytest

pytest.register_assert_rewrite("stargazer.testing.stores", "stargazer.testing.remotes", "stargazer.testing.notebooks")
