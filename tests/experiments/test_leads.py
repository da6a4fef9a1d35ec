import numpy as np
import pytest

from experiments.leads import leads
from experiments.runs import ResultsWarning
from tests.experiments.test_tables import make_run

RAMP = np.linspace(0.0, 1.0, 5)


def group(method, *curves):
    return [make_run(method, seed, curve) for seed, curve in enumerate(curves)]


def test_every_method_is_compared_with_the_first_baseline():
    runs = {
        "uniform": group("uniform", RAMP / 2, RAMP / 2),
        "amf": group("amf", RAMP, RAMP),
        "uniform_adaptive_prior": group("uniform_adaptive_prior", RAMP / 2, RAMP / 4),
    }
    plain, amf = leads(runs, "mean_success")
    assert (plain.method, amf.method) == ("uniform", "amf")
    assert {plain.baseline, amf.baseline} == {"uniform_adaptive_prior"}
    # to .9 of 3/8: the ramp in round 2 of 4, the baseline in the last; 2 demos a round
    assert amf.demos[:3] == (pytest.approx(0.3375), 4, 8)
    assert float(amf.area.mean) == pytest.approx(0.5 - 3 / 16)
    assert (amf.larger, plain.larger) == (2, 1)


@pytest.mark.parametrize(
    "runs",
    [
        {"amf": group("amf", RAMP)},
        {"amf": group("amf", RAMP), "amf_plain": group("amf_plain", RAMP)},
        {"amf": group("amf", RAMP), "uniform": group("uniform", RAMP[:3])},
        {
            "amf": group("amf", RAMP, [*RAMP[:4], None]),
            "uniform": group("uniform", RAMP, RAMP),
        },
    ],
)
def test_no_lead_without_a_baseline_or_where_curves_do_not_compare(runs):
    assert leads(runs, "mean_success") == ()


def test_seeds_that_one_side_lacks_are_left_out_and_said():
    runs = {"amf": group("amf", RAMP, RAMP), "uniform": group("uniform", RAMP / 2)}
    for run in [run for group in runs.values() for run in group]:
        run.config["setting"] = "8-8-0-0"
    with pytest.warns(ResultsWarning) as caught:
        (lead,) = leads(runs, "mean_success")
    assert lead.area.seeds == 1
    said = " ".join(str(warning.message) for warning in caught)
    assert "seeds 1 are not in both" in said and "only one seed" in said
