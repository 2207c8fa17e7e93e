"""Settings of a process: `PLAYBOOK_*`, read once from the environment (or a file of such lines).

There is no global instance: the process's entry point reads the settings and passes them on. Secrets are `SecretStr`,
so a printed or logged instance shows none.
"""

from __future__ import annotations

import re
from functools import cached_property
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Annotated, Literal, TypeAlias
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from runtime.keys import KeyRing

MESSAGE_LABEL = "playbooks-message"
Network: TypeAlias = IPv4Network | IPv6Network


class MissingSettingError(ValueError):
    """A setting that this command needs is not set. Its text names the environment variable."""


class Settings(BaseSettings):
    """One process's settings. Optional ones are `None`; `needed` turns an absent one into a clear refusal."""

    # Only a caller names a file: a stray .env must not configure a server.
    # An empty variable is an unset one: container files leave a setting out this way.
    model_config = SettingsConfigDict(
        env_prefix="PLAYBOOK_", env_file=None, env_ignore_empty=True, extra="ignore", frozen=True
    )

    database_url: str | None = Field(default=None, repr=False)
    admin_database_url: str | None = Field(default=None, repr=False)
    temporal_address: str = "127.0.0.1:7233"
    temporal_namespace: str = "default"
    temporal_ui_url: str | None = None
    task_queue: str = "playbooks"
    jwt_secret: SecretStr | None = None
    jwks_url: str | None = None
    encryption_keys: SecretStr = SecretStr("")
    codec_token: SecretStr | None = None
    trust_temporal: bool = False
    egress_allow: Annotated[tuple[Network, ...], NoDecode] = Field(default=())
    data_dir: Path = Path(".data")
    api_url: str | None = None
    token: SecretStr | None = None
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"

    @field_validator("egress_allow", mode="before")
    @classmethod
    def _split_networks(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        return tuple(ip_network(part.strip(), strict=False) for part in value.split(",") if part.strip())

    @field_validator("temporal_ui_url", mode="after")
    @classmethod
    def _is_origin(cls, value: str | None) -> str | None:
        if value is not None:
            parts = urlsplit(value)  # reading `port` raises ValueError where it is no number
            if parts.scheme not in ("http", "https") or not parts.hostname or parts.port == 0:
                raise ValueError("has to be an http or https address")
        return value

    @field_validator("log_level", mode="before")
    @classmethod
    def _upper_case(cls, value: object) -> object:
        return value.upper() if isinstance(value, str) else value

    @field_validator("database_url", "admin_database_url", mode="after")
    @classmethod
    def _with_driver(cls, value: str | None) -> str | None:
        return None if value is None else normalise_database_url(value)

    @cached_property
    def key_ring(self) -> KeyRing:
        """Return the encryption keys. Raises MissingSettingError without any, KeyRingError for malformed ones."""
        text = self.encryption_keys.get_secret_value()
        if not text:
            raise MissingSettingError("PLAYBOOK_ENCRYPTION_KEYS is not set")
        return KeyRing.parse(text)

    @property
    def signing_key(self) -> bytes:
        """The 32-byte HMAC key of control messages and tickets, derived from the first encryption key."""
        return self.key_ring.derive(MESSAGE_LABEL)

    @property
    def signing_keys(self) -> tuple[bytes, ...]:
        """`signing_key` first, then those of the older keys: what was signed before a change still verifies."""
        ring = self.key_ring
        return tuple(ring.derive(MESSAGE_LABEL, key_id=key_id) for key_id in ring.keys)

    def needed(self, name: Literal["database_url", "admin_database_url"]) -> str:
        """Return the named setting. Raises MissingSettingError when it is not set."""
        value: str | None = getattr(self, name)
        if not value:
            raise MissingSettingError(f"PLAYBOOK_{name.upper()} is not set")
        return value


def normalise_database_url(url: str) -> str:
    """Return the URL of the same database for SQLAlchemy's asyncpg dialect: `postgresql+asyncpg://...`."""
    return re.sub(r"^postgres(ql)?(\+[a-z0-9]+)?://", "postgresql+asyncpg://", url)


def plain_database_url(url: str) -> str:
    """Return the URL of the same database for libpq and its clients: `postgresql://...`."""
    return re.sub(r"^postgres(ql)?(\+[a-z0-9]+)?://", "postgresql://", url)
