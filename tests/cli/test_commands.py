"""Commands for operators, as separate processes against a real database."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from uuid import UUID

import pytest

from playbooks.common.permissions import PERMISSIONS
from runtime.settings import Settings
from runtime.tokens import TokenVerifier
from storage.database.sessions import Database
from storage.identity.organizations import own_organization
from tests.support import stacks
from tests.support.servers import JWT_SECRET, SERVICE_PASSWORD


def _settings(admin_url: str, service_url: str = "") -> dict[str, str]:
    return {
        "PLAYBOOK_ADMIN_DATABASE_URL": admin_url,
        "PLAYBOOK_DATABASE_URL": service_url,
        "PLAYBOOK_JWT_SECRET": JWT_SECRET,
    }


async def test_prepares_a_database_when_upgraded_twice(empty_database_url: str, tmp_path: Path) -> None:
    service_url = empty_database_url.replace("//postgres:admin@", f"//playbook_service:{SERVICE_PASSWORD}@")
    settings = _settings(empty_database_url, service_url)
    for _ in range(2):
        finished = stacks.run("db", "upgrade", home=tmp_path, **settings)
        assert finished.returncode == 0, finished.stderr
    made = stacks.run("org", "create", "--code", "acme", "--name", "Acme Inc.", home=tmp_path, **settings)
    organization_id = UUID(made.stdout.strip())
    database = Database.connect(service_url)
    async with database.reading(organization_id) as session:
        row = await own_organization(session)
    await database.close()
    assert row is not None
    assert (row.code, row.name) == ("acme", "Acme Inc.")
    again = stacks.run("org", "create", "--code", "acme", "--name", "Other", home=tmp_path, **settings)
    assert again.returncode == 1
    assert "acme" in again.stderr
    assert "Traceback" not in again.stderr


async def test_prints_a_token_and_nothing_else_when_asked(admin_database_url: str, tmp_path: Path) -> None:
    settings = _settings(admin_database_url)
    code = f"token-{os.getpid()}"
    organization_id = stacks.run("org", "create", "--code", code, "--name", "T", home=tmp_path, **settings).stdout
    verifier = TokenVerifier(Settings.model_validate({"jwt_secret": JWT_SECRET}))

    plain = stacks.run("token", "--org", code, "--user", "anna", "--roles", "a, b", home=tmp_path, **settings)
    claims = await verifier.verify(plain.stdout.removesuffix("\n"))
    assert claims.organization_id == UUID(organization_id.strip())
    assert (claims.sub, claims.roles) == ("anna", ("a", "b"))
    assert claims.permissions == frozenset(PERMISSIONS) - {"playbooks:admin"}

    chosen = ("--permissions", "playbooks:admin,runs:read")
    narrow = stacks.run("token", "--org", code, "--user", "anna", "--roles", "", *chosen, home=tmp_path, **settings)
    assert (await verifier.verify(narrow.stdout.strip())).permissions == {"playbooks:admin", "runs:read"}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("token", "--org", "nosuch", "--user", "a"), "nosuch"),
        (("token", "--org", "nosuch", "--user", "a", "--data-dir", "/nowhere"), "/nowhere"),
    ],
)
def test_explains_itself_when_it_cannot_do_its_work(
    arguments: tuple[str, ...], words: str, admin_database_url: str, tmp_path: Path
) -> None:
    failed = stacks.run(*arguments, home=tmp_path, **_settings(admin_database_url))
    assert failed.returncode == 1
    assert failed.stdout == ""
    assert words in failed.stderr
    assert "Traceback" not in failed.stderr


def test_names_the_setting_when_one_is_missing_or_wrong(tmp_path: Path) -> None:
    away = {"PLAYBOOK_DATA_DIR": str(tmp_path)}
    missing = stacks.run("db", "upgrade", home=tmp_path, **away)
    wrong = stacks.run("db", "upgrade", home=tmp_path, PLAYBOOK_EGRESS_ALLOW="everything", **away)
    unreachable = stacks.run("db", "upgrade", home=tmp_path, **_settings("postgresql://u:hush@127.0.0.1:1/x"))
    assert "PLAYBOOK_ADMIN_DATABASE_URL" in missing.stderr
    assert "PLAYBOOK_EGRESS_ALLOW" in wrong.stderr
    assert {missing.returncode, wrong.returncode, unreachable.returncode} == {1}
    assert "hush" not in unreachable.stderr
    assert "Traceback" not in missing.stderr + wrong.stderr + unreachable.stderr


def test_loads_no_temporal_when_a_person_uses_it() -> None:
    script = (
        "import sys, cli.main, cli.administration, cli.demo.play, cli.rest, cli.settings\n"
        "sys.exit('temporalio' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
