"""Connects a person's command to the API: by `PLAYBOOK_API_URL` and `PLAYBOOK_TOKEN`, else by the stack."""

from __future__ import annotations

import asyncio
import getpass
import sys
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import httpx2

from cli.account import Account
from cli.dev.folder import StackFolder
from cli.failures import UsageError
from cli.rest import Api, ApiProblemError
from cli.settings import client_settings, found_stack
from playbooks.common.errors import NotFoundError
from runtime.settings import Settings
from runtime.tokens import issue_token


class RefusedError(Exception):
    """The API could not be reached, or refused; the text is for people, `problems` for machines."""

    def __init__(self, text: str, code: str = "SERVICE_UNAVAILABLE", problems: list[Any] | None = None) -> None:
        super().__init__(text)
        self.code, self.problems = code, problems or []


@contextmanager
def connected(account: Account) -> Generator[Api]:
    """Return a client of the API. Raises UsageError without an address or a token, RefusedError by the API."""
    settings = client_settings(account.data_dir)
    api = Api(_address(account, settings), _token(account, settings))
    try:
        yield api
    except ApiProblemError as error:
        raise RefusedError(str(error), error.code, error.problems) from None
    except httpx2.HTTPError as error:
        raise RefusedError(f"the API does not answer: {error}") from None
    finally:
        api.close()


def print_refusal(error: RefusedError, *, as_json: bool) -> int:
    """Print the API's refusal, and return the exit code."""
    from cli.playbooks.show import write_json

    if as_json:
        write_json({"error": {"code": error.code, "detail": str(error), "errors": error.problems}})
    sys.stderr.write(f"playbook: {error}\n")
    return 1


def _address(account: Account, settings: Settings) -> str:
    if settings.api_url and account.data_dir is None:
        return settings.api_url.rstrip("/").removesuffix("/api/v1")
    folder = StackFolder.at(account.data_dir) if account.data_dir is not None else found_stack(settings)
    description = folder.read_description() if folder is not None else None
    if description is None:
        raise UsageError("PLAYBOOK_API_URL is not set, and no stack is running (--data-dir)")
    return str(description["api_url"])


def _token(account: Account, settings: Settings) -> str:
    if settings.token is not None and account.data_dir is None:
        return settings.token.get_secret_value()
    if settings.jwt_secret is None or not settings.admin_database_url:
        raise UsageError("PLAYBOOK_TOKEN is not set (`playbook token` makes one), and no stack was found (--data-dir)")
    # Imported here: sqlalchemy loads slowly, and a caller with a token does not need it.
    from storage.identity.organizations import find_organization

    row = asyncio.run(find_organization(settings.admin_database_url, account.organization))
    if row is None:
        raise NotFoundError(f"there is no organization with the code '{account.organization}'")
    user = account.user or getpass.getuser()
    return issue_token(settings.jwt_secret.get_secret_value(), organization_id=row.id, subject=user, roles=())
