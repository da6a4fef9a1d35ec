"""The registry of policies: one line each, with what builds runs of it."""

from ml_collections import ConfigDict

from experiments.builders import gaussian_process as gp
from experiments.builders import neural
from experiments.builders.base import Builder
from experiments.builders.gaussian_process_program import PROGRAM
from experiments.suites.registry import SUITES

#: By the name in `policy.name`.
POLICIES: dict[str, Builder] = {
    "mlp": neural.builder(neural.mlp_policy),
    "gaussian_process": Builder(gp.check, gp.build, gp.FIELDS, PROGRAM),
}


def policy_name(config: ConfigDict) -> str:
    """The policy of a config of a known suite: what it names, or the suite's own."""
    section = config.get("policy")
    named = section.get("name") if isinstance(section, ConfigDict) else None
    return named or SUITES[config.suite].policy


def of(config: ConfigDict) -> Builder:
    """What builds the run of a config of a known suite and policy."""
    return POLICIES[policy_name(config)]
