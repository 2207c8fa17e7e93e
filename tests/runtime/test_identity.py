from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx2
import pytest
from joserfc import jwt
from joserfc.jwk import OctKey, RSAKey

from playbooks.common.errors import NotEligibleError, ServiceUnavailableError, UnauthorizedError
from playbooks.common.permissions import PERMISSIONS
from playbooks.common.values import Actor
from playbooks.engine.model.control_messages import Claim, ControlMessage, Decide
from runtime import signed_messages, tokens
from runtime.settings import MissingSettingError, Settings
from tests.support.servers import JWT_SECRET

KEY, OTHER_KEY = b"k" * 32, b"o" * 32
MESSAGE = ControlMessage(action=Decide(step="h", decision="approve", data={"score": 88.5}), actor={"id": str(uuid4())})
ANNA = Actor(id=uuid4(), name="Anna", roles=("committee_member",))
ORGANIZATION = uuid4()


def test_accepts_a_message_when_the_api_signed_it_for_this_run() -> None:
    signed = signed_messages.sign(MESSAGE, KEY, "run/1")
    assert signed_messages.verify(signed, KEY, "run/1")
    assert signed_messages.verify(signed, (OTHER_KEY, KEY), "run/1")


@pytest.mark.parametrize(
    "change",
    [
        lambda m: replace(m, action=Decide(step="h", decision="reject", data={"score": 88.5})),
        lambda m: replace(m, actor={"id": str(uuid4())}),
        lambda m: replace(m, action=Claim(step="h")),
        lambda m: replace(m, signature=None),
        lambda m: replace(m, signature="ü"),
        lambda m: replace(m, signature=""),
    ],
)
def test_refuses_a_message_when_anything_was_changed(change: Callable[[ControlMessage], ControlMessage]) -> None:
    assert not signed_messages.verify(change(signed_messages.sign(MESSAGE, KEY, "run/1")), KEY, "run/1")


def test_refuses_a_message_when_it_was_signed_for_another_run_or_key() -> None:
    signed = signed_messages.sign(MESSAGE, KEY, "run/1")
    assert not signed_messages.verify(signed, KEY, "run/2")
    assert not signed_messages.verify(signed, OTHER_KEY, "run/1")


def _ticket(lifetime: timedelta = signed_messages.TICKET_LIFETIME) -> str:
    task, run = uuid4(), uuid4()
    return signed_messages.issue_ticket(
        KEY, task_id=task, execution_id=run, organization_id=ORGANIZATION, actor=ANNA, lifetime=lifetime
    )


def test_names_the_person_when_a_ticket_is_valid() -> None:
    claims = signed_messages.read_ticket(_ticket(), (OTHER_KEY, KEY))
    assert (UUID(claims.subject), claims.name, claims.roles) == (ANNA.id, "Anna", ("committee_member",))
    assert claims.organization_id == ORGANIZATION


@pytest.mark.parametrize("text", ["", "x", "a.b.c", _ticket()[:-2], _ticket(timedelta(seconds=-1))])
def test_refuses_a_ticket_when_it_is_malformed_changed_or_expired(text: str) -> None:
    with pytest.raises(NotEligibleError):
        signed_messages.read_ticket(text, KEY)


def test_refuses_a_bearer_token_when_used_as_a_ticket() -> None:
    token = tokens.issue_token(KEY.decode(), organization_id=ORGANIZATION, subject="anna", roles=())
    with pytest.raises(NotEligibleError):
        signed_messages.read_ticket(token, KEY)


def _settings(**values: Any) -> Settings:
    return Settings.model_validate(values)


def _token(**changes: Any) -> str:
    claims = {"sub": "anna", "organization_id": str(ORGANIZATION), "roles": ["a"], "exp": 4_000_000_000} | changes
    return jwt.encode(
        {"alg": "HS256"}, {k: v for k, v in claims.items() if v is not None}, OctKey.import_key(JWT_SECRET)
    )


