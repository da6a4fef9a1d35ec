"""Every field of every config: what it means, and what it may be.

The tables that `build.check` refuses by, and that `--help` prints. Fields of one suite
or one policy alone are in its descriptor and its builder.
"""

from collections.abc import Mapping
from typing import Any

from ml_collections import ConfigDict

from amf_jax import criteria, embeddings, errors, files, importance, ranges
from amf_jax.learners import EMBEDDING_POLICIES
from amf_jax.ranges import COUNT, COUNT_OR_NONE, NOT_NEGATIVE, POSITIVE, SHARE, Range
from experiments.builders.registry import POLICIES, policy_name
from experiments.configs import common, field
from experiments.configs.field import Field
from experiments.suites.registry import SUITES

#: Of what is counted and stays in memory at the same time.
_MOST = 100_000


def _check_path(name: str, value: Any) -> None:
    if not isinstance(value, str):
        raise errors.InvalidArgumentError(f"{name} must be a path, got {value!r}")
    files.local_path(name, value)


def _up_to(least: int, most: int) -> Range:
    words = f"a whole number from {least} to {most}"
    return Range(words, lambda value: least <= value <= most, whole=True)


_PAIRS = ranges.at_least(2)

_OF_SETTING = {
    "suite": field.other("the environment", str, "as in --config=<suite>:"),
    "setting": field.other("what pre-training shows", str, "as in --config=<suite>:…"),
    "preset": field.name("budgets: of minutes, or the paper's", common.PRESETS),
    "task_names": field.other("evaluation tasks", tuple, "as the suite has them"),
    "allocation": field.other(
        "pre-training demonstrations per task", tuple, "as in the setting"
    ),
}

_RUN = {
    "method": field.other(
        "how tasks are chosen", str, "one of the methods, see --help"
    ),
    "seed": field.number("of every random decision", ranges.SEED),
    "threads": field.number("threads of XLA and BLAS", _up_to(1, 1024)),
    "results_dir": Field(
        "folder of result files", lambda: "a path on this machine", _check_path
    ),
    "rounds": field.number("rounds, round 0 aside", _up_to(1, _MOST)),
    "batch": field.number("tasks chosen per round", _up_to(1, _MOST)),
    "demos_per_round": field.number("demonstrations per chosen task", _up_to(1, _MOST)),
    "attempts": field.number(
        "evaluation episodes per task and round; 0: none", _up_to(0, _MOST)
    ),
    "warm_start_rounds": field.number(
        "rounds before active choice begins", COUNT_OR_NONE
    ),
    "checkpoint_every": field.number("rounds from one checkpoint to the next", COUNT),
}

_SELECTION = {
    "weights": field.name(
        "importance weights; None: the method's", importance.MODES, optional=True
    ),
    "criterion": field.name(
        "uncertainty that a demonstration would leave; None: the method's",
        criteria.CRITERIA,
        optional=True,
    ),
    "embedding": field.name(
        "points of the kernel; None: the method's",
        embeddings.EMBEDDINGS,
        optional=True,
    ),
    "embedding_policy": field.name(
        "parameters they are taken at; None: the method's",
        EMBEDDING_POLICIES,
        optional=True,
    ),
    "condition_on_history": field.other(
        "posterior given earlier demonstrations; None: the method's",
        bool,
        "true or false",
        optional=True,
    ),
    "likelihood_clip": Field(
        "bounds of a step's log-likelihood, nats",
        lambda: "two numbers, the lower one first, or None",
        ranges.check_interval,
    ),
    "trajectory_samples": field.number(
        "demonstrations in the criterion's sums; None: all", COUNT, optional=True
    ),
    "weight_tolerance": field.number(
        "smaller importance weights count as 0", NOT_NEGATIVE
    ),
    "noise_variance": field.number("σ² of the kernel's observations", POSITIVE),
    "normalise_kernel": field.other(
        "prior variance 1 on average over the points", bool, "true or false"
    ),
    "likelihood_std": field.number(
        "deviation of the policy's actions, in action units", POSITIVE
    ),
    "dropout_rate": field.number("of the embedding dropout", ranges.OPEN_SHARE),
    "dropout_passes": field.number("of the embedding dropout", _PAIRS),
    "projection_rank": field.number("numbers per projected gradient", COUNT),
    "exploration": field.number("share of uniform choices of learning_progress", SHARE),
}

#: Fields of a run's config that are no suite's or policy's own, nested ones as
#: `outer.inner`.
RUN: Mapping[str, Field] = {
    **{name: one._replace(by_setting=True) for name, one in _OF_SETTING.items()},
    **_RUN,
    **field.within("selection", _SELECTION),
    "policy.name": field.name("None: the suite's", POLICIES, optional=True),
}

#: Fields of a sweep's config.
SWEEP: Mapping[str, Field] = {
    "name": field.other("of the sweep", str, "as in --config"),
    "settings": field.texts("what to run", "<suite>:<setting>[,preset], …"),
    "methods": field.texts("run in every setting", "methods, see run --help"),
    "includes": field.texts("further sweeps, with the same seeds", "sweeps, below"),
    "seeds": field.number("how many, from 0 on", _up_to(1, _MOST)),
    "preset": _OF_SETTING["preset"],
    "rounds": field.number(
        "of every run; None: as its suite says", _up_to(1, _MOST), optional=True
    ),
    "overrides": field.other(
        "further fields of every run: --config.overrides.<field>=…", ConfigDict, "any"
    ),
    "results_dir": _RUN["results_dir"],
    "figures": field.texts("drawn at the end", "figures"),
    "workers": field.number("runs at a time; 0: as the cores allow", _up_to(0, _MOST)),
}


def of(config: ConfigDict) -> Mapping[str, Field]:
    """The fields that a run's config may have: those of its suite and policy, too."""
    if config.get("suite") not in SUITES:
        return RUN
    policy = POLICIES.get(policy_name(config))
    return {
        **RUN,
        **SUITES[config.suite].fields,
        **(policy.fields if policy else {}),
    }


def of_setting(config: ConfigDict) -> dict[str, Any]:
    """The values of a run's fields that go with its setting."""
    known = of(config)
    names = [name for name in config if name in known and known[name].by_setting]
    return {name: config[name] for name in names}


def flat(config: ConfigDict, prefix: str = "") -> dict[str, Any]:
    """Values by field, nested ones as `outer.inner`; `overrides` is a value."""
    values: dict[str, Any] = {}
    for name, value in config.items():
        if isinstance(value, ConfigDict) and prefix + name != "overrides":
            values |= flat(value, f"{prefix}{name}.")
        else:
            values[prefix + name] = value
    return values


def check(config: ConfigDict, fields: Mapping[str, Field]) -> None:
    """Refuses values that a field cannot have; fields without a line are let through.

    Raises:
      InvalidArgumentError: naming the field, what was given and what it may be; also
        for a section that is no section any more.
      UnknownNameError: for a name that does not exist; names the nearest one.
    """
    for name, value in flat(config).items():
        if name in fields:
            fields[name].check(name, value)
        elif within := [other for other in fields if other.startswith(f"{name}.")]:
            raise errors.InvalidArgumentError(
                f"{name} must be a section of fields such as {within[0]}, got {value!r}"
            )
