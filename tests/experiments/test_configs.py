"""Configs: every string that is documented parses, every mistake is named."""

import pytest
from absl import flags

from amf_jax import errors
from experiments.configs import arguments, loading
from experiments.suites.registry import SUITES

SPECS = [f"{s.name}:{setting}" for s in SUITES.values() for setting in s.settings]
COMMON = {
    "suite",
    "setting",
    "method",
    "seed",
    "rounds",
    "preset",
    "results_dir",
    "task_names",
    "attempts",
    "demos_per_round",
    "batch",
    "warm_start_rounds",
    "checkpoint_every",
}


@pytest.mark.parametrize("preset", [None, "fast", "paper"])
@pytest.mark.parametrize("spec", SPECS)
def test_every_setting_parses_at_every_preset(spec, preset):
    config = loading.load(spec if preset is None else f"{spec},{preset}")
    assert set(config.keys()) >= COMMON
    assert f"{config.suite}:{config.setting}" == spec
    assert config.preset == (preset or "fast")
    assert config.method == "amf"
    assert config.is_locked


def test_settings_set_what_pretraining_shows():
    assert loading.load("integrator:7").demonstrated_tasks == 7
    assert loading.load("metaworld:0-8-8-0").allocation == (0, 8, 8, 0)
    assert loading.load("metaworld:1-2-3-10").allocation == (1, 2, 3, 10)


def test_the_warm_start_is_one_round_on_the_integrator_and_one_per_task_elsewhere():
    assert loading.load("integrator:6").warm_start_rounds == 1
    assert loading.load("metaworld:8-8-0-0").warm_start_rounds == 4


def test_the_paper_preset_of_metaworld_has_the_budgets_of_appendix_m():
    config = loading.load("metaworld:8-8-0-0,paper")
    assert config.training.finetuning_steps == 3000
    assert config.training.batch_size == 256
    assert config.training.learning_rate == 1e-4
    assert config.training.schedule == "constant"
    # 200 epochs of 16 demonstrations of 50 steps, 4 batches of at most 256 each
    assert config.training.pretraining_steps == 200 * 4
    assert config.forgetting.learning_rate == 1.0
    assert config.forgetting.conservatism == 0.01
    assert (config.rounds, config.demos_per_round, config.attempts) == (20, 1, 50)
    smaller = loading.load("metaworld:2-2-2-2,paper")
    assert smaller.training.pretraining_steps == 200 * 2  # 400 steps are two batches


def test_the_paper_preset_of_the_integrator_sums_over_all_demonstrations():
    paper, fast = loading.load("integrator:6,paper"), loading.load("integrator:6")
    assert paper.selection.trajectory_samples is None
    assert fast.selection.trajectory_samples == 8
    for config in (paper, fast):
        assert config.rounds == 40
        assert config.selection.criterion == "entropy"
        assert config.selection.likelihood_clip == (-12.0, 0.0)
        assert config.selection.shooting_budget == 100


@pytest.mark.parametrize(
    ("spec", "error", "message"),
    [
        ("integrator:13", errors.UnknownNameError, "integrator setting '13'"),
        ("integrator:0", errors.UnknownNameError, "Did you mean '10'"),
        ("integrator:6,papr", errors.UnknownNameError, "Did you mean 'paper'"),
        ("metaworld:8-8-0-0,quick", errors.UnknownNameError, "option 'quick'"),
        ("metaworld:8_8_0_0", errors.UnknownNameError, "Did you mean '8-8-0-0'"),
        ("metaworld:8-8-0", errors.InvalidArgumentError, "4 numbers"),
        ("metaworld:0-0-0-0", errors.InvalidArgumentError, "not all 0"),
        ("metaworld:", errors.InvalidArgumentError, "names no setting"),
        ("metaworld", errors.InvalidArgumentError, "names no setting"),
        ("metaworld:,paper", errors.InvalidArgumentError, "--config=metaworld:8-8-0-0"),
        ("metawrld:8-8-0-0", errors.UnknownNameError, "Did you mean 'metaworld'"),
        ("reach:8-0", errors.UnknownNameError, "plugin has: --config=<path>.py"),
    ],
)
def test_unknown_strings_are_refused_with_the_nearest_one(spec, error, message):
    with pytest.raises(error, match=message):
        loading.load(spec)


@pytest.mark.parametrize(
    ("field", "value", "error", "message"),
    [
        ("metod", "amf", errors.UnknownNameError, "Did you mean 'method'"),
        (
            "training.batchsize",
            1,
            errors.UnknownNameError,
            "Did you mean 'training.batch_size'",
        ),
        ("rounds", "many", errors.InvalidArgumentError, "'rounds' cannot be 'many'"),
    ],
)
def test_unknown_fields_and_wrong_types_are_refused(field, value, error, message):
    with pytest.raises(error, match=message):
        loading.load("metaworld:8-8-0-0", {field: value})


@pytest.mark.parametrize(
    ("spec", "field", "value"),
    [
        ("metaworld:8-8-0-0", "allocation", (0, 0, 8, 8)),
        ("metaworld:8-8-0-0", "task_names", ("a", "b", "c", "d")),
        ("metaworld:8-8-0-0", "setting", "0-0-8-8"),
        ("integrator:6", "demonstrated_tasks", 7),
        ("integrator:6", "preset", "paper"),
    ],
)
def test_what_goes_with_the_setting_cannot_be_overridden(spec, field, value):
    with pytest.raises(errors.InvalidArgumentError, match=f"{field} cannot be overr"):
        loading.load(spec, {field: value})


def test_the_setting_may_be_repeated():
    overrides = {"allocation": (8, 8, 0, 0), "suite": "metaworld"}
    assert loading.load("metaworld:8-8-0-0", overrides).allocation == (8, 8, 0, 0)


def test_what_goes_with_the_setting_cannot_be_overridden_on_a_command_line():
    argv = ["run", "--config=metaworld:8-8-0-0", "--config.allocation=(0, 0, 8, 8)"]
    with pytest.raises(errors.InvalidArgumentError, match="allocation cannot be over"):
        arguments.parse(argv, flags.FlagValues(), "run")


def test_what_the_method_decides_can_be_overridden():
    overrides = {
        "selection.weights": "off",
        "selection.condition_on_history": False,
        "selection.embedding_policy": "validation_copy",
        "selection.trajectory_samples": 4,
    }
    config = loading.load("metaworld:8-8-0-0", overrides)
    assert config.selection.weights == "off"
    assert config.selection.condition_on_history is False
    assert config.selection.embedding_policy == "validation_copy"
    assert config.selection.trajectory_samples == 4
