"""What the paper says, each claim as a function from evidence to findings.

A new claim is one function and one line of `CLAIMS`; its docstring is printed below its
title.
"""

import functools
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import numpy as np

from experiments import statistics
from experiments.figures import style
from experiments.report.rule import MARGIN, Verdict, above, all_of, below, within
from experiments.report.scores import (
    Evidence,
    Finding,
    compared,
    measured,
    of_both,
    retained,
    share_of_missing,
)
from experiments.suites.base import Suite
from experiments.suites.registry import INTEGRATOR, KITCHEN, METAWORLD

ORDERED = [(INTEGRATOR.name, setting) for setting in INTEGRATOR.settings]


def _skewed(suite: Suite) -> list[tuple[str, str]]:
    return [(suite.name, setting) for setting in suite.mismatch]


SKEWED = [place for suite in (METAWORLD, KITCHEN) for place in _skewed(suite)]
EVEN = [(suite.name, suite.even[0]) for suite in (METAWORLD, KITCHEN)]
# The kitchen was compared in one direction where a method has many rivals.
SKEWED_ONCE = [*_skewed(METAWORLD), _skewed(KITCHEN)[0]]
ABLATED = [*_skewed(METAWORLD), ORDERED[0], ORDERED[5]]

_no_worse = functools.partial(above, bound=-MARGIN)


class Claim(NamedTuple):
    """A claim of the paper.

    Attributes:
      title: the claim in one sentence.
      findings: the evidence for and against it.
    """

    title: str
    findings: Callable[[Evidence], Iterator[Finding]]


def verdicts(findings: Iterable[Finding]) -> dict[str, Verdict]:
    """The verdict on a claim by suite: that on all findings there which have one."""
    judged: dict[str, list[Verdict]] = {}
    for found in findings:
        if found.verdict is not None:
            judged.setdefault(found.suite, []).append(found.verdict)
    return {suite: all_of(given) for suite, given in judged.items()}


def gp_gain_grows_with_mismatch(evidence: Evidence) -> Iterator[Finding]:
    """AMF against uniform choice on the integrator, in return per round.

    The setting k is the number of the 12 tasks that pre-training shows: the smaller,
    the stronger the mismatch. The gain grows with the mismatch if its rank correlation
    with k over the 12 settings (Spearman) is below 0.
    """
    yield compared(evidence, ORDERED[0], "AMF > uniform", "amf", "uniform", above)
    gains = []
    for place in ORDERED:
        both = of_both(evidence, place, "amf", "uniform")
        if both is not None:
            gains.append(both[0] - both[1])
    summary = None
    if len(gains) == len(ORDERED):
        seeds = min(map(len, gains))  # runs of different settings are no pairs
        ordered = np.stack([gain[:seeds] for gain in gains], axis=1)
        summary = statistics.rank_correlation(ordered, range(1, len(gains) + 1))
    yield Finding(
        "correlation of the gain with k < 0",
        INTEGRATOR.name,
        "1 to 12",
        summary,
        below(summary),
    )
    for place in ORDERED[1:]:
        yield compared(evidence, place, "AMF - uniform", "amf", "uniform", None)


def _gain_and_parity(evidence: Evidence, method: str) -> Iterator[Finding]:
    baseline, name = "uniform_adaptive_prior", style.method_name(method)
    for place in SKEWED:
        statement = f"{name} > uniform + adaptive prior"
        yield compared(evidence, place, statement, method, baseline, above)
    for place in EVEN:
        statement = f"{name} = uniform + adaptive prior"
        yield compared(evidence, place, statement, method, baseline, within)


def nn_gain_under_mismatch(evidence: Evidence) -> Iterator[Finding]:
    """AMF against uniform choice, both with the adaptive prior.

    `amf` is this library's form of the rule: self-normalised weights, embeddings of the
    frozen policy, a posterior conditioned on what was collected.
    """
    yield from _gain_and_parity(evidence, "amf")


def nn_gain_of_the_literal_rule(evidence: Evidence) -> Iterator[Finding]:
    """The same for the rule to the letter of the paper.

    `amf_paper`: plain weights, embeddings of a validation copy of the policy, no
    conditioning on what was collected. Each of the three alone is shown, not judged.
    """
    yield from _gain_and_parity(evidence, "amf_paper")
    parts = {
        "amf_plain": "plain weights",
        "amf_validation_copy": "embeddings of a validation copy",
        "amf_no_history": "no conditioning",
    }
    for place in _skewed(METAWORLD):
        for method, part in parts.items():
            statement = f"AMF with {part} - AMF"
            yield compared(evidence, place, statement, method, "amf", None)


