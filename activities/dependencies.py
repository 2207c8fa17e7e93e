"""Connections, keys and caches that the activities of one worker process share."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias
from uuid import UUID

from temporalio.client import Client

from activities.http_request import HttpFactory
from activities.write_throttle import WriteThrottle
from playbooks.common.values import Json
from runtime.lru_cache import LruCache
from runtime.settings import Settings
from storage.database.sealing import Sealer
from storage.database.sessions import Database
from storage.playbooks.cache import VersionCache

ListKey: TypeAlias = tuple[UUID, UUID, str]
"""Organization, run and hash, so that no run reads a list of another."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ActivityDependencies:
    """`http` makes the clients of external steps; without it they are made from `settings`, behind the egress guard.

    Whoever makes the process opens and closes the connections.
    """

    database: Database
    settings: Settings
    sealer: Sealer
    versions: VersionCache = field(default_factory=VersionCache)
    client: Client
    http: HttpFactory | None = None
    throttle: WriteThrottle = field(default_factory=WriteThrottle)
    lists: LruCache[ListKey, Json] = field(default_factory=lambda: LruCache[ListKey, Json](8))
    """Stored lists of loops: each is read once, not once per item."""
