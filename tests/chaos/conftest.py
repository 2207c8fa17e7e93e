"""Helpers that judge say what they found, as tests do."""

import pytest

pytest.register_assert_rewrite("tests.chaos.comparing", "tests.chaos.judge", "tests.chaos.scene")
