"""The searches of docs/lineage.md run, and find what they say."""

import re
from pathlib import Path

import pytest

from model_registry import tags

PAGE = Path(__file__).parents[3] / "docs" / "lineage.md"
RECIPES = PAGE.read_text("utf-8").split("## Finding records", 1)[1]
BLOCK = re.search(r"```python\n(.*?)```", RECIPES, re.DOTALL)[1]
SEARCHES = re.findall(r"^client\.search_\w+\(.+\)$", BLOCK, re.MULTILINE)


@pytest.fixture
def scope(registry):
    """A store with one version that forgot class 3, one that did not, and one refused run."""
    from mlflow.entities import Dataset, DatasetInput

    experiment = registry.create_experiment("lethe")
    registry.create_registered_model("digits")
    registry.create_model_version("digits", "/nowhere")
    forgot = {
        tags.VERDICT: "suppressed",
        tags.FORGOTTEN: '["3"]',
        tags.PARENT: "digits/1",
    }
    registry.create_model_version("digits", "/nowhere", tags=forgot)
    batch = re.search(r"batch-\w+", BLOCK)[0]
    asked = {tags.VERDICT: "refused", tags.REQUEST: "demo-digits-3", tags.BATCH: batch}
    run = registry.create_run(experiment, tags=asked)
    others = {tags.REQUEST: "demo-digits-4", tags.BATCH: "batch-0"}
    other = registry.create_run(experiment, run_name="other", tags=others)
    registry.log_metric(run.info.run_id, "drift/agreement", 0.5)
    registry.log_metric(other.info.run_id, "drift/agreement", 1.0)
    md5 = re.search(r'md5 = "(.+)"', BLOCK)[1]
    data = Dataset(name="digits", digest=md5, source_type="dvc", source="{}")
    registry.log_inputs(run.info.run_id, datasets=[DatasetInput(data, [])])
    names = {}
    exec(re.sub(r"^client\.search_.+$", "", BLOCK, flags=re.MULTILINE), names)  # noqa: S102 (our page)
    return names


def test_there_are_searches():
    assert len(SEARCHES) >= 6


@pytest.mark.parametrize("search", SEARCHES)
def test_each_search_finds_the_one_it_is_for(scope, search):
    (found,) = eval(search, scope)  # noqa: S307 (our page)
    if "model_versions" in search:
        assert found.version in ("2", 2)
    else:
        assert found.data.tags[tags.REQUEST] == "demo-digits-3"
