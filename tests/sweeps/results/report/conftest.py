"""A sweep of three strategies with captions, as the store would have it."""

import base64
import datetime
import io

import pytest
from PIL import Image

from sweeps.results.captions import Caption
from sweeps.results.comparison import Comparison
from sweeps.results.confidence import Difference, Interval
from sweeps.results.report.content import Content, Failure
from sweeps.results.selection import Sweep
from sweeps.storage.samples import Sample
from tests.sweeps.results.trials import trial

TRIALS = (
    trial("full", 1e-3, 120.0),
    trial("full", 1e-4, 100.0),
    trial("layernorm_simple", 1e-3, 110.0),
    trial("lora", 1e-3, None, status="failed"),
)
HOSTILE = "<script>alert(1)</script> & 50 % of a_dog"


def jpeg() -> str:
    buffer = io.BytesIO()
    Image.new("RGB", (8, 6), "red").save(buffer, "JPEG")
    return base64.b64encode(buffer.getvalue()).decode()


@pytest.fixture(scope="session")
def content() -> Content:
    captions = {"a.jpg": Caption(HOSTILE, 42.0)}
    return Content(
        sweep=Sweep("s", "r", "FAILED", 50.0, "select/cider on x val", TRIALS),
        started=datetime.datetime(2026, 11, 21, tzinfo=datetime.UTC),
        gpus_per_trial=2.0,
        tags={"lnt.version": "1", "lnt.git_commit": "abc", "lnt.data_sha256": "def"},
        compared={
            "full": Comparison((), None),
            "layernorm_simple": Comparison((), Difference(10.0, -1.0, 21.0)),
        },
        bands={t.run_id: Interval(t.score - 5, t.score + 5) for t in TRIALS if t.score},
        losses={"full": [(1.0, 2.0), (2.0, 1.0)]},
        samples=[Sample("a.jpg", ("a red field",), jpeg())],
        captions=[("untuned base", captions), ("full", captions)],
        failures=[Failure("lora lr=1e-3", "failed", "ValueError: <b>")],
        sweep_yaml="name: s\n",
    )
