from pathlib import Path

import numpy as np
import pytest

from experiments import results
from experiments.configs import sweeps
from experiments.reading import Run
from experiments.report import claims, page, rule, scores
from experiments.report.__main__ import main
from experiments.report.rule import Verdict
from experiments.runs import ResultsWarning
from experiments.statistics import Summary

ROOT = Path(__file__).parents[2]
SKEWED = ("metaworld", "8-8-0-0")

HOLDS, FAILS = Verdict.HOLDS, Verdict.FAILS
UNDECIDED, MISSING = Verdict.UNDECIDED, Verdict.MISSING


def summary(low, high, seeds=8):
    return Summary(np.array((low + high) / 2), (np.array(low), np.array(high)), seeds)


@pytest.mark.parametrize(
    ("interval", "above", "no_worse", "within"),
    [
        ((0.01, 0.02), HOLDS, HOLDS, HOLDS),
        ((0.04, 0.06), HOLDS, HOLDS, FAILS),
        ((0.02, 0.04), HOLDS, HOLDS, UNDECIDED),
        ((-0.02, 0.02), UNDECIDED, HOLDS, HOLDS),
        ((-0.04, 0.04), UNDECIDED, UNDECIDED, UNDECIDED),
        ((-0.02, -0.01), FAILS, HOLDS, HOLDS),
        ((-0.04, -0.02), FAILS, UNDECIDED, UNDECIDED),
        ((-0.06, -0.04), FAILS, FAILS, FAILS),
    ],
)
def test_verdicts_at_a_margin_of_three_hundredths(interval, above, no_worse, within):
    found = summary(*interval)
    assert rule.above(found) is above
    assert rule.above(found, -0.03) is no_worse
    assert rule.within(found, 0.03) is within
    low, high = interval
    assert rule.below(summary(-high, -low)) is above


def test_few_seeds_decide_nothing():
    few = rule.MIN_SEEDS - 1
    assert rule.above(summary(0.5, 0.6, few)) is UNDECIDED
    assert rule.within(summary(0.0, 0.0, few)) is UNDECIDED
    single = Summary(np.array(0.5), None, 1)
    assert rule.above(single) is rule.below(single) is rule.within(single) is UNDECIDED


def test_no_evidence_is_no_verdict():
    assert rule.above(None) is rule.below(None) is rule.within(None) is MISSING


@pytest.mark.parametrize(
    ("verdicts", "expected"),
    [
        ([HOLDS, HOLDS], HOLDS),
        ([HOLDS, UNDECIDED], UNDECIDED),
        ([UNDECIDED, MISSING, HOLDS], MISSING),
        ([HOLDS, MISSING, FAILS, UNDECIDED], FAILS),
    ],
)
def test_a_claim_is_as_strong_as_its_weakest_statement(verdicts, expected):
    assert rule.all_of(verdicts) is expected


def neural(method, seed, tasks=(0, 1), success=((0, 0, 0, 0),) * 3):
    """A run of one round of warm start, then one choice per further entry."""
    config = {
        "suite": "metaworld",
        "setting": "8-8-0-0",
        "method": method,
        "preset": "fast",
        "attempts": 25,
        "rounds": len(success) - 1,
        "demos_per_round": 1,
        "allocation": [8, 8, 0, 0],
        "warm_start_rounds": 1,
    }
    records = [
        {
            "round": number,
            "task": None if number == 0 else tasks[number - 1],
            "success": list(rates),
            "mean_success": float(np.mean(rates)),
            "return": None,
        }
        for number, rates in enumerate(success)
    ]
    header = {"config": config, "versions": {"jax": "0.10.2"}, "seed": seed}
    return Run(header, records)


def test_retained_success_counts_the_tasks_of_pretraining():
    runs = [
        neural("amf", 0, success=((0.5, 1, 0, 0), (0, 0, 1, 1), (0.5, 0.5, 1, 1))),
        neural("amf", 1, success=((0.5, 0.5, 0, 0), (0, 0, 0, 0), (1, 0.5, 0, 0))),
    ]
    np.testing.assert_allclose(scores.retained(runs), [-0.25, 0.25])


