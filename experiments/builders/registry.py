"""The registry of policies: one line each, with what builds runs of it."""

from ml_collections import ConfigDict

from experiments.builders import gaussian_process as gp
from experiments.builders import neural
from experiments.builders.base import Builder
from experiments.builders.gaussian_process_program import PROGRAM
from experiments.suites.registry import SUITES

#: By the name in `policy.name`.
POLICIES: dict[str, Builder] = {
    "mlp": neural.builder(neural.mlp_policy, neural.MLP),
    "gaussian_process": Builder(gp.check, gp.build, gp.FIELDS, program=PROGRAM),
}


def policy_name(config: ConfigDict) -> str:
    """The policy of a config of a known suite: what it names, or the suite's own."""
    section = config.get("policy")
    named = section.get("name") if isinstance(section, ConfigDict) else None
    return named or SUITES[config.suite].policy


def choose(config: ConfigDict, name: str) -> None:
    """Gives a config of a known suite another policy, at its defaults."""
    if name != policy_name(config):
        with config.unlocked():
            config.policy = ConfigDict({"name": name, **POLICIES[name].section})


def of(config: ConfigDict) -> Builder:
    """What builds the run of a config of a known suite and policy."""
    return POLICIES[policy_name(config)]
