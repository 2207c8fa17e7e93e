"""Our copies of the user's examples are the user's."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.playbooks.building import EXAMPLES

ORIGINALS = Path(__file__).parents[3] / "shared" / "examples"


@pytest.mark.parametrize("name", ["grants-intake.playbook.json", "grants-intake.input.json", "requests.json"])
def test_example_is_equal_when_the_original_is_there(name: str) -> None:
    copy = (EXAMPLES / name).read_bytes()
    assert copy
    if ORIGINALS.is_dir():
        assert copy == (ORIGINALS / name).read_bytes()
