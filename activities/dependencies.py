"""Connections, keys and caches that the activities of one worker process share."""

from __future__ import annotations

from dataclasses import dataclass, field

from temporalio.client import Client

from activities.http_request import HttpFactory
from activities.list_cache import ListCache
from activities.write_throttle import WriteThrottle
from runtime.settings import Settings
from storage.database.sealing import Sealer
from storage.database.sessions import Database
from storage.playbooks.cache import VersionCache


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
    lists: ListCache = field(default_factory=ListCache)
