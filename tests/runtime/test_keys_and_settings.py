from __future__ import annotations

import base64
from ipaddress import ip_network
from pathlib import Path

import pytest

from runtime.keys import KeyRing, KeyRingError, generate_key
from runtime.settings import MissingSettingError, Settings, normalise_database_url, plain_database_url

A = "a:" + base64.b64encode(b"a" * 32).decode()
B = "b:" + base64.b64encode(b"b" * 32).decode()


def test_opens_old_values_when_a_new_key_is_put_in_front() -> None:
    key_id, sealed = KeyRing.parse(A).seal(b"value", b"owner")
    ring = KeyRing.parse(f"{B}, {A}")
    assert ring.open(key_id, sealed, b"owner") == b"value"
    assert ring.seal(b"value", b"owner")[0] == "b"


@pytest.mark.parametrize(
    ("key_id", "change", "owner"), [("c", b"", b"owner"), ("a", b"x", b"owner"), ("a", b"", b"else")]
)
def test_refuses_to_open_when_key_value_or_owner_differ(key_id: str, change: bytes, owner: bytes) -> None:
    ring = KeyRing.parse(A)
    _, sealed = ring.seal(b"value", b"owner")
    with pytest.raises(KeyRingError):
        ring.open(key_id, sealed + change, owner)


@pytest.mark.parametrize("text", ["", " , ", "a", "a:", "a:!!", "a:QUJD", f"{A},{A}", ":" + A.split(":")[1]])
def test_refuses_a_ring_when_it_is_malformed(text: str) -> None:
    with pytest.raises(KeyRingError):
        KeyRing.parse(text)


def test_reads_a_ring_when_generate_key_wrote_it() -> None:
    assert KeyRing.parse(generate_key("k1")).current_id == "k1"


def test_reads_every_setting_when_given_as_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLAYBOOK_DATABASE_URL", "postgres://u:hush@h/d")
    monkeypatch.setenv("PLAYBOOK_EGRESS_ALLOW", "127.0.0.0/8, ::1")
    monkeypatch.setenv("PLAYBOOK_TRUST_TEMPORAL", "true")
    monkeypatch.setenv("PLAYBOOK_LOG_LEVEL", "debug")
    monkeypatch.setenv("PLAYBOOK_ENCRYPTION_KEYS", A)
    settings = Settings()
    assert settings.database_url == "postgresql+asyncpg://u:hush@h/d"
    assert settings.egress_allow == (ip_network("127.0.0.0/8"), ip_network("::1/128"))
    assert settings.trust_temporal
    assert settings.log_level == "DEBUG"
    assert "hush" not in repr(settings)
    assert A not in repr(settings)


def test_ignores_a_dotenv_file_that_is_not_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".env").write_text("PLAYBOOK_TASK_QUEUE=stray\n")
    monkeypatch.chdir(tmp_path)
    assert Settings().task_queue == "playbooks"


def test_names_the_variable_when_a_needed_setting_is_missing() -> None:
    with pytest.raises(MissingSettingError, match="PLAYBOOK_ADMIN_DATABASE_URL"):
        Settings().needed("admin_database_url")
    with pytest.raises(MissingSettingError, match="PLAYBOOK_ENCRYPTION_KEYS"):
        _ = Settings().signing_key


def test_keeps_the_signing_key_of_older_keys_when_a_key_is_changed() -> None:
    old = Settings.model_validate({"encryption_keys": A})
    new = Settings.model_validate({"encryption_keys": f"{B},{A}"})
    assert new.signing_key != old.signing_key
    assert new.signing_keys == (new.signing_key, old.signing_key)


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+asyncpg", "postgresql+psycopg"])
def test_names_one_database_in_both_forms_when_given_in_any(scheme: str) -> None:
    assert normalise_database_url(f"{scheme}://u@h/d") == "postgresql+asyncpg://u@h/d"
    assert plain_database_url(f"{scheme}://u@h/d") == "postgresql://u@h/d"
