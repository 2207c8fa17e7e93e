"""The example processes on the real stack: people decide through REST, systems answer over HTTP, signals come in."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

import pytest

from tests.support.outside import HANGS, Outside, outside
from tests.support.stack import Client, Stack, example
from tests.support.waiting import wait_until

SECRETS = {
    "loan-approval": ("84-120933-K", "mira.lindqvist@example.com", "DE02120300000000202051"),
    "patient-onboarding": ("Jonas Okafor", "K482913075", "okafor-79", "Knee pain"),
    "building-permit": ("Tomasz Zielinski", "aylin@example.com", "ruth.alvarez@example.com"),
    "bill-approval": ("AT611904300234573201",),
}


@pytest.fixture(scope="module")
def author(stack: Stack) -> Client:
    return stack.client("paula", "playbook_author")


def begin(author: Client, name: str, systems: Outside, *addresses: str, **changes: Any) -> str:
    """A run of the example, published the first time it is asked for."""
    found = author.get("/playbooks", params={"code": name, "status": "active"}).json()["data"]
    playbook = found[0]["playbook_id"] if found else author.publish(example(f"{name}.playbook.json"))
    value = {**example(f"{name}.input.json"), **changes}
    options = {"context_variables": systems.variables(*addresses)}
    return author.execute(playbook, value, execution_options=options)


def decide(stack: Stack, run: str, step: str, by: str, role: str, decision: str = "approve", **data: Any) -> None:
    person = stack.client(by, role)
    answer = person.decide(person.task(run, step), decision, data=data, comment="looked at it")
    assert answer.status_code in (200, 202), answer.text


def send(author: Client, run: str, name: str, payload: Any = None) -> dict[str, Any]:
    answer = author.post(f"/playbooks/runs/{run}/signals", {"name": name, "payload": payload})
    assert answer.status_code == 200, answer.text
    return answer.json()["data"]


def step(run: Any, key: str) -> Any:
    """The last visit of a step."""
    return [each for each in run["steps"] if each["step_key"] == key][-1]


def wait_for(author: Client, run: str, key: str, status: str = "waiting") -> None:
    def has_come() -> bool:
        return any(each["step_key"] == key and each["status"] == status for each in author.run(run, "steps")["steps"])

    wait_until(has_come, 60, f"step {key} of run {run} to be {status}")


def check_rows(stack: Stack, name: str, run: str, status: str) -> list[dict[str, Any]]:
    """The run's row, its gapless and linked events, and no secret in either; the lines of its steps."""
    row = stack.rows("select * from universal_transactions where id = $1", UUID(run))[0]
    assert row["transaction_status"] == status
    lines = stack.rows(
        "select * from universal_transaction_lines where transaction_id = $1 order by line_number", UUID(run)
    )
    events = [line["line_data"] for line in lines if line["line_type"] == "run_event"]
    numbers = [line["line_number"] for line in lines if line["line_type"] == "run_event"]
    assert numbers == list(range(1_000_001, 1_000_001 + len(events)))
    assert [event["previous_hash"] for event in events][1:] == [event["hash"] for event in events][:-1]
    executions = [line for line in lines if line["line_type"] == "step_execution"]
    assert row["total_amount"] == sum(line["line_amount"] or 0 for line in executions)
    dumped = json.dumps([row, *lines], default=str)
    assert not [secret for secret in SECRETS[name] if secret in dumped]
    return executions


@pytest.mark.soak
def test_a_loan_is_paid_out_when_everybody_approves(stack: Stack, author: Client) -> None:
    answers: dict[str, list[Any]] = {
        "POST /alpha/reports": [{"score": 735, "delinquencies": 0}],
        "POST /beta/reports": [503, {"score": 712, "delinquencies": 0}],
        "POST /gamma/reports": [HANGS],
        "POST /reservations": [{"id": "R-0001"}],
        "POST /loan-accounts": [422, {"id": "LA-000001"}],
        "POST /payments": [{"reference": "PAY-000001"}],
    }
    with outside(answers) as systems:
        run = begin(author, "loan-approval", systems, "bureaus_url", "core_banking_url")
        decide(stack, run, "Collect Documents", "lena", "loan_officer", payslips=2, identity_checked=True)
        decide(stack, run, "Underwriter Decision", "umar", "underwriter", "request_changes")
        decide(stack, run, "Collect Documents", "lena", "loan_officer", payslips=3, identity_checked=True)
        decide(stack, run, "Underwriter Decision", "umar", "underwriter", approved_amount=18000, annual_rate=6.4)
        wait_for(author, run, "await_acceptance")
        assert send(author, run, "offer_accepted", {"channel": "portal"})["delivered_to"] == ["await_acceptance"]
        wait_for(author, run, "open_loan_account")
        retry = {"action": "retry_step", "step": "open_loan_account", "reason": "the account number was free again"}
        refused = author.put(f"/playbooks/runs/{run}", retry)
        assert (refused.status_code, refused.json()["code"]) == (403, "NOT_ELIGIBLE")
        accepted = stack.client("bo", "back_office").put(f"/playbooks/runs/{run}", retry)
        assert accepted.status_code in (200, 202), accepted.text
        finished = author.finished(run)
    assert finished["status"] == "completed", finished["error_details"]
    assert finished["output_data"]["outcome"] == "paid_out"
    assert step(finished, "bureau_gamma")["status"] == "cancelled"
    assert step(finished, "bureau_beta")["retry_count"] == 1
    lines = check_rows(stack, "loan-approval", run, "completed")
    visits = [line["line_data"]["visit"] for line in lines if line["line_data"]["key"] == "collect_documents"]
    assert visits == [1, 2]
    kinds = [event["kind"] for event in finished["timeline"]]
    for kind in ("went_back", "step_cancelled", "signal_delivered", "incident_opened", "retry_step"):
        assert kinds.count(kind) == 1, kind
    payment = next(call for call in systems.calls if call.path == "/payments")
    assert payment.body["iban"] == "DE02120300000000202051"
    assert payment.key


