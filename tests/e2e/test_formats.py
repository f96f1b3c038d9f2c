"""A sweep over forms of annotations: what a trial learns does not depend on the form."""

import json
from pathlib import Path

import pytest
import yaml

from tests.formats import COLUMNS, IMAGES, needs_photographs, write_formats
from tests.micro import losses

pytestmark = pytest.mark.sweep
FORMS = ("karpathy.json", "messages.jsonl", "messages.parquet")


@needs_photographs
def test_the_digits_are_those_of_the_karpathy_file_in_every_form(micro_with, micro) -> None:
    train = micro["train"] | {"max_steps": 8}
    align = {"annotations": "karpathy.json", "images": str(IMAGES)}
    select = {"task": "flickr8k", "annotations": "captions.parquet", "columns": COLUMNS}
    search = {
        "strategy": ["full"],
        "learning_rate": [2e-3],
        "values": {"data.tune.annotations": list(FORMS)},
    }
    data = {"align": align, "tune": align, "select": select}
    sweep = micro_with(data=data, search=search, train=train)
    write_formats(sweep.folder)
    sweep.lnt("run", "sweep.yaml")
    found = {}
    for result in sweep.files("result.json"):
        config = yaml.safe_load((result.parent / "trial.yaml").read_text())
        ended = json.loads(result.read_text())
        form = Path(config["data"]["tune"]["annotations"]).name
        score = repr(ended["metrics"]["select/cider"])
        found[form] = (ended["status"], score, losses(result.parent))
    assert sorted(found) == sorted(FORMS)
    assert len(found["karpathy.json"][2]) == 8
    assert [found[form] for form in FORMS] == [found["karpathy.json"]] * 3
