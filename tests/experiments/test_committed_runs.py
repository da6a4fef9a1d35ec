"""Committed runs are still runs of today's configs, and what else would be is not."""

from pathlib import Path

import pytest

from amf_jax.errors import ResultsError
from experiments import reading, results, studies
from experiments.configs import loading, sweeps
from experiments.execution import planning

EVIDENCE = Path(__file__).parents[2] / "evidence"
SUITES = ("integrator", "metaworld", "kitchen")
STUDIES = sorted(EVIDENCE.glob("integrator/*/study_*/seed0.jsonl"))


def check(file, config):
    """Whether a run of this config would go on with the file and its checkpoint."""
    results.require_same_config(file, config)
    found, plain = reading.read(file).config, results.plain_config(config)
    assert results.identity(found) == results.identity(plain)


@pytest.mark.parametrize("suite", SUITES)
def test_a_committed_run_has_the_config_it_would_be_run_with(suite):
    folders = sorted(EVIDENCE.glob(f"{suite}/*"))
    assert len(folders) >= 3
    for folder in folders:
        files = [
            file
            for file in folder.glob("*/seed0.jsonl")
            if not file.parent.name.startswith("study_")
        ]
        for file in files[:2]:
            fields = {"method": file.parent.name}
            check(file, loading.load(f"{suite}:{folder.name}", fields))


@pytest.mark.parametrize("file", STUDIES, ids=lambda file: file.parent.name)
def test_so_has_a_committed_study(file):
    check(file, studies.STUDIES[file.parent.name.removeprefix("study_")].config())


def test_a_sweep_finds_the_committed_integrator_finished():
    sweep = sweeps.get_config("evidence_integrator")
    sweep.results_dir, sweep.seeds = str(EVIDENCE), 1
    sweep.settings = ("integrator:1", "integrator:6")
    assert all(entry.finished for entry in planning.plan(sweep))


def test_a_committed_run_is_not_gone_on_with_under_another_search():
    file = results.path(EVIDENCE, "integrator", "6", "amf", 0)
    results.require_same_config(file, loading.load("integrator:6"))
    other = loading.load("integrator:6", {"selection.search.name": "cross_entropy"})
    with pytest.raises(
        ResultsError, match=r"selection.search.name: absent, 'cross_entropy'"
    ):
        results.require_same_config(file, other)