def test_share_of_missing_counts_choices_after_the_warm_start():
    flat = ((0, 0, 0, 0),) * 6
    runs = [
        neural("amf", 0, tasks=(0, 2, 3, 0, 2), success=flat),
        neural("amf", 1, tasks=(2, 0, 1, 0, 1), success=flat),
    ]
    np.testing.assert_allclose(scores.share_of_missing(runs), [0.75, 0.0])


def test_share_of_missing_counts_all_of_a_batch_behind_the_warm_start():
    run = neural("amf", 0, tasks=([0, 1], [0, 2], [2, 3]), success=((0,) * 4,) * 4)
    # a warm start of one selection takes a round of two
    run.config["batch"] = 2
    np.testing.assert_allclose(scores.share_of_missing([run]), [0.75])


def test_comparison_pairs_the_seeds_that_both_have():
    better = [neural("amf", s, success=((0, 0, 0, 0), (1, 1, 0, 0))) for s in (0, 1)]
    worse = [neural("uniform", s, success=((0, 0, 0, 0), (1, 0, 0, 0))) for s in (1, 2)]
    evidence = {SKEWED: {"amf": better, "uniform": worse}}
    with pytest.warns(ResultsWarning):  # of seeds 0 and 2, and of the one that is left
        found = scores.compared(
            evidence, SKEWED, "AMF > uniform", "amf", "uniform", rule.above
        )
    # areas (0 + 1/2) / 2 and (0 + 1/4) / 2
    np.testing.assert_allclose(found.summary.mean, 0.125)
    assert (found.summary.seeds, found.agreeing, found.verdict) == (1, 1, UNDECIDED)


def test_comparison_without_one_of_the_methods_is_no_evidence():
    found = scores.compared(
        {SKEWED: {"amf": [neural("amf", 0)]}}, SKEWED, "", "amf", "dropout", rule.above
    )
    assert (found.summary, found.agreeing, found.verdict) == (None, None, MISSING)


def integrator(setting, method, gain, seeds=range(8)):
    """Runs of constant return: AMF's exceeds -3 by `gain` and a little, by seed."""
    runs = []
    for seed in seeds:
        level = -3 + (gain + 0.001 * seed if method == "amf" else 0)
        config = {
            "suite": "integrator",
            "setting": setting,
            "method": method,
            "preset": "fast",
            "attempts": 1,
            "rounds": 1,
            "demos_per_round": 1,
        }
        records = [
            {"round": number, "mean_success": None, "return": level}
            for number in range(2)
        ]
        runs.append(Run({"config": config, "versions": {}, "seed": seed}, records))
    return runs


def gains(gain):
    return {
        ("integrator", str(k)): {
            method: integrator(str(k), method, gain(k)) for method in ("amf", "uniform")
        }
        for k in range(1, 13)
    }


@pytest.mark.parametrize(
    ("gain", "expected"),
    [
        (lambda k: 1.2 - 0.1 * k, HOLDS),
        (lambda k: 0.1 * k, FAILS),  # a gain, but it shrinks with the mismatch
        (lambda k: -0.1 * (13 - k), FAILS),
    ],
)
def test_gain_grows_with_mismatch(gain, expected):
    found = list(claims.gp_gain_grows_with_mismatch(gains(gain)))
    assert claims.verdicts(found) == {"integrator": expected}
    assert found[0].summary.mean == pytest.approx(gain(1) + 0.0035)
    assert abs(found[1].summary.mean) == pytest.approx(1)


def test_a_missing_setting_leaves_the_correlation_open():
    evidence = gains(lambda k: 1.2 - 0.1 * k)
    del evidence["integrator", "7"]
    found = claims.gp_gain_grows_with_mismatch(evidence)
    assert claims.verdicts(found) == {"integrator": MISSING}


def test_a_claim_is_judged_suite_by_suite():
    def finding(suite, verdict):
        return scores.Finding("", suite, "", None, verdict)

    found = [
        finding("metaworld", HOLDS),
        finding("kitchen", FAILS),
        finding("metaworld", None),
        finding("kitchen", HOLDS),
    ]
    assert claims.verdicts(found) == {"metaworld": HOLDS, "kitchen": FAILS}