def finds_what_is_missing(evidence: Evidence) -> Iterator[Finding]:
    """Share of active choices that go to the tasks without pre-training.

    Chance is their share of the tasks. Both directions count: a rule that prefers hard
    tasks looks right in one of them.
    """
    for place in SKEWED:
        counts = place[1].split("-")
        chance = counts.count("0") / len(counts)
        yield measured(
            evidence,
            place,
            f"AMF: share > {chance:.1f}",
            "amf",
            functools.partial(above, bound=chance),
            share_of_missing,
        )
    others = (
        "amf_paper",
        "amf_validation_copy",
        "amf_no_history",
        "prior_entropy",
        "last_layer",
        "dropout",
    )
    for place in SKEWED:
        for method in others:
            if method in evidence.get(place, {}):
                name = f"{style.method_name(method)}: share"
                yield measured(evidence, place, name, method, None, share_of_missing)


def prior_prevents_forgetting(evidence: Evidence) -> Iterator[Finding]:
    """Success on the tasks of pre-training, last round minus round 0.

    The adaptive prior prevents forgetting if that change is no loss (beyond the
    margin); others do not prevent it where the change is larger with the adaptive prior
    than with them. All choose by AMF. A penalty strong enough to hold the policy where
    it was keeps its skills and learns no others, and an adaptive prior that mixes the
    pre-trained actions back in improves no skill: the differences in area show both.
    """
    others = ("amf_no_prior", "amf_l2", "amf_l2_strong", "amf_ewc", "amf_ewc_strong")
    for place in SKEWED_ONCE:
        statement = "adaptive prior: change, no loss"
        yield measured(evidence, place, statement, "amf", _no_worse, retained)
        for other in others:
            name = style.method_name(other)
            statement = f"change: adaptive prior > {name}"
            yield compared(evidence, place, statement, "amf", other, above, retained)
    for place in (*SKEWED_ONCE, *EVEN):
        for other in others:
            statement = f"area: adaptive prior - {style.method_name(other)}"
            yield compared(evidence, place, statement, "amf", other, None)


def gradients_beat_features_beat_dropout(evidence: Evidence) -> Iterator[Finding]:
    """Area under the success curve; "no worse" allows the margin.

    The loss gradient (with respect to the last layer) is that of `amf`, the feature of
    the last layer replaces it in `last_layer`, and `dropout` asks for the task of
    largest predictive variance.
    """
    links = (
        ("loss gradient", "amf", "last layer", "last_layer"),
        ("last layer", "last_layer", "dropout", "dropout"),
    )
    for place in SKEWED_ONCE:
        for better, first, worse, second in links:
            statement = f"{better} no worse than {worse}"
            yield compared(evidence, place, statement, first, second, _no_worse)


def matches_privileged_rebalancing(evidence: Evidence) -> Iterator[Finding]:
    """Area under the success curve.

    Rebalancing is told how many demonstrations of each task pre-training had and asks
    for the rarest; AMF has to infer that.
    """
    for place in SKEWED:
        statement = "AMF = rebalancing"
        yield compared(evidence, place, statement, "amf", "rebalancing", within)


def _ablation(evidence: Evidence, statement: str, other: str) -> Iterator[Finding]:
    for place in ABLATED:
        yield compared(evidence, place, statement, "amf", other, above)


def look_ahead_matters(evidence: Evidence) -> Iterator[Finding]:
    """An ablation, not in the paper: the criterion.

    Area under the curve of choosing by the uncertainty expected after a demonstration
    (AMF), minus choosing by the uncertainty before it (prior entropy).
    """
    yield from _ablation(evidence, "AMF > prior entropy", "prior_entropy")


def weights_matter(evidence: Evidence) -> Iterator[Finding]:
    """An ablation, not in the paper: the importance weights.

    Area under the curve with self-normalised weights, minus that without weights and
    that with the paper's plain estimator.
    """
    yield from _ablation(evidence, "AMF > AMF without weights", "amf_unweighted")
    yield from _ablation(evidence, "AMF > AMF, plain weights", "amf_plain")


CLAIMS = (
    Claim(
        "AMF-GP learns faster than uniform choice, the more so the stronger the"
        " mismatch",
        gp_gain_grows_with_mismatch,
    ),
    Claim(
        "AMF-NN learns faster than uniform choice under mismatch and as fast without",
        nn_gain_under_mismatch,
    ),
    Claim(
        "So does the rule to the letter of the paper",
        nn_gain_of_the_literal_rule,
    ),
    Claim(
        "AMF asks for what pre-training lacked, whichever tasks these are",
        finds_what_is_missing,
    ),
    Claim(
        "The adaptive prior prevents forgetting where L2 and EWC do not",
        prior_prevents_forgetting,
    ),
    Claim(
        "Loss gradients are no worse than last-layer features, these no worse than"
        " dropout",
        gradients_beat_features_beat_dropout,
    ),
    Claim(
        "AMF is as good as rebalancing that knows the pre-training counts",
        matches_privileged_rebalancing,
    ),
    Claim(
        "Looking ahead beats asking for the most uncertain task",
        look_ahead_matters,
    ),
    Claim(
        "Importance weights help, and self-normalised ones help more than plain ones",
        weights_matter,
    ),
)
