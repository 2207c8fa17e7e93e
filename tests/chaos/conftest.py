"""Assertions in helpers are rewritten by pytest, as in tests."""

import pytest

pytest.register_assert_rewrite("tests.chaos.comparing", "tests.chaos.judge", "tests.chaos.scene")
