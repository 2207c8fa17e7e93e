"""The house itself: walls, sizes, purity, what a clone must not contain, and what the containers run."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parent.parent
ROOMS = ("playbooks", "runtime", "storage", "workflows", "activities", "recovery", "publication", "api", "cli")


def _modules(*folders: str) -> list[Path]:
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


def _texts() -> Iterator[Path]:
    """Everything that a clone contains and people read."""
    for name in (*ROOMS, "tests", "docs", "deploy", "benchmarks", ".ci", ".github"):
        for path in (ROOT / name).rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts and path.suffix not in {".png", ".woff2", ".gz"}:
                yield path
    for path in ROOT.iterdir():
        if path.is_file() and path.name not in {".coverage", ".git"}:
            yield path


def _imports(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


def test_keeps_the_walls_when_imports_are_linted() -> None:
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]
    finished = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stdout


def test_stays_short_when_files_are_counted() -> None:
    long = {
        path.name: lines for path in _modules(*ROOMS, "tests") if (lines := len(path.read_text().splitlines())) > 400
    }
    assert not long


def test_says_what_it_owns_when_a_module_has_code() -> None:
    silent = [
        str(path.relative_to(ROOT))
        for path in _modules(*ROOMS)
        if (tree := ast.parse(path.read_text())).body and ast.get_docstring(tree) is None
    ]
    assert not silent


@pytest.mark.parametrize(
    ("library", "owners"),
    [
        ("cel_expr_python", {"expressions/cel.py"}),
        ("jsonschema", {"contracts/validation.py", "contracts/metaschema.py"}),
        ("re2", {"contracts/validation.py"}),
    ],
)
def test_has_named_users_alone_when_a_library_is_young_or_dangerous(library: str, owners: set[str]) -> None:
    users = {
        str(path.relative_to(ROOT)) for path in _modules(*ROOMS) if library in {n.split(".")[0] for n in _imports(path)}
    }
    assert users <= {f"playbooks/{owner}" for owner in owners}


_IMPURE_MODULES = {"os", "random", "secrets", "time", "socket", "subprocess", "threading", "pathlib"}
_IMPURE_CALLS = {
    "asyncio.wait",
    "asyncio.gather",
    "asyncio.as_completed",
    "datetime.now",
    "datetime.utcnow",
    "date.today",
    "uuid.uuid4",
    "uuid4",
    "uuid1",
    "open",
}


def test_has_no_clock_or_randomness_when_code_is_replayed() -> None:
    found: list[str] = []
    for path in _modules("playbooks", "workflows"):
        where = path.relative_to(ROOT)
        found += [f"{where}: import {name}" for name in _imports(path) if name.split(".")[0] in _IMPURE_MODULES]
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in _IMPURE_CALLS:
                found.append(f"{where}:{node.lineno}: {ast.unparse(node.func)}")
            if isinstance(node, ast.For | ast.comprehension) and isinstance(node.iter, ast.Set | ast.SetComp):
                found.append(f"{where}: iterates a set")
    assert not found


_SECRETS = [r"BEGIN [A-Z ]*PRIV" + r"ATE KEY", r"pypi\." + r"org|pytho" + r"nhosted"]
"""Written in pieces, so that this file does not find itself. Which index packages come from is the reader's choice."""


@pytest.mark.parametrize("pattern", _SECRETS)
def test_names_no_secret_or_package_index_when_a_clone_is_read(pattern: str) -> None:
    found = [
        str(path.relative_to(ROOT))
        for path in _texts()
        if re.search(pattern, path.read_text(errors="replace"), re.IGNORECASE)
    ]
    assert not found


# -- what gets installed ---------------------------------------------------------------------------------------------


def _locked(name: str) -> dict[str, tuple[str, int]]:
    """Package -> (version, number of hashes)."""
    packages: dict[str, tuple[str, int]] = {}
    current = ""
    for line in (ROOT / name).read_text().splitlines():
        if match := re.match(r"^([a-z0-9][a-z0-9._-]*)==(\S+)", line):
            current = match[1]
            packages[current] = (match[2], 0)
        elif "--hash=sha256:" in line:
            version, hashes = packages[current]
            packages[current] = (version, hashes + 1)
    return packages


def _required() -> tuple[set[str], set[str]]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    needed = _names(project["project"]["dependencies"])
    development = _names(
        project["dependency-groups"]["dev"] + project["project"]["optional-dependencies"]["dev-servers"]
    )
    return needed, development