async def test_reads_all_claims_when_the_token_is_valid() -> None:
    verifier = tokens.TokenVerifier(_settings(jwt_secret=JWT_SECRET))
    token = tokens.issue_token(JWT_SECRET, organization_id=ORGANIZATION, subject="anna", roles=["a", "b"])
    claims = await verifier.verify(token)
    assert (claims.sub, claims.organization_id, claims.roles) == ("anna", ORGANIZATION, ("a", "b"))
    assert claims.permissions == frozenset(PERMISSIONS) - {"playbooks:admin"}
    assert claims.display_name == "anna"


@pytest.mark.parametrize(
    "token",
    [
        "",
        "x",
        "ü.ü.ü",
        "a" * 20_000,
        _token()[:-3],
        _token(exp=1),
        _token(exp=None),
        _token(exp="soon"),
        _token(sub=None),
        _token(sub=""),
        _token(sub="a\x00b"),
        _token(sub=7),
        _token(organization_id="x"),
        _token(roles="admin"),
        _token(roles=[1]),
        _token(permissions={"a": 1}),
        jwt.encode({"alg": "HS256"}, {"sub": "a"}, OctKey.import_key("another-secret-that-is-long-enough-to-use")),
        "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhIn0.",
    ],
)
async def test_refuses_a_token_when_anything_is_wrong_with_it(token: str) -> None:
    with pytest.raises(UnauthorizedError):
        await tokens.TokenVerifier(_settings(jwt_secret=JWT_SECRET)).verify(token)


def test_refuses_to_verify_when_no_key_is_configured() -> None:
    with pytest.raises(MissingSettingError):
        tokens.TokenVerifier(_settings())


class _Issuer:
    """An issuer whose published keys can change and which can be away."""

    def __init__(self) -> None:
        self.key = RSAKey.generate_key(2048, {"kid": "one"})
        self.is_away = False
        self.calls = 0

    async def fetch(self, _url: str) -> dict[str, Any]:
        self.calls += 1
        if self.is_away:
            raise httpx2.ConnectError("away")
        return {"keys": [self.key.as_dict(private=False)]}

    def token(self) -> str:
        claims = {"sub": "anna", "organization_id": str(ORGANIZATION), "exp": 4_000_000_000}
        return jwt.encode({"alg": "RS256", "kid": self.key.kid}, claims, self.key)


async def test_fetches_published_keys_once_when_many_tokens_come() -> None:
    issuer = _Issuer()
    verifier = tokens.TokenVerifier(_settings(jwks_url="https://issuer.example/jwks"), issuer.fetch)
    for _ in range(3):
        assert (await verifier.verify(issuer.token())).sub == "anna"
    assert issuer.calls == 1


async def test_fetches_again_when_a_token_names_an_unknown_key(monkeypatch: pytest.MonkeyPatch) -> None:
    issuer = _Issuer()
    verifier = tokens.TokenVerifier(_settings(jwks_url="https://issuer.example/jwks"), issuer.fetch)
    await verifier.verify(issuer.token())
    issuer.key = RSAKey.generate_key(2048, {"kid": "two"})
    with pytest.raises(UnauthorizedError):  # too soon after the last fetch: no client can make us fetch in a loop
        await verifier.verify(issuer.token())
    monkeypatch.setattr(tokens.PublishedKeys, "REFETCH_SECONDS", 0.0)
    assert (await verifier.verify(issuer.token())).sub == "anna"


async def test_keeps_known_keys_when_the_issuer_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens.PublishedKeys, "REFETCH_SECONDS", 0.0)
    monkeypatch.setattr(tokens.PublishedKeys, "FRESH_SECONDS", 0.0)
    issuer = _Issuer()
    issuer.is_away = True
    verifier = tokens.TokenVerifier(_settings(jwks_url="https://issuer.example/jwks"), issuer.fetch)
    with pytest.raises(ServiceUnavailableError):
        await verifier.verify(issuer.token())
    issuer.is_away = False
    await verifier.verify(issuer.token())
    issuer.is_away = True
    assert (await verifier.verify(issuer.token())).sub == "anna"


async def test_refuses_a_shared_secret_token_when_only_public_keys_are_configured() -> None:
    issuer = _Issuer()
    verifier = tokens.TokenVerifier(_settings(jwks_url="https://issuer.example/jwks"), issuer.fetch)
    with pytest.raises(UnauthorizedError):
        await verifier.verify(_token())