def test_the_committed_sweeps_make_what_the_claims_ask_for():
    evidence = {}
    for name in ("evidence_integrator", "evidence_metaworld", "evidence_kitchen"):
        assert sweeps.SWEEPS[name].seeds >= rule.MIN_SEEDS
        for part in (name, *sweeps.SWEEPS[name].includes):
            sweep = sweeps.SWEEPS[part]
            for spec in sweep.settings:
                suite, setting = spec.split(":")
                evidence.setdefault((suite, setting), {}).update(
                    {
                        method: integrator(setting, method, 0.0, seeds=range(2))
                        if suite == "integrator"
                        else [neural(method, 0), neural(method, 1)]
                        for method in sweep.methods
                    }
                )
    lacking = [
        (claim.title, finding.statement, finding.setting)
        for claim in claims.CLAIMS
        for finding in claim.findings(evidence)
        if finding.summary is None
    ]
    assert lacking == []


@pytest.fixture
def folder(tmp_path):
    for method in ("amf", "uniform_adaptive_prior"):
        last = (0.5, 1, 1, 1) if method == "amf" else (0.5, 1, 0, 0)
        for seed in range(8):
            run = neural(method, seed, success=((0.5, 1, 0, 0), last, last))
            where = results.path(tmp_path / "evidence", *SKEWED, method, seed)
            results.write(where, run.header, run.records)
    return tmp_path


def test_report_shows_verdicts_numbers_and_what_is_missing(folder, monkeypatch):
    monkeypatch.chdir(folder)
    picture = folder / "docs" / "figures" / "main.png"
    picture.parent.mkdir(parents=True)
    picture.touch()
    assert main([]) == 0
    text = (folder / "RESULTS.md").read_text()
    # areas: amf (0.375 + 0.875) / 2 / 2 + 0.875 / 2, uniform 0.375 throughout
    assert (
        "| AMF > uniform + adaptive prior | metaworld 8-8-0-0 |"
        " +0.375 [+0.375, +0.375] | 8, 8 above 0 | holds |"
    ) in text
    assert "| AMF > uniform + adaptive prior | metaworld 0-0-8-8 | – |  | no ev" in text
    assert "What is missing is made by `python -m experiments.sweep" in text
    assert "| AMF | 8 | 0.875 [0.88, 0.88] |" in text
    assert "](docs/figures/main.png)" in text
    assert "docs/figures/figure2.png)\n" not in text
    by_hand = page.FINDINGS.read_text(encoding="utf-8").strip()
    assert "](../../docs/figures/" in by_hand
    assert by_hand.replace("](../../", "](") in text
    assert "| metaworld | 16 | 0 to 7 | fast | 2 | 25 | jax 0.10.2 |" in text


def test_check_fails_once_report_or_evidence_change(folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    assert main([]) == 0
    assert main(["--check"]) == 0
    report = folder / "RESULTS.md"
    whole = report.read_text()
    report.write_text(whole.replace("+0.375 [", "+0.385 ["))
    assert main(["--check"]) == 1
    message = capsys.readouterr().err
    assert "RESULTS.md is not what the evidence gives" in message
    assert "-| AMF > uniform + adaptive prior | metaworld 8-8-0-0 | +0.385" in message

    report.write_text(whole)
    results.path("evidence", *SKEWED, "amf", 7).unlink()
    assert main(["--check"]) == 1
    captured = capsys.readouterr().err
    assert "note: metaworld 8-8-0-0 amf and metaworld 8-8-0-0 uniform_adapt" in captured
    assert report.read_text() == whole


def test_report_needs_evidence(tmp_path, capsys):
    assert main(["--evidence", str(tmp_path), "--output", str(tmp_path / "R.md")]) == 1
    assert "error: no finished runs in" in capsys.readouterr().err
    assert not (tmp_path / "R.md").exists()


def test_committed_report_is_what_the_committed_evidence_gives(monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    assert main(["--check"]) == 0, capsys.readouterr().err
