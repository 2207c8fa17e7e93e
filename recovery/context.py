"""Connections and keys that the recovering work of one process shares."""

from __future__ import annotations

from dataclasses import dataclass

from temporalio.client import Client

from runtime.settings import Settings
from storage.database.sealing import Sealer
from storage.database.sessions import Database


@dataclass(frozen=True, slots=True, kw_only=True)
class RecoveryContext:
    """Whoever makes the process opens and closes them."""

    database: Database
    client: Client
    settings: Settings
    sealer: Sealer
