"""Commands of an operator: tables, organizations, tokens."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from sqlalchemy.engine import make_url

from cli.settings import client_settings
from playbooks.common.errors import NotFoundError, ValidationError
from playbooks.common.permissions import PERMISSIONS
from runtime.settings import MissingSettingError, Settings
from runtime.tokens import DEFAULT_PERMISSIONS, issue_token
from storage.database.migrate import upgrade
from storage.identity import organizations


def upgrade_database(data_dir: Path | None) -> int:
    """Bring the database to the newest revision; the service role gets the password of PLAYBOOK_DATABASE_URL."""
    settings = client_settings(data_dir)
    upgrade(settings.needed("admin_database_url"), _service_password(settings))
    sys.stderr.write("the database is up to date\n")
    return 0


def create_organization(data_dir: Path | None, *, code: str, name: str) -> int:
    """Create an organization and print its id."""
    admin_url = client_settings(data_dir).needed("admin_database_url")
    row = asyncio.run(organizations.create_organization(admin_url, code=code, name=name))
    sys.stdout.write(f"{row.id}\n")
    return 0


def print_token(data_dir: Path | None, *, org: str, user: str, roles: str, permissions: str | None) -> int:
    """Print a token for a person of an organization, and nothing else. Raises NotFoundError, ValidationError."""
    settings = client_settings(data_dir)
    if settings.jwt_secret is None:
        raise MissingSettingError("PLAYBOOK_JWT_SECRET is not set, and no stack was found (--data-dir)")
    row = asyncio.run(organizations.find_organization(settings.needed("admin_database_url"), org))
    if row is None:
        raise NotFoundError(f"there is no organization with the code '{org}'")
    granted = DEFAULT_PERMISSIONS if permissions is None else _names(permissions)
    unknown = sorted(set(granted) - set(PERMISSIONS))
    if unknown:
        raise ValidationError(f"unknown permissions: {', '.join(unknown)}; there are {', '.join(PERMISSIONS)}")
    secret = settings.jwt_secret.get_secret_value()
    text = issue_token(secret, organization_id=row.id, subject=user, roles=_names(roles), permissions=granted)
    sys.stdout.write(f"{text}\n")
    return 0


def _service_password(settings: Settings) -> str | None:
    """Return the password only where the URL is the service role's: it must not get another login's password."""
    if settings.database_url is None:
        return None
    url = make_url(settings.database_url)
    return url.password if url.username == "playbook_service" else None


def _names(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())
