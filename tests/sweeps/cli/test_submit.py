"""A sweep that runs as a job must not refer to files of the submitting machine."""

import pytest
import yaml

from lnt_core.errors import ConfigError
from sweeps.cli.submit import check_job


def test_paths_of_this_machine_are_refused_all_at_once(tmp_path) -> None:
    sweep = {
        "name": "s",
        "model": {"tiny": {"text": "english.txt"}},
        "search": {"strategy": ["full"]},
        "data": {
            "tune": {"annotations": "a.json", "images": "/shared/images"},
            "select": {"task": "coco", "annotations": "/shared/b.json", "images": "images"},
        },
    }
    (tmp_path / "s.yaml").write_text(yaml.safe_dump(sweep))
    with pytest.raises(ConfigError) as refused:
        check_job(str(tmp_path / "s.yaml"), [])
    head, *lines = str(refused.value).splitlines()
    assert head.endswith("5 problems")
    relative = "relative to the sweep file; a job runs on the cluster: give an absolute path that"
    assert [line.split(", ")[0] for line in lines] == [
        "  data.select.images is 'images'",
        "  data.tune.annotations is 'a.json'",
        "  model.tiny.text is 'english.txt'",
        "  tracking.uri is 'sqlite:///mlflow.db'",
        "  tracking.storage is 'lnt_runs'",
    ]
    assert all(relative in line for line in lines[:3])
