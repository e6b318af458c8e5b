"""The scanner page in Chromium: online, offline, and in between."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any

import pytest

import app
from infra.local.api_gateway import api_gateway
from infra.local.server import serving
from tests.api.browser import Browser, chromium
from tests.check_in.doors import Door
from tests.client import Client, in_days
from tests.rows import rows

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

pytestmark = [pytest.mark.tools, pytest.mark.slow]

CACHED_URLS = """(async () => {
  const caches_ = await Promise.all((await caches.keys()).map((name) => caches.open(name)));
  const requests = await Promise.all(caches_.map((cache) => cache.keys()));
  return requests.flat().map((request) => request.url);
})()"""
ADMITTED, REFUSED = "#result.accepted[open]", "#result.refused[open]"


@dataclass
class Network:
    """The server behind a network that can lose responses."""

    url: str = ""
    is_losing: Event = field(default_factory=Event)
    """Set: requests are served, but their responses to check-ins do not arrive in time."""
    is_found: Event = field(default_factory=Event)

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Any:
        response = api_gateway(app.app)(environ, start_response)
        if self.is_losing.is_set() and environ["PATH_INFO"].endswith("/check-ins"):
            self.is_found.wait(20)
        return response


@dataclass
class Scanner:
    """A phone at the door of an event."""

    door: Door
    browser: Browser
    url: str
    tickets: list[str]

    def open(self) -> None:
        self.browser.open(f"{self.url}/door/{self.door.event_id}")
        self.enter(new_key(self.door))

    def enter(self, key: str) -> None:
        self.browser.fill("#key", key)
        self.browser.click("text=Continue")
        self.browser.wait_for("#door-view")
        self.browser.wait_for(f"#counts:text('of {len(self.tickets)} admitted')")

    def type_code(self, ticket_id: str) -> None:
        self.browser.fill("#search", self.door.code(ticket_id).lower())
        self.browser.click("text=Find")

    def admits(self, ticket_id: str) -> bool:
        self.type_code(ticket_id)
        self.browser.wait_for("#result[open]")
        is_admitted = "Admitted" in self.browser.text("#result")
        self.browser.click("#next")
        return is_admitted

    def go_offline(self) -> None:
        self.browser.set_offline(offline=True)
        self.browser.wait_for("#connection:text('Offline')")

    def go_online(self) -> None:
        self.browser.set_offline(offline=False)
        self.browser.wait_for("#connection:text('Online')")

    def reference(self, ticket_id: str) -> str:
        ticket = self.door.client("GET", f"/tickets/{ticket_id}", by=self.door.host).json
        booking = self.door.client("GET", f"/bookings/{ticket['bookingId']}", by=self.door.host).json
        return str(booking["reference"])

    def check_ins(self, ticket_id: str) -> list[Any]:
        """Return the outcomes that the server has recorded."""
        sql = "SELECT outcome, gate, by_hand FROM check_ins WHERE ticket_id = :id AND undone_at IS NULL"
        return [tuple(row) for row in rows(self.door.client, sql, id=ticket_id)]


def new_key(door: Door) -> str:
    made = door.client("POST", f"/events/{door.event_id}/door-keys", {"name": "Phone"}, by=door.host)
    return str(made.json["key"])


def revoke_keys(door: Door) -> None:
    path = f"/events/{door.event_id}/door-keys"
    for key in door.client("GET", path, by=door.host).json:
        assert door.client("DELETE", f"{path}/{key['doorKeyId']}", by=door.host).status == 204


@pytest.fixture
def network(client: Client) -> Iterator[Network]:  # noqa: ARG001 (sets the app's parts)
    network = Network()
    with serving(network) as network.url:
        yield network


@pytest.fixture
def scanner(client: Client, network: Network, tmp_path: Path) -> Iterator[Scanner]:
    door = Door.open(client, title="Jazz in the yard", reEntryAllowed=True)
    tickets = [door.ticket(client.attendee(name)) for name in ("Ada Lovelace", "Zoë Müller", "Alan Turing")]
    with chromium(tmp_path, door.code(tickets[0])) as browser:
        yield Scanner(door, browser, network.url, tickets)


def test_the_camera_admits_a_ticket_once(scanner: Scanner) -> None:
    browser, ticket = scanner.browser, scanner.tickets[0]
    scanner.open()
    browser.click("summary")
    browser.fill("#gate", "Gate A")
    browser.click("text=Start scanning")

    browser.wait_for(ADMITTED)
    shown = browser.text("#result")
    assert ("Ada Lovelace" in shown, "General admission" in shown) == (True, True)
    assert scanner.check_ins(ticket) == [("admitted", "Gate A", False)]
    browser.click("#next")
    browser.wait_for("#counts:text('1 of 3 admitted')")
    scanner.type_code(ticket)

    browser.wait_for(REFUSED)
    assert re.search(r"Already checked in\s+at \d\d:\d\d, Gate A\s+Ada Lovelace", browser.text("#result"))
    assert len(scanner.check_ins(ticket)) == 1
    assert [error for error in browser.errors() if "409 (Conflict)" not in error] == []


def test_the_camera_uses_the_reader_of_the_browser(scanner: Scanner) -> None:
    browser, code = scanner.browser, scanner.door.code(scanner.tickets[1])
    browser.run_before_page(f"""self.BarcodeDetector = class {{
        static async getSupportedFormats() {{ return ["qr_code"]; }}
        async detect() {{ return [{{ rawValue: "{code}" }}]; }}
    }}""")
    scanner.open()
    browser.click("text=Start scanning")

    browser.wait_for(f"{ADMITTED} >> text=Zoë Müller")
    assert browser.evaluate("typeof self.jsQR") == "undefined"


def test_each_refusal_names_its_reason(scanner: Scanner) -> None:
    door, client = scanner.door, scanner.door.client
    another = Door.open(client)
    codes = {
        "Not for this event": another.code(another.ticket()),
        "This code was replaced": door.code(scanner.tickets[0], serial=0),
        "Unknown code": "A" * 55,
    }
    scanner.open()
    for reason, code in codes.items():
        scanner.browser.fill("#search", code)
        scanner.browser.click("text=Find")
        scanner.browser.wait_for(f"{REFUSED} >> text={reason}")
        scanner.browser.click("#next")
    later = {"doorsOpenAt": in_days(0.05), "startDateTime": in_days(0.06), "endDateTime": in_days(0.1)}
    assert client("PATCH", f"/events/{door.event_id}", later, by=door.host).status == 200

    scanner.type_code(scanner.tickets[0])
    scanner.browser.wait_for(f"{REFUSED} >> text=Doors open at")
    scanner.browser.click("#next")
    scanner.browser.reload()
    scanner.browser.wait_for("#connection:text('Online')")
    scanner.go_offline()
    scanner.type_code(scanner.tickets[0])
    scanner.browser.wait_for(f"{REFUSED} >> text=Doors open at")


def test_a_scan_that_the_server_cannot_read_does_not_block_the_others(scanner: Scanner) -> None:
    browser, (ada, zoe, _) = scanner.browser, scanner.tickets
    scanner.open()
    scanner.go_offline()
    browser.click("summary")
    browser.evaluate("document.getElementById('gate').removeAttribute('maxlength')")
    browser.fill("#gate", "x" * 51)
    assert scanner.admits(ada)
    browser.fill("#gate", "Gate A")
    assert scanner.admits(zoe)

    scanner.go_online()

    browser.wait_for("#conflicts >> text=gate")
    browser.wait_for("#waiting:text('All scans uploaded')")
    assert (scanner.check_ins(ada), scanner.check_ins(zoe)) == ([], [("admitted", "Gate A", False)])


def test_the_page_works_offline_and_uploads_later(scanner: Scanner) -> None:
    browser, (ada, zoe, _) = scanner.browser, scanner.tickets
    scanner.open()
    browser.evaluate("navigator.serviceWorker.ready.then(() => null)")
    browser.set_offline(offline=True)
    browser.reload()
    browser.wait_for("#connection:text('Offline')")
    browser.wait_for("#title:text('Jazz in the yard')")

    assert scanner.admits(ada)
    assert not scanner.admits(ada)
    browser.wait_for("#waiting:text('1 scan waits')")
    browser.reload()
    browser.wait_for("#counts:text('1 of 3 admitted')")
    assert not scanner.admits(ada)
    assert scanner.admits(zoe)
    assert scanner.check_ins(ada) == []

    scanner.go_online()
    browser.wait_for("#waiting:text('All scans uploaded')")
    assert scanner.check_ins(ada) == scanner.check_ins(zoe) == [("admitted", None, False)]
    assert all("/door/" in url for url in browser.evaluate(CACHED_URLS))
    assert not scanner.admits(ada)
    assert not browser.is_visible("#conflicts-view")


def test_a_scan_whose_response_is_lost_counts_once(scanner: Scanner, network: Network) -> None:
    ticket = scanner.tickets[0]
    scanner.open()
    network.is_losing.set()

    assert scanner.admits(ticket)
    assert scanner.check_ins(ticket) == [("admitted", None, False)]

    scanner.browser.wait_for("#waiting:text('All scans uploaded')")
    assert scanner.check_ins(ticket) == [("admitted", None, False)]
    assert not scanner.browser.is_visible("#conflicts-view")


def test_a_conflict_is_shown(scanner: Scanner) -> None:
    browser, ticket = scanner.browser, scanner.tickets[1]
    scanner.open()
    scanner.go_offline()
    assert scanner.door.scan(ticket, gate="Gate B").status == 200

    assert scanner.admits(ticket)
    scanner.go_online()

    browser.wait_for("#conflicts-view")
    shown = browser.text("#conflicts")
    assert re.search(
        r"Zoë Müller\s+Scanned here at \d\d:\d\d. Already checked in at \d\d:\d\d, Gate B", shown
    )
    browser.wait_for("#waiting:text('All scans uploaded')")
    assert browser.accessibility_violations() == []
    browser.click("text=Clear the list")
    browser.wait_until_hidden("#conflicts-view")


def test_a_revoked_key_is_asked_for_again_and_the_queue_is_kept(scanner: Scanner) -> None:
    browser, door, ticket = scanner.browser, scanner.door, scanner.tickets[0]
    scanner.open()
    scanner.go_offline()
    assert scanner.admits(ticket)
    revoke_keys(door)
    browser.set_offline(offline=False)

    browser.wait_for("#key-view >> text=revoked or has expired")
    browser.wait_for("#key-view >> text=1 scan waits for the upload")
    browser.reload()
    browser.wait_for("#key-view")
    browser.fill("#key", new_key(Door.open(door.client)))
    browser.click("text=Continue")
    browser.wait_for("#key-view >> text=for another event")
    assert scanner.check_ins(ticket) == []

    scanner.enter(new_key(door))
    browser.wait_for("#waiting:text('All scans uploaded')")
    assert scanner.check_ins(ticket) == [("admitted", None, False)]

    revoke_keys(door)
    scanner.type_code(scanner.tickets[1])
    browser.wait_for("#key-view >> text=revoked or has expired")
    assert scanner.check_ins(scanner.tickets[1]) == []


def test_a_person_is_found_by_name_or_reference_and_let_in_by_hand(scanner: Scanner) -> None:
    browser, ticket = scanner.browser, scanner.tickets[1]
    scanner.open()
    for text in ("zoe mul", scanner.reference(ticket)):
        browser.fill("#search", "nobody")
        browser.wait_for("text=Nobody found.")
        browser.fill("#search", text)
        browser.wait_for("#found >> text=Zoë Müller")

    browser.click("#found button")
    browser.wait_for(ADMITTED)
    assert scanner.check_ins(ticket) == [("admitted", None, True)]

    browser.click("#result-undo")
    browser.wait_for("text=Undone: Zoë Müller")
    browser.wait_for("#counts:text('0 of 3 admitted')")
    assert scanner.door.status(ticket) == "valid"
    assert scanner.admits(ticket)


def test_an_admission_that_was_not_uploaded_is_undone_offline(scanner: Scanner) -> None:
    browser, ticket = scanner.browser, scanner.tickets[0]
    scanner.open()
    scanner.go_offline()
    assert scanner.admits(ticket)

    browser.click("#undo")
    browser.wait_for("text=Undone: Ada Lovelace")
    browser.wait_for("#waiting:text('All scans uploaded')")
    scanner.go_online()
    assert scanner.check_ins(ticket) == []


def test_people_leave_and_come_back(scanner: Scanner) -> None:
    browser, ticket = scanner.browser, scanner.tickets[0]
    scanner.open()
    assert scanner.admits(ticket)
    browser.click("[value=out]")
    scanner.type_code(ticket)
    browser.wait_for(f"{ADMITTED} >> text=Checked out")
    browser.click("#next")
    scanner.go_offline()
    scanner.type_code(ticket)
    browser.wait_for(f"{REFUSED} >> text=Not checked in")
    browser.click("#next")

    browser.click("[value=in]")
    assert scanner.admits(ticket)
    scanner.go_online()
    browser.wait_for("#waiting:text('All scans uploaded')")
    assert sorted(scanner.check_ins(ticket)) == [("admitted", None, False)] * 2 + [("left", None, False)]


def test_a_cancelled_ticket_is_refused_online_and_offline(scanner: Scanner) -> None:
    browser, door, ticket = scanner.browser, scanner.door, scanner.tickets[2]
    scanner.open()
    assert door.client("DELETE", f"/tickets/{ticket}", by=door.host).status == 204
    scanner.type_code(ticket)
    browser.wait_for(f"{REFUSED} >> text=Cancelled")
    browser.click("#next")
    browser.reload()
    browser.wait_for("#counts:text('0 of 2 admitted')")

    scanner.go_offline()
    scanner.type_code(ticket)

    browser.wait_for(f"{REFUSED} >> text=Cancelled")


def test_the_page_is_accessible_and_fits_a_small_screen(scanner: Scanner) -> None:
    browser = scanner.browser
    browser.open(f"{scanner.url}/door/{scanner.door.event_id}")
    browser.wait_for("#key-view")
    views = {"start": browser.accessibility_violations()}
    scanner.enter(new_key(scanner.door))
    browser.click("summary")
    browser.fill("#search", "ada")
    browser.wait_for("#found button")
    views["search"] = browser.accessibility_violations()
    browser.click("text=Start scanning")
    browser.wait_for(ADMITTED)
    views["admitted"] = browser.accessibility_violations()
    browser.click("#next")
    browser.wait_for("#video")
    views["camera"] = browser.accessibility_violations()
    scanner.type_code(scanner.tickets[0])
    browser.wait_for(REFUSED)
    views["refused"] = browser.accessibility_violations()

    assert {view: found for view, found in views.items() if found} == {}
    assert browser.evaluate("document.documentElement.scrollWidth") == 320


def test_the_key_and_the_list_can_be_removed(scanner: Scanner) -> None:
    browser = scanner.browser
    scanner.open()
    browser.click("summary")
    browser.click("text=Remove the door key")
    browser.wait_for("#key-view")
    browser.reload()
    browser.wait_for("#key-view")

    browser.wait_for("#title:text-is('Door')")
