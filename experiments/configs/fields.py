"""Every field of every config: what it means, and what it may be.

The one table that `build.check` refuses by, and that `--help` prints.
"""

from collections.abc import Callable, Collection, Mapping
from typing import Any, NamedTuple

from ml_collections import ConfigDict

from amf_jax import candidates, criteria, embeddings, errors, files, importance, ranges
from amf_jax.learners import EMBEDDING_POLICIES
from amf_jax.ranges import COUNT, COUNT_OR_NONE, NOT_NEGATIVE, POSITIVE, SHARE, Range
from experiments.builders import neural
from experiments.builders.forgetting import FORGETTING
from experiments.configs import common

#: Of what is counted and stays in memory at the same time.
_MOST = 100_000


class Field(NamedTuple):
    """A field of a config.

    Attributes:
      about: what it means, with its unit, in a few words.
      words: says what it may be; called late, since plugins add names.
      check: `(name, value)`: raises where it is something else.
    """

    about: str
    words: Callable[[], str]
    check: Callable[[str, Any], object]


def _number(about: str, allowed: Range, *, optional: bool = False) -> Field:
    words = f"{allowed.words}{' or None' if optional else ''}"

    def check(name: str, value: Any) -> None:
        ranges.check(name, value, allowed, optional=optional)

    return Field(about, lambda: words, check)


def _name(about: str, known: Collection[str], *, optional: bool = False) -> Field:
    def words() -> str:
        return f"one of {', '.join(known)}{' or None' if optional else ''}"

    def check(name: str, value: Any) -> None:
        if value is None and optional:
            return
        if not isinstance(value, str):
            raise errors.InvalidArgumentError(f"{name} must be {words()}, got {value}")
        if value not in known:
            raise errors.UnknownNameError(name, value, known)

    return Field(about, words, check)


def _other(about: str, kind: type, words: str, *, optional: bool = False) -> Field:
    """A value that only its type restricts."""
    words += " or None" if optional else ""

    def check(name: str, value: Any) -> None:
        if not (isinstance(value, kind) or (optional and value is None)):
            raise errors.InvalidArgumentError(f"{name} must be {words}, got {value!r}")

    return Field(about, lambda: words, check)


def _texts(about: str, words: str) -> Field:
    """A tuple of strings."""

    def check(name: str, value: Any) -> None:
        if not isinstance(value, tuple) or not all(isinstance(v, str) for v in value):
            raise errors.InvalidArgumentError(f"{name} must be {words}, got {value!r}")

    return Field(about, lambda: words, check)


def _check_path(name: str, value: Any) -> None:
    if not isinstance(value, str):
        raise errors.InvalidArgumentError(f"{name} must be a path, got {value!r}")
    files.local_path(name, value)


def _up_to(least: int, most: int) -> Range:
    words = f"a whole number from {least} to {most}"
    return Range(words, lambda value: least <= value <= most, whole=True)


_PAIRS = ranges.at_least(2)

_RUN = {
    "suite": _other("the environment", str, "as in --config=<suite>.py"),
    "setting": _other("what pre-training shows", str, "as behind --config=<file>.py:"),
    "preset": _name("budgets: of minutes, or the paper's", common.PRESETS),
    "method": _other("how tasks are chosen", str, "one of the methods, see --help"),
    "seed": _number("of every random decision", ranges.SEED),
    "threads": _number("threads of XLA and BLAS", _up_to(1, 1024)),
    "results_dir": Field(
        "folder of result files", lambda: "a path on this machine", _check_path
    ),
    "rounds": _number("rounds, round 0 aside", _up_to(1, _MOST)),
    "batch": _number("tasks chosen per round", _up_to(1, _MOST)),
    "demos_per_round": _number("demonstrations per chosen task", _up_to(1, _MOST)),
    "attempts": _number(
        "evaluation episodes per task and round; 0: none", _up_to(0, _MOST)
    ),
    "warm_start_rounds": _number("rounds before active choice begins", COUNT_OR_NONE),
    "checkpoint_every": _number("rounds from one checkpoint to the next", COUNT),
    "task_names": _other("evaluation tasks", tuple, "as the suite has them"),
    "allocation": _other(
        "pre-training demonstrations per task", tuple, "as in the setting"
    ),
    "demonstrated_tasks": _number("evaluation tasks that pre-training shows", COUNT),
    "physics": _name("of the simulator, see docs/environments.md", ("fast", "stock")),
}