@pytest.mark.soak
def test_bookings_are_undone_when_the_payment_is_refused(stack: Stack, author: Client) -> None:
    answers: dict[str, list[Any]] = {
        "POST /alpha/reports": [{"score": 735, "delinquencies": 0}],
        "POST /gamma/reports": [{"score": 701, "delinquencies": 0}],
        "POST /reservations": [{"id": "R-0001"}],
        "POST /loan-accounts": [{"id": "LA-000001"}],
        "POST /payments": [403],
        "DELETE /reservations/R-0001": [{}],
        "DELETE /loan-accounts/LA-000001": [{}],
    }
    with outside(answers) as systems:
        run = begin(author, "loan-approval", systems, "bureaus_url", "core_banking_url")
        assert send(author, run, "offer_accepted")["kept"] is True
        decide(stack, run, "Collect Documents", "lena", "loan_officer", payslips=3, identity_checked=True)
        decide(stack, run, "Underwriter Decision", "umar", "underwriter", approved_amount=9000, annual_rate=7.1)
        finished = author.finished(run)
    assert (finished["status"], finished["error_details"]["kind"]) == ("failed", "permission")
    booked = [path for path in systems.called("POST") if path in ("/reservations", "/loan-accounts")]
    undone = [path.rpartition("/")[0] for path in systems.called("DELETE")]
    assert undone == booked[::-1]
    check_rows(stack, "loan-approval", run, "failed")


@pytest.mark.soak
def test_a_patient_is_onboarded_when_consent_is_given(stack: Stack, author: Client) -> None:
    day = "2027-04-01T09:00:00Z"
    answers: dict[str, list[Any]] = {
        "POST /patients": [{"id": "P-000001"}],
        "POST /eligibility": [{"id": "E-0001"}],
        "GET /eligibility/E-0001": [{"status": "pending"}, {"status": "active", "copay": 10.0}],
        **{f"POST /documents/D-000{number}/text": [{"text": f"page {number}"}] for number in (1, 2, 4)},
        "POST /documents/D-0003/text": [422],
        "GET /north/slots": [HANGS],
        "GET /south/slots": [{"starts_at": day}],
        "POST /south/appointments": [{"id": "A-00001"}],
    }
    with outside(answers) as systems:
        addresses = ("ehr_url", "payer_url", "reader_url", "scheduling_url")
        run = begin(author, "patient-onboarding", systems, *addresses)
        send(author, run, "consent_signed", {"document": "consent-7.pdf"})
        decide(stack, run, "Triage", "nora", "triage_nurse", urgency="soon", specialty="orthopaedics")
        nora = stack.client("nora", "physician")
        mine = nora.decide(nora.task(run, "Physician Review"), data={})
        assert (mine.status_code, mine.json()["code"]) == (403, "SELF_APPROVAL")
        decide(stack, run, "Physician Review", "paul", "physician")
        finished = author.finished(run)
    assert finished["status"] == "completed", finished["error_details"]
    assert finished["output_data"] == {
        "patient_id": "P-000001",
        "outcome": "onboarded",
        "covered": True,
        "unread_documents": 1,
        "appointment": {"appointment_id": "A-00001", "site": "south", "starts_at": day},
    }
    assert step(finished, "slot_north")["status"] == "cancelled"
    lines = check_rows(stack, "patient-onboarding", run, "completed")
    items = [line["line_data"] for line in lines if line["line_data"]["key"].startswith("read_documents[")]
    assert sorted(item["status"] for item in items) == ["completed", "completed", "completed", "failed"]
    assert all(line["line_number"] > 100_000 for line in lines if line["line_data"]["key"].endswith("]"))
    assert [path for path in systems.called("GET") if "eligibility" in path] == ["/eligibility/E-0001"] * 2


