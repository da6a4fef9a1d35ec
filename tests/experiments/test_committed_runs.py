"""Committed runs are still runs of today's configs, and what else would be is not."""

from pathlib import Path

import pytest

from amf_jax.errors import ResultsError
from experiments import results, runs, studies
from experiments.configs import loading, sweeps
from experiments.execution import planning

EVIDENCE = Path(__file__).parents[2] / "evidence"
SUITES = ("integrator", "metaworld", "kitchen")
STUDIES = runs.places(EVIDENCE, "integrator/*/study_*")


def restore(place, folder):
    """A result file of what is committed of seed 0."""
    file = results.path(folder, *place, 0)
    run = runs.collect(EVIDENCE, *place)[0]
    results.write(file, run.header, run.records)
    return file


def check(place, folder, config):
    """Whether a run of this config would go on with the file and its checkpoint."""
    results.require_same_config(restore(place, folder), config)
    found, plain = (
        runs.collect(EVIDENCE, *place)[0].config,
        results.plain_config(config),
    )
    assert results.identity(found) == results.identity(plain)


@pytest.mark.parametrize("suite", SUITES)
def test_a_committed_run_has_the_config_it_would_be_run_with(suite, tmp_path):
    by_setting = {}
    for place in runs.places(EVIDENCE, f"{suite}/*/*"):
        if place not in STUDIES:
            by_setting.setdefault(place[1], []).append(place)
    assert len(by_setting) >= 3
    for setting, places in by_setting.items():
        for place in places[:2]:
            fields = {"method": place[2]}
            check(place, tmp_path, loading.load(f"{suite}:{setting}", fields))


@pytest.mark.parametrize("place", STUDIES, ids=lambda place: place[2])
def test_so_has_a_committed_study(place, tmp_path):
    config = studies.STUDIES[place[2].removeprefix("study_")].config()
    check(place, tmp_path, config)


def test_a_sweep_finds_the_committed_integrator_finished(tmp_path):
    for place in runs.places(EVIDENCE, "integrator/[16]/*"):
        restore(place, tmp_path)
    sweep = sweeps.get_config("evidence_integrator")
    sweep.results_dir, sweep.seeds = str(tmp_path), 1
    sweep.settings = ("integrator:1", "integrator:6")
    assert all(entry.finished for entry in planning.plan(sweep))


def test_a_committed_run_is_not_gone_on_with_under_another_search(tmp_path):
    file = restore(("integrator", "6", "amf"), tmp_path)
    results.require_same_config(file, loading.load("integrator:6"))
    other = loading.load("integrator:6", {"selection.search.name": "cross_entropy"})
    with pytest.raises(
        ResultsError, match=r"selection.search.name: absent, 'cross_entropy'"
    ):
        results.require_same_config(file, other)