_SELECTION = {
    "weights": _name(
        "importance weights; None: the method's", importance.MODES, optional=True
    ),
    "criterion": _name(
        "uncertainty that a demonstration would leave; None: the method's",
        criteria.CRITERIA,
        optional=True,
    ),
    "embedding": _name(
        "points of the kernel; None: the method's",
        embeddings.EMBEDDINGS,
        optional=True,
    ),
    "embedding_policy": _name(
        "parameters they are taken at; None: the method's",
        EMBEDDING_POLICIES,
        optional=True,
    ),
    "condition_on_history": _other(
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
    "trajectory_samples": _number(
        "demonstrations in the criterion's sums; None: all", COUNT, optional=True
    ),
    "weight_tolerance": _number("smaller importance weights count as 0", NOT_NEGATIVE),
    "noise_variance": _number("σ² of the kernel's observations", POSITIVE),
    "normalise_kernel": _other(
        "prior variance 1 on average over the points", bool, "true or false"
    ),
    "likelihood_std": _number(
        "deviation of the policy's actions, in action units", POSITIVE
    ),
    "dropout_rate": _number("of the embedding dropout", ranges.OPEN_SHARE),
    "dropout_passes": _number("of the embedding dropout", _PAIRS),
    "projection_rank": _number("numbers per projected gradient", COUNT),
    "exploration": _number("share of uniform choices of learning_progress", SHARE),
    "shooting_budget": _number("criterion values per selection", COUNT),
}

_SEARCH = {
    "name": _name(
        "how the best task is searched; None: random_shooting",
        candidates.OPTIMISERS,
        optional=True,
    ),
    "refined": _number("candidates that climb", COUNT, optional=True),
    "steps": _number("of each climb", COUNT, optional=True),
    "learning_rate": _number("first step, share of the space", POSITIVE, optional=True),
    "generations": _number("of cross_entropy", _PAIRS, optional=True),
    "elite_share": _number("of a generation", ranges.SHARE_OF_SOME, optional=True),
    "least_deviation": _number("share of the space", NOT_NEGATIVE, optional=True),
}

_POLICY = {
    "state_lengthscale": _number("of the kernel, in units of states", POSITIVE),
    "task_lengthscale": _number("of the kernel, in units of tasks", POSITIVE),
    "signal": _number("prior deviation of an action", POSITIVE),
    "noise": _number("deviation of a demonstrated action", POSITIVE),
}

_TRAINING = {
    "batch_size": _number("steps of demonstrations per gradient step", COUNT),
    "weight_decay": _number("of AdamW", NOT_NEGATIVE),
    "schedule": _name("of the learning rate", neural.SCHEDULES),
    "learning_rate": _number("of AdamW, at its highest", POSITIVE),
    "pretraining_steps": _number("gradient steps", COUNT_OR_NONE),
    "finetuning_steps": _number("gradient steps per round", COUNT_OR_NONE),
}

_FORGETTING = {
    "method": _name("None: the method's", FORGETTING, optional=True),
    "conservatism": _number("β of the adaptive prior", NOT_NEGATIVE),
    "learning_rate": _number("of the mixing weights", POSITIVE),
    "steps": _number("of the mixing weights per round", COUNT_OR_NONE),
    "strength": _number(
        "of l2 or ewc; None: the method's", NOT_NEGATIVE, optional=True
    ),
    "fisher_samples": _number("steps that ewc estimates with", COUNT),
}


def _within(section: str, fields: Mapping[str, Field]) -> dict[str, Field]:
    return {f"{section}.{name}": field for name, field in fields.items()}


#: Fields of a run's config, nested ones as `outer.inner`.
RUN: Mapping[str, Field] = {
    **_RUN,
    **_within("selection", _SELECTION),
    **_within("selection.search", _SEARCH),
    **_within("policy", _POLICY),
    **_within("training", _TRAINING),
    **_within("forgetting", _FORGETTING),
}

#: Fields of a sweep's config.
SWEEP: Mapping[str, Field] = {
    "name": _other("of the sweep", str, "as in --config"),
    "settings": _texts("what to run", "<suite>:<setting>[,preset], …"),
    "methods": _texts("run in every setting", "methods, see run --help"),
    "includes": _texts("further sweeps, with the same seeds", "sweeps, below"),
    "seeds": _number("how many, from 0 on", _up_to(1, _MOST)),
    "preset": _RUN["preset"],
    "rounds": _number(
        "of every run; None: as its suite says", _up_to(1, _MOST), optional=True
    ),
    "overrides": _other(
        "further fields of every run: --config.overrides.<field>=…", ConfigDict, "any"
    ),
    "results_dir": _RUN["results_dir"],
    "figures": _texts("drawn at the end", "figures"),
    "workers": _number("runs at a time; 0: as the cores allow", _up_to(0, _MOST)),
}


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
        elif within := [field for field in fields if field.startswith(f"{name}.")]:
            raise errors.InvalidArgumentError(
                f"{name} must be a section of fields such as {within[0]}, got {value!r}"
            )
