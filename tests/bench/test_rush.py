"""The rush is simulated, in small: everybody is answered, nobody twice, and the report says so."""

import json
import subprocess
import sys
from pathlib import Path

CHECKOUT = Path(__file__).parents[2]


def test_a_small_rush_is_refused_gracefully_and_reported() -> None:
    """The simulation itself fails where a place is sold twice or an answer is of another kind."""
    ran = subprocess.run(
        [sys.executable, "-m", "bench.rush", "--quick"],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )

    assert ran.returncode == 0, ran.stderr
    report = json.loads(ran.stdout[: ran.stdout.rindex("}") + 1])
    assert set(report["runs"]) == {"sustained", "refusing", "queueing", "sold out"}
    [refusing], [sold_out] = report["runs"]["refusing"], report["runs"]["sold out"]
    assert {"201", "429"} <= set(refusing["answers"]) <= {"201", "429", "503", "none"}
    assert refusing["answers"]["none"] == 0
    assert sold_out["answers"]["409"] > 0