@pytest.mark.soak
def test_the_record_is_removed_when_the_onboarding_is_cancelled(stack: Stack, author: Client) -> None:
    answers: dict[str, list[Any]] = {
        "POST /patients": [{"id": "P-000002"}],
        "POST /eligibility": [404],
        **{f"POST /documents/D-000{number}/text": [{"text": "page"}] for number in (1, 2, 3, 4)},
        "DELETE /patients/P-000002": [503, {}],
    }
    with outside(answers) as systems:
        addresses = ("ehr_url", "payer_url", "reader_url", "scheduling_url")
        run = begin(author, "patient-onboarding", systems, *addresses)
        counsellor = stack.client("bill", "billing_counsellor")
        counsellor.task(run, "Financial Counselling")
        answer = author.delete(f"/playbooks/runs/{run}", params={"reason": "the patient moved away"})
        assert answer.status_code in (200, 202), answer.text
        finished = author.finished(run)
    assert finished["status"] == "cancelled"
    assert systems.called("DELETE") == ["/patients/P-000002"] * 2
    kinds = [event["kind"] for event in finished["timeline"]]
    assert kinds.index("compensation_started") < kinds.index("run_cancelled")
    check_rows(stack, "patient-onboarding", run, "cancelled")


@pytest.mark.soak
def test_a_permit_is_issued_when_the_fee_is_paid(stack: Stack, author: Client) -> None:
    answers: dict[str, list[Any]] = {
        "POST /invoices": [{"id": "I-000001"}],
        "POST /permits": [{"number": "2026/BP/0042"}],
    }
    plans: dict[str, Any] = {"drawings": 4, "setback_m": 3.5, "height_m": 8.5}
    too_close: dict[str, Any] = {**plans, "setback_m": 1.0}
    with outside(answers) as systems:
        run = begin(author, "building-permit", systems, "finance_url", "register_url")
        decide(stack, run, "Receive Plans", "clara", "permit_clerk", **too_close)
        decide(stack, run, "Receive Plans", "clara", "permit_clerk", **plans)
        for _ in range(3):
            decide(stack, run, "Department Statements", "otto", "department_officer", statement="no_objection")
        decide(stack, run, "Boundary Survey", "sven", "surveyor", measured_setback_m=3.4)
        decide(stack, run, "Site Inspection", "ivan", "building_inspector", is_suitable=True)
        decide(stack, run, "Return Site Key", "ivan", "building_inspector")
        decide(stack, run, "Caseworker Opinion", "wanda", "caseworker", recommendation="grant", conditions=["A gate"])
        for member in ("mara", "milo", "mina"):
            decide(stack, run, "Building Committee", member, "committee_member")
        wait_for(author, run, "await_fee")
        send(author, run, "fee_paid", {"amount": 446.75})
        finished = author.finished(run)
    assert finished["status"] == "completed", finished["error_details"]
    assert finished["output_data"] == {
        "application_id": "BP-2025-00317",
        "outcome": "granted",
        "permit_number": "2026/BP/0042",
        "conditions": ["A gate"],
    }
    lines = check_rows(stack, "building-permit", run, "completed")
    keys = [line["line_data"]["key"] for line in lines]
    assert sum(key.startswith("department_statements[") for key in keys) == 3
    assert sum(key.startswith("notify_neighbours[") for key in keys) == 3
    assert keys.count("plan_check") == 2


@pytest.mark.soak
def test_a_bill_is_paid_when_the_buyer_explains_a_difference(stack: Stack, author: Client) -> None:
    answers: dict[str, list[Any]] = {"POST /postings": [{"id": "B-000001"}], "POST /payments": [{"reference": "TR-1"}]}
    lines = example("bill-approval.input.json")["lines"]
    wrong = [{**lines[0], "billed_price": 300.0}, *lines]
    with outside(answers) as systems:
        run = begin(author, "bill-approval", systems, "erp_url", lines=wrong)
        decide(stack, run, "Buyer Clarification", "bea", "buyer", explanation="steel got dearer")
        decide(stack, run, "Manager Approval", "marc", "cost_center_manager")
        finished = author.finished(run)
    assert finished["status"] == "completed", finished["error_details"]
    assert finished["output_data"] == {"bill_number": "RE-2025-1187", "outcome": "paid", "posting_id": "B-000001"}
    assert step(finished, "match_lines")["output_data"]["results"][0]["passed"] is False
    check_rows(stack, "bill-approval", run, "completed")
