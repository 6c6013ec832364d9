"""For the tests of others: contracts of stores and remotes as classes, and small inputs. It needs pytest."""

import pytest

pytest.register_assert_rewrite("stargazer.testing.stores", "stargazer.testing.remotes")
