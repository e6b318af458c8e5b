"""Passes for Apple Wallet: their content, and a signature that OpenSSL accepts."""

import hashlib
import json
import shutil
import subprocess
from dataclasses import replace
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest
from asn1crypto import cms
from PIL import Image

from chalicelib.documents.signing import PassSigner
from chalicelib.documents.wallet import wallet_pass
from chalicelib.platform.settings import BadSetting
from chalicelib.wiring import Wiring, using
from tests.client import Client
from tests.documents.certificates import ORGANIZATION, PASS_TYPE, TEAM, certificates, wallet_certificate
from tests.documents.examples import printed
from tests.documents.test_routes import Order

NOW = datetime(2027, 5, 1, 8, 0, 30, tzinfo=UTC)
OPENSSL = shutil.which("openssl")


def unpack(content: bytes) -> dict[str, bytes]:
    with ZipFile(BytesIO(content)) as archive:
        assert archive.testzip() is None
        return {name: archive.read(name) for name in archive.namelist()}


def made(**more: Any) -> dict[str, bytes]:
    return unpack(wallet_pass(printed(**more), PassSigner(wallet_certificate()), NOW))


def test_the_manifest_has_the_hash_of_each_file() -> None:
    files = made()

    manifest = json.loads(files.pop("manifest.json"))
    files.pop("signature")
    assert manifest == {
        name: hashlib.sha1(content, usedforsecurity=False).hexdigest() for name, content in files.items()
    }
    assert {"pass.json", "icon.png", "logo.png"} <= set(files)


def test_a_pass_shows_the_ticket_and_its_code() -> None:
    ticket = printed(title="Jazz 演奏 🎉")

    files = unpack(wallet_pass(ticket, PassSigner(wallet_certificate()), NOW))

    shown = json.loads(files["pass.json"])
    assert shown["passTypeIdentifier"] == PASS_TYPE
    assert shown["teamIdentifier"] == TEAM
    assert shown["organizationName"] == ORGANIZATION
    assert shown["serialNumber"] == f"{ticket.ticket_id}-1"
    assert shown["relevantDate"] == "2027-06-05T17:30:00Z"
    [barcode] = shown["barcodes"]
    assert (barcode["format"], barcode["message"]) == ("PKBarcodeFormatQR", ticket.code)
    assert "voided" not in shown
    fields = {field["key"]: field["value"] for fields in shown["eventTicket"].values() for field in fields}
    assert fields["event"] == "Jazz 演奏 🎉"
    assert fields["start"] == "2027-06-05T19:30:00+02:00"
    assert (fields["venue"], fields["type"]) == ("Kulturhof, Berlin", "Weekend ticket")
    assert (fields["holder"], fields["reference"]) == ("Ada Lovelace", "7KMPQR23")
    assert (fields["number"], fields["price"]) == ("1 of 2", "EUR 9.00")


def test_an_empty_venue_is_left_out() -> None:
    shown = json.loads(made(venue="", holder="")["pass.json"])

    keys = [field["key"] for fields in shown["eventTicket"].values() for field in fields]
    assert {"venue", "holder"}.isdisjoint(keys)


def test_the_images_have_the_sizes_that_wallet_expects() -> None:
    files = made()

    sizes = {name: Image.open(BytesIO(files[name])).size[0] for name in files if name.endswith(".png")}
    assert sizes == {"icon.png": 29, "icon@2x.png": 58, "icon@3x.png": 87, "logo.png": 50, "logo@2x.png": 100}


@pytest.mark.parametrize("form", ["key", "traditional_key"])
def test_openssl_verifies_the_signature(tmp_path: Path, form: str) -> None:
    if OPENSSL is None:
        pytest.skip("needs openssl")
    pem = certificates()
    signer = PassSigner(pem.issuer + getattr(pem, form) + pem.certificate)
    (tmp_path / "issuer.pem").write_text(pem.issuer)
    (tmp_path / "signature").write_bytes(signer.sign(b"the manifest", datetime.now(UTC)))

    def verify(content: bytes) -> "subprocess.CompletedProcess[bytes]":
        (tmp_path / "content").write_bytes(content)
        signature, issuer = tmp_path / "signature", tmp_path / "issuer.pem"
        return subprocess.run(  # noqa: S603 (openssl, with files of this test)
            [
                *(OPENSSL or "", "cms", "-verify", "-binary", "-inform", "DER", "-purpose", "any"),
                *("-in", signature, "-content", tmp_path / "content", "-CAfile", issuer),
            ],
            capture_output=True,
            check=False,
        )

    assert verify(b"the manifest").returncode == 0, verify(b"the manifest").stderr
    assert verify(b"another manifest").returncode != 0


def test_the_signature_has_the_time_and_the_chain() -> None:
    signature = cms.ContentInfo.load(made()["signature"])["content"]

    [signer] = signature["signer_infos"]
    attributes = {one["type"].native: one["values"].native for one in signer["signed_attrs"]}
    assert attributes["signing_time"] == [NOW]
    assert len(signature["certificates"]) == 2
    assert signature["encap_content_info"]["content"].native is None


@pytest.mark.parametrize(
    "pem",
    [
        "",
        "no PEM",
        certificates().certificate,
        certificates().key,
        certificates().issuer + certificates().key,
        certificates().certificate + certificates().key.replace("M", "N"),
        certificates().certificate + certificates().key + certificates().key,
    ],
    ids=range(7),
)
def test_a_faulty_certificate_is_a_faulty_setting(pem: str) -> None:
    with pytest.raises(BadSetting, match="WALLET_CERTIFICATE"):
        PassSigner(pem)


ROUTE = "/tickets/{ticket}/pass.pkpass"


def test_a_booker_gets_the_pass(client: Client) -> None:
    booked = Order(client)

    reply = booked.get(ROUTE, booked.booker)

    assert (reply.status, reply.headers["content-type"]) == (200, "application/vnd.apple.pkpass")
    assert reply.headers["cache-control"] == "private, no-store"
    [barcode] = json.loads(unpack(reply.content)["pass.json"])["barcodes"]
    assert barcode["message"] == booked.code(booked.booker)


def test_who_gets_no_code_gets_no_pass(client: Client) -> None:
    booked = Order(client)
    booked.name_holder(transferred=True)

    assert booked.get(ROUTE, booked.host).problem == "not-the-holder"
    assert booked.get(ROUTE, booked.booker).problem == "not-the-holder"
    assert booked.get(ROUTE, booked.holder).status == 200


@pytest.mark.parametrize(
    ("pem", "problem"), [(None, (404, "wallet-not-configured")), ("no PEM", (503, "unavailable"))]
)
def test_without_a_certificate_there_are_no_passes(
    client: Client, pem: str | None, problem: tuple[int, str]
) -> None:
    booked = Order(client)
    settings = replace(client.wiring.settings, wallet_certificate=pem)

    with using(Wiring(settings)):
        reply = booked.get(ROUTE, booked.booker)

    assert (reply.status, reply.problem) == problem
