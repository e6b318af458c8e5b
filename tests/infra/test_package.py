"""The package: whole, lean, the same each time, and able to run by itself."""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

import app
from infra import functions
from infra.package import ARCHIVE, TEMPLATE, archive, chalice_step
from infra.package.target import RUNTIME_VERSION, NoInterpreter, of_lambda, this_machine
from tests.api.test_gateway import gateway_event

OF_THE_RUNTIME = ("boto3", "botocore", "jmespath", "s3transfer", "dateutil", "six", "urllib3")
"""What Lambda has beside the package."""

PROGRAM = """
import importlib, json, sys
handler, event = json.loads(sys.argv[1])
module, _, name = handler.partition(".")
function = getattr(importlib.import_module(module), name)
class Context:
    aws_request_id = "1"
    def get_remaining_time_in_millis(self): return 60_000
try:
    answer = function(event, Context())
except Exception as error:
    answer = {"raised": f"{type(error).__name__}: {error}"}
print(json.dumps(answer))
"""


@pytest.fixture(scope="module")
def unpacked(package: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("unpacked")
    with zipfile.ZipFile(package / ARCHIVE) as packed:
        packed.extractall(folder)
    return folder


@pytest.fixture(scope="module")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what Lambda has beside the package, and nothing else of this machine's packages."""
    folder = tmp_path_factory.mktemp("runtime")
    for name in OF_THE_RUNTIME:
        spec = find_spec(name)
        assert spec
        assert spec.origin
        origin = Path(spec.origin)
        source = origin.parent if origin.name == "__init__.py" else origin
        (folder / source.name).symlink_to(source)
    return folder


def run(unpacked: Path, runtime: Path | None, handler: str, event: Any) -> Any:
    """Call a handler in a process that has the package, perhaps the runtime, and no environment."""
    path = [str(unpacked), *([str(runtime)] if runtime else [])]
    program = f"import sys; sys.path[:0] = {path!r}\n{PROGRAM}"
    ran = subprocess.run(  # noqa: S603
        [sys.executable, "-I", "-S", "-c", program, json.dumps([handler, event])],
        env={},
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


def of_queue(name: str) -> dict[str, Any]:
    record = {"messageId": "1", "body": "{}", "receiptHandle": "", "eventSourceARN": f"arn:aws:sqs:::{name}"}
    return {"Records": [record]}


MEMBERS = ("version", "id", "detail-type", "source", "account", "time", "region", "resources", "detail")
SCHEDULED = dict.fromkeys(MEMBERS, "")
"""What EventBridge sends; the functions do not look at it."""


def test_without_settings_the_api_runs_and_says_that_it_is_not_set_up(unpacked: Path) -> None:
    health = run(unpacked, None, "app.app", request("/health"))
    events = run(unpacked, None, "app.app", request("/events"))
    assert (health["statusCode"], events["statusCode"]) == (200, 503)
    assert json.loads(events["body"])["type"].endswith("#unavailable")


def test_so_does_each_function_with_routes_of_its_own(package: Path, unpacked: Path) -> None:
    template = json.loads((package / TEMPLATE).read_text())
    answered = {}
    for function in functions.of(app.app):
        handler = template["Resources"][function.logical_name]["Properties"]["Handler"]
        for method, path in function.routes:
            answer = run(unpacked, None, handler, request(path, method))
            answered[handler] = answer["statusCode"], json.loads(answer["body"])["status"]
    assert answered == {"app.confirm_payments": (503, 503)}


def test_each_handler_of_the_template_runs_from_the_package_alone(
    package: Path, unpacked: Path, runtime: Path
) -> None:
    template = json.loads((package / TEMPLATE).read_text())
    for function in functions.of(app.app):
        if function.name == functions.API or function.routes:
            continue
        handler = template["Resources"][function.logical_name]["Properties"]["Handler"]
        event = of_queue(function.queue.name) if function.queue else SCHEDULED
        answer = run(unpacked, runtime, handler, event)
        if function.queue and "raised" not in answer:
            assert answer == {"batchItemFailures": [{"itemIdentifier": "1"}]}, handler
        else:
            assert answer["raised"] == "BadSetting: DATABASE_URL is not set", handler


def test_it_has_the_app_and_its_libraries_and_nothing_else(package: Path) -> None:
    with zipfile.ZipFile(package / ARCHIVE) as packed:
        paths = [Path(name) for name in packed.namelist()]
    tops = {path.parts[0] for path in paths}
    folders = {part for path in paths for part in path.parts[:-1]}
    assert {"app.py", "chalice", "chalicelib", "sqlalchemy", "pg8000", "stripe"} <= tops
    assert not tops & {"boto3", "botocore", "moto", "pytest", "infra", "tests", "docs", "bin", "pip"}
    assert not folders & {"tests", "__pycache__"}
    assert not [path for path in paths if path.name.startswith(".env") or path.suffix == ".pyc"]


def test_it_is_the_same_bytes_whatever_the_times_and_the_order_of_files(tmp_path: Path) -> None:
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


def test_compiled_files_are_used_without_a_look_at_the_source(tmp_path: Path) -> None:
    module = tmp_path / "module.py"
    module.write_text("print('compiled')")
    archive.compile_all(tmp_path, sys.executable)
    module.write_text("print('source')")
    program = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import module"
    ran = subprocess.run(  # noqa: S603
        [sys.executable, "-I", "-c", program], capture_output=True, text=True, check=True
    )
    assert ran.stdout == "compiled\n"


def test_what_lies_in_the_app_by_chance_stays_at_home(tmp_path: Path) -> None:
    (tmp_path / "from/__pycache__").mkdir(parents=True)
    for name in ("kept.py", "kept.sql", ".env", "old.pyc", "draft.py~"):
        (tmp_path / "from" / name).touch()
    shutil.copytree(tmp_path / "from", tmp_path / "to", ignore=chalice_step.clutter)
    assert {path.name for path in (tmp_path / "to").iterdir()} == {"kept.py", "kept.sql"}


def test_an_interpreter_of_another_version_is_refused_and_none_is_a_choice() -> None:
    with pytest.raises(NoInterpreter, match="BYTECODE=off"):
        of_lambda("no-such-python")
    if this_machine().version != RUNTIME_VERSION:
        with pytest.raises(NoInterpreter, match=this_machine().version):
            of_lambda(sys.executable)
    assert of_lambda(None).interpreter is None


def test_wheels_are_those_of_the_runtime_and_of_no_newer_system() -> None:
    assert of_lambda(None).version == "3.13"
    assert of_lambda(None).platforms[0] == "manylinux_2_34_aarch64"  # Amazon Linux 2023 has glibc 2.34
