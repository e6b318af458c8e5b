"""The package: complete, without ballast, reproducible, and able to run on its own."""

import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

import app
from infra.aws import function_table
from infra.aws.package import ARCHIVE, TEMPLATE, archive, chalice_package
from infra.aws.package.target import RUNTIME_VERSION, NoInterpreter, lambda_target, local_target
from tests.api.test_gateway import gateway_event
from tests.infra.aws.stack import REGION, Stack
from tests.infra.aws.test_template import GIVEN

RUNTIME_PACKAGES = ("boto3", "botocore", "jmespath", "s3transfer", "dateutil", "six", "urllib3")
"""Packages that Lambda's runtime brings."""

PROGRAM = """
import importlib, json, sys
handler, event = json.loads(sys.argv[1])
module, _, name = handler.partition(".")
function = getattr(importlib.import_module(module), name)
class Context:
    aws_request_id = "1"
    def get_remaining_time_in_millis(self): return 0
try:
    response = function(event, Context())
except Exception as error:
    response = {"raised": f"{type(error).__name__}: {error}"}
print(json.dumps(response))
"""


@pytest.fixture(scope="module")
def unpacked(package: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("unpacked")
    with zipfile.ZipFile(package / ARCHIVE) as packed:
        packed.extractall(folder)
    return folder


@pytest.fixture(scope="module")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the packages of Lambda's runtime and no others."""
    folder = tmp_path_factory.mktemp("runtime")
    for name in RUNTIME_PACKAGES:
        spec = find_spec(name)
        assert spec
        assert spec.origin
        origin = Path(spec.origin)
        source = origin.parent if origin.name == "__init__.py" else origin
        (folder / source.name).symlink_to(source)
    return folder


def run(
    unpacked: Path, runtime: Path | None, handler: str, event: Any, environment: dict[str, str] | None = None
) -> Any:
    """Call a handler in a process with the package, perhaps the runtime, and no other environment."""
    path = [str(unpacked), *([str(runtime)] if runtime else [])]
    program = f"import sys; sys.path[:0] = {path!r}\n{PROGRAM}"
    ran = subprocess.run(  # noqa: S603
        [sys.executable, "-I", "-S", "-c", program, json.dumps([handler, event])],
        env=environment or {},
        capture_output=True,
        text=True,
        check=True,
    )
    assert ran.stderr == ""
    return json.loads(ran.stdout.splitlines()[-1])


def request(path: str, method: str = "GET") -> dict[str, Any]:
    event = gateway_event()
    return {
        **event,
        "requestContext": {**event["requestContext"], "resourcePath": path, "httpMethod": method},
    }


def sqs_event(name: str) -> dict[str, Any]:
    record = {"messageId": "1", "body": "{}", "receiptHandle": "", "eventSourceARN": f"arn:aws:sqs:::{name}"}
    return {"Records": [record]}


MEMBERS = ("version", "id", "detail-type", "source", "account", "time", "region", "resources", "detail")
SCHEDULED_EVENT = dict.fromkeys(MEMBERS, "")
"""EventBridge's event. The functions ignore its values."""


def test_the_api_without_settings_responds_503(unpacked: Path) -> None:
    health = run(unpacked, None, "app.app", request("/health"))
    events = run(unpacked, None, "app.app", request("/events"))
    assert (health["statusCode"], events["statusCode"]) == (200, 503)
    assert json.loads(events["body"])["code"] == "unavailable"


def test_the_package_has_the_viewer_of_the_docs(unpacked: Path) -> None:
    page = run(unpacked, None, "app.app", request("/docs"))
    viewer = run(unpacked, None, "app.app", request("/docs/viewer.js"))
    assert (page["statusCode"], viewer["statusCode"]) == (200, 200)
    assert 'src="docs/viewer.js' in page["body"]
    assert "redoc" in viewer["body"].lower()


def test_the_package_makes_documents(unpacked: Path, tmp_path: Path) -> None:
    program = (
        f"import sys; sys.path.insert(0, {str(unpacked)!r})\n"
        "from chalicelib.documents import pdf, qr, wallet\n"
        "assert pdf.tickets_pdf([]).startswith(b'%PDF')\n"
        "assert qr.svg('A' * 55)\n"
    )
    subprocess.run([sys.executable, "-I", "-S", "-c", program], cwd=tmp_path, check=True)  # noqa: S603


def test_functions_with_routes_respond_503_without_settings(package: Path, unpacked: Path) -> None:
    template = json.loads((package / TEMPLATE).read_text())
    responses = {}
    for function in function_table.deployed(app.app):
        handler = template["Resources"][function.logical_name]["Properties"]["Handler"]
        for method, path in function.routes:
            response = run(unpacked, None, handler, request(path, method))
            responses[handler] = response["statusCode"], json.loads(response["body"])["status"]
    assert responses == {"app.confirm_payments": (503, 503)}


@pytest.fixture
def environments(package: Path, database_url: str, owner_url: str) -> dict[str, dict[str, str]]:
    """The environment of each function, with other values of its secrets."""
    values = {
        "DATABASE_URL": database_url,
        "APP_DATABASE_URL": database_url,
        "STRIPE_API_KEY": "sk_test_1",
        "STRIPE_API_BASE": "http://127.0.0.1:9",
        "STRIPE_WEBHOOK_SECRETS": "whsec_1",
    }
    template = json.loads((package / TEMPLATE).read_text())
    given = {**GIVEN, "StripeSecret": "arn:stripe", "PreviousJwtSecret": "accept"}
    result = {}
    for name, part in Stack(template, given).of_type("AWS::Serverless::Function").items():
        environment = {key: str(value) for key, value in part["Environment"]["Variables"].items()}
        for key, value in environment.items():
            if "{{resolve:" in value:
                environment[key] = values.get(key, f"{key} of a test" * 5)
        if "APP_DATABASE_URL" in environment:
            environment["DATABASE_URL"] = owner_url
        if "STRIPE_API_KEY" in environment:
            environment["STRIPE_API_BASE"] = values["STRIPE_API_BASE"]
        result[name] = {**environment, "AWS_DEFAULT_REGION": REGION}
    return result


def test_every_handler_runs_from_the_package_with_its_own_secrets(
    package: Path, unpacked: Path, runtime: Path, environments: dict[str, dict[str, str]]
) -> None:
    template = json.loads((package / TEMPLATE).read_text())
    for function in function_table.deployed(app.app):
        if function.name == function_table.API or function.routes:
            continue
        handler = template["Resources"][function.logical_name]["Properties"]["Handler"]
        event = sqs_event(function.queue.name) if function.queue else SCHEDULED_EVENT
        response = run(unpacked, runtime, handler, event, environments[function.logical_name])
        answers = function.queue is not None or function.operates
        assert (response is not None) == answers, handler
        assert "raised" not in (response or {}), handler


def test_the_routes_need_only_their_own_secrets(
    unpacked: Path, runtime: Path, environments: dict[str, dict[str, str]]
) -> None:
    login = {
        **request("/auth/login", "POST"),
        "body": '{"email": "ada@example.com", "password": "a password"}',
    }
    login["headers"] = {"Content-Type": "application/json"}
    webhook = request("/webhooks/stripe", "POST")
    responses = [
        run(unpacked, runtime, handler, event, environments[name])["statusCode"]
        for name, handler, event in (
            ("APIHandler", "app.app", request("/health/ready")),
            ("APIHandler", "app.app", login),
            ("ConfirmPayments", "app.confirm_payments", webhook),
        )
    ]
    assert responses == [200, 401, 400]


def test_the_zip_has_only_the_app_and_its_libraries(package: Path) -> None:
    with zipfile.ZipFile(package / ARCHIVE) as packed:
        paths = [Path(name) for name in packed.namelist()]
    tops = {path.parts[0] for path in paths}
    folders = {part for path in paths for part in path.parts[:-1]}
    assert {"app.py", "chalice", "chalicelib", "sqlalchemy", "pg8000", "stripe"} <= tops
    assert not tops & {"boto3", "botocore", "moto", "pytest", "infra", "tests", "docs", "bin", "pip"}
    assert not folders & {"tests", "__pycache__"}
    assert not [path for path in paths if path.name.startswith(".env") or path.suffix == ".pyc"]


def test_the_zip_does_not_depend_on_file_times_or_order(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    names = ["b.py", "a.py", "c/__init__.py"]
    for folder, order in ((first, names), (second, names[::-1])):
        for name in order:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(f"NAMES = {{'x', 'y', {name!r}}}\nx = 'z' in {{'z', 'y', 'w'}}\n")
            os.utime(folder / name, (len(name), len(name)))
        archive.compile_all(folder, sys.executable)
        archive.pack(folder, folder.with_suffix(".zip"))
    assert first.with_suffix(".zip").read_bytes() == second.with_suffix(".zip").read_bytes()


def test_compiled_files_are_not_checked_against_the_source(tmp_path: Path) -> None:
    module = tmp_path / "module.py"
    module.write_text("print('compiled')")
    archive.compile_all(tmp_path, sys.executable)
    module.write_text("print('source')")
    program = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import module"
    ran = subprocess.run(  # noqa: S603
        [sys.executable, "-I", "-c", program], capture_output=True, text=True, check=True
    )
    assert ran.stdout == "compiled\n"


def test_stray_files_are_not_packaged(tmp_path: Path) -> None:
    (tmp_path / "from/__pycache__").mkdir(parents=True)
    for name in ("kept.py", "kept.sql", ".env", "old.pyc", "draft.py~"):
        (tmp_path / "from" / name).touch()
    shutil.copytree(tmp_path / "from", tmp_path / "to", ignore=chalice_package.stray_files)
    assert {path.name for path in (tmp_path / "to").iterdir()} == {"kept.py", "kept.sql"}


def test_the_interpreter_must_have_the_version_of_the_runtime() -> None:
    with pytest.raises(NoInterpreter, match="BYTECODE=off"):
        lambda_target("no-such-python")
    if local_target().version != RUNTIME_VERSION:
        with pytest.raises(NoInterpreter, match=local_target().version):
            lambda_target(sys.executable)
    assert lambda_target(None).interpreter is None


def test_wheels_match_the_python_and_glibc_of_lambda() -> None:
    assert lambda_target(None).version == "3.13"
    assert lambda_target(None).platforms[0] == "manylinux_2_34_aarch64"  # Amazon Linux 2023 has glibc 2.34


def test_the_lock_has_each_requirement_and_a_hash_for_each_package() -> None:
    checkout = chalice_package.CHECKOUT
    locked = (checkout / "requirements-lock.txt").read_text()
    pins = re.findall(r"^([\w.-]+==\S+)(?: ;[^\\]*)? \\\n +--hash=sha256:\w{64}", locked, re.MULTILINE)
    required = re.findall(
        r"^[\w.-]+==\S+", (chalice_package.CHECKOUT / "requirements.txt").read_text(), re.MULTILINE
    )

    assert required
    assert set(required) <= set(pins)
    assert len(pins) == len(re.findall(r"^[\w.-]+==", locked, re.MULTILINE))
