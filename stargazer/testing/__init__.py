"""For the tests of others: contracts of stores, remotes and formats of notebooks as classes, and small inputs. It needs pytest."""

import pytest

pytest.register_assert_rewrite("stargazer.testing.stores", "stargazer.testing.remotes", "stargazer.testing.notebooks")
