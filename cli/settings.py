"""Reads a command's settings: the environment, or a stack's `dev.env`."""

from __future__ import annotations

from pathlib import Path

from dotenv import dotenv_values

from cli.dev.folder import StackFolder, last_stack
from runtime.settings import MissingSettingError, Settings


def process_settings(data_dir: Path | None) -> Settings:
    """Return the settings of a server process: from the environment alone, or from the named stack alone."""
    return Settings() if data_dir is None else _of_stack(data_dir)


def client_settings(data_dir: Path | None) -> Settings:
    """Return the settings of a person's command.

    From the named stack; else from the environment, completed by the stack that `found_stack` returns.
    """
    if data_dir is not None:
        return _of_stack(data_dir)
    settings = Settings()
    if settings.admin_database_url and settings.jwt_secret:
        return settings
    folder = found_stack(settings)
    return settings if folder is None else Settings(_env_file=folder.env_file)  # pyright: ignore[reportCallIssue] -- pydantic-settings' own argument


def found_stack(settings: Settings) -> StackFolder | None:
    """Return the stack of `PLAYBOOK_DATA_DIR` or `.data` if it runs, else the one started last if that one runs.

    Else the first of them, stopped: a stopped stack does not hide a running one.
    """
    here = StackFolder.at(settings.data_dir)
    if not here.env_file.exists():
        return last_stack()
    return here if here.is_locked() else last_stack() or here


def _of_stack(data_dir: Path) -> Settings:
    folder = StackFolder.at(data_dir)
    if not folder.env_file.exists():
        raise MissingSettingError(f"no stack was ever started on {folder.root}")
    values = {name.removeprefix("PLAYBOOK_").lower(): text for name, text in dotenv_values(folder.env_file).items()}
    return Settings.model_validate({name: text for name, text in values.items() if text is not None})
