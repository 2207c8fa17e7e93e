"""The Temporal Web UI as an operator sees it: steps by name, progress, readable inputs through the codec."""

from __future__ import annotations

import json
import shutil
from collections.abc import Generator
from urllib.parse import quote

import pytest
from playwright.sync_api import Page, expect, sync_playwright

from cli.servers.ports import any_free_port
from tests.support.grants import Grants
from tests.support.servers import scratch_folder
from tests.support.stack import Stack, running_stack

pytestmark = pytest.mark.browser

# Without a screen and without a network of its own: what Chromium does in the background would only fail.
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="module")
def stack_with_ui() -> Generator[Stack]:
    with scratch_folder() as folder, running_stack(folder, ui_port=any_free_port()) as stack:
        yield stack


@pytest.fixture(scope="module")
def run_page(stack_with_ui: Stack) -> str:
    """Address of a run that waits for its committee."""
    grants = Grants(stack_with_ui)
    run = grants.start()
    grants.register(run)
    grants.member("vera").task(run, "Committee Review")
    workflow = f"playbook-run/{stack_with_ui.organization_id}/{run}"
    shown = json.loads(stack_with_ui.temporal_cli("workflow", "describe", "-w", workflow, "--output", "json"))
    run_id = shown["workflowExecutionInfo"]["execution"]["runId"]
    namespace = f"http://127.0.0.1:{stack_with_ui.ui_port}/namespaces/default"
    return f"{namespace}/workflows/{quote(workflow, safe='')}/{run_id}"


@pytest.fixture(scope="module")
def page(run_page: str) -> Generator[Page]:
    """A browser's page. Asks for the run first, because Playwright keeps an event loop running from here on."""
    program = shutil.which("chromium")
    assert program is not None, "Chromium is missing: run `make test-browser`"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=FLAGS)
        yield browser.new_page(viewport={"width": 1500, "height": 1400})
        browser.close()


def test_steps_show_under_their_names_when_an_operator_opens_the_timeline(page: Page, run_page: str) -> None:
    page.goto(f"{run_page}/timeline")
    for text in ("Register Application", "Score Proposal", "Committee Review", "the run's deadline"):
        expect(page.get_by_text(text).first).to_be_visible(timeout=30_000)


def test_inputs_are_readable_when_the_ui_asks_the_codec(page: Page, run_page: str) -> None:
    page.goto(f"{run_page}/history")
    expect(page.get_by_text('"code": "grants-intake"').first).to_be_attached(timeout=30_000)
    expect(page.get_by_text("check: decide").first).to_be_attached(timeout=30_000)


def test_progress_shows_when_an_operator_opens_the_metadata(page: Page, run_page: str) -> None:
    page.goto(f"{run_page}/user-metadata")
    details = page.locator("iframe").last.content_frame  # the UI shows what a workflow says in a frame of its own
    expect(details.get_by_text("4. Committee Review: waiting").first).to_be_visible(timeout=30_000)
    expect(details.get_by_text("2. Eligibility Screen: completed").first).to_be_visible(timeout=30_000)


def test_search_attributes_show_when_an_operator_opens_them(page: Page, run_page: str) -> None:
    page.goto(f"{run_page}/search-attributes")
    expect(page.get_by_text("grants-intake").first).to_be_visible(timeout=30_000)
    expect(page.get_by_text("committee_review").first).to_be_visible(timeout=30_000)