def _names(requirements: list[str]) -> set[str]:
    return {re.split(r"[\[<>=~! ;]", text)[0].lower() for text in requirements}


def test_pins_every_package_with_hashes_when_installed() -> None:
    needed, development = _required()
    full, runtime = _locked("requirements.lock"), _locked("requirements.runtime.lock")
    assert needed | development <= set(full)
    assert needed <= set(runtime)
    assert all(hashes > 0 for _, hashes in (*full.values(), *runtime.values()))
    assert {name: version for name, (version, _) in runtime.items()}.items() <= {
        name: version for name, (version, _) in full.items()
    }.items()


def test_names_no_package_index_when_locked() -> None:
    for name in ("requirements.lock", "requirements.runtime.lock", "pyproject.toml"):
        text = (ROOT / name).read_text()
        assert "--index-url" not in text
        assert "--find-links" not in text


# -- containers ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    return yaml.safe_load((ROOT / "docker-compose.yml").read_text())


def test_starts_in_order_when_composed(compose: dict[str, Any]) -> None:
    services = compose["services"]
    assert set(services) == {"postgres", "temporal", "temporal-ui", "migrate", "api", "worker"}
    for service in services.values():
        for name, condition in service.get("depends_on", {}).items():
            assert name in services
            if condition["condition"] == "service_healthy":
                assert "healthcheck" in services[name]
    assert services["api"]["depends_on"]["migrate"] == {"condition": "service_completed_successfully"}
    assert services["worker"]["depends_on"]["migrate"] == {"condition": "service_completed_successfully"}


def test_can_be_scaled_when_composed(compose: dict[str, Any]) -> None:
    for name in ("api", "worker"):
        assert "container_name" not in compose["services"][name]
    assert compose["services"]["api"]["ports"] == ["127.0.0.1:8000-8009:8000"]


def test_sets_only_known_settings_when_composed(compose: dict[str, Any]) -> None:
    from runtime.settings import Settings

    known = {f"PLAYBOOK_{name.upper()}" for name in Settings.model_fields}
    for name in ("migrate", "api", "worker"):
        assert set(compose["services"][name]["environment"]) <= known
    api, worker = (compose["services"][name]["environment"] for name in ("api", "worker"))
    assert "PLAYBOOK_ADMIN_DATABASE_URL" not in api.keys() | worker.keys()
    assert api["PLAYBOOK_ENCRYPTION_KEYS"] == worker["PLAYBOOK_ENCRYPTION_KEYS"]


def test_holds_no_secret_when_composed() -> None:
    text = (ROOT / "docker-compose.yml").read_text()
    for name in re.findall(r"^ +([A-Z_]*(?:PASSWORD|PWD|SECRET|KEYS|TOKEN)): *(.+)", text, re.MULTILINE):
        assert name[1].startswith("${") or name[1] in {'"true"', '"false"'}, name
    example = (ROOT / "deploy" / "env.example").read_text()
    wanted = set(re.findall(r"\$\{([A-Z_]+):\?", text))
    assert wanted <= set(re.findall(r"^([A-Z_]+)=$", example, re.MULTILINE))


def test_runs_real_commands_when_composed(compose: dict[str, Any]) -> None:
    from cli.main import app

    for name in ("migrate", "api", "worker"):
        service = compose["services"][name]
        command = [*service.get("entrypoint", []), *service["command"]]
        assert command[0] == "playbook"
        app.parse_args(command[1:], exit_on_error=False, print_error=False)


def test_copies_every_room_when_the_image_is_built() -> None:
    text = (ROOT / "Dockerfile").read_text()
    ignore = (ROOT / ".dockerignore").read_text().split()
    for room in (*ROOMS, "examples"):
        assert f"COPY {room} {room}" in text
        assert f"!{room}" in ignore
    assert re.search(r"^USER (?!0|root)", text, re.MULTILINE)
    assert "--require-hashes" in text


def test_rules_are_where_the_page_of_the_architecture_says() -> None:
    rows = re.findall(
        r"^\| .+ \| `([\w/]+\.py)` \| `(\w+)` \|$", (ROOT / "docs" / "architecture.md").read_text(), re.MULTILINE
    )
    assert len(rows) >= 30
    assert not [(path, name) for path, name in rows if name not in _names_defined_in(ROOT / path)]


def _names_defined_in(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.parse(path.read_text()).body:
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                found.add(name)
            case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
                found.add(name)
            case _:
                pass
    return found
