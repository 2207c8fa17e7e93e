"""What the activities of one worker process share: connections and keys. Whoever makes the process opens them."""

from __future__ import annotations

from dataclasses import dataclass, field

from temporalio.client import Client

from activities.http_request import HttpFactory
from activities.list_cache import LoadedLists
from activities.write_throttle import Pace
from runtime.settings import Settings
from storage.database.sealing import Sealer
from storage.database.sessions import Database
from storage.playbooks.cache import VersionCache


@dataclass(frozen=True, slots=True, kw_only=True)
class ActivityDependencies:
    """`http` makes the clients of external steps; without it they are made from `settings`, behind the egress guard."""

    database: Database
    settings: Settings
    sealer: Sealer
    versions: VersionCache = field(default_factory=VersionCache)
    client: Client
    http: HttpFactory | None = None
    pace: Pace = field(default_factory=Pace)
    lists: LoadedLists = field(default_factory=LoadedLists)
