import jax
import jax.numpy as jnp
import numpy as np
import pytest

from amf_jax import errors, ranges
from amf_jax.dtypes import compute_dtype

INSIDE = [
    (ranges.COUNT, 1),
    (ranges.COUNT, np.int64(7)),
    (ranges.COUNT, jnp.int32(7)),
    (ranges.COUNT_OR_NONE, 0),
    (ranges.POSITIVE, 1e-9),
    (ranges.POSITIVE, np.float32(2)),
    (ranges.POSITIVE, 3),
    (ranges.NOT_NEGATIVE, 0.0),
    (ranges.SHARE, 1),
    (ranges.PROPER_SHARE, 0),
    (ranges.SEED, 2**32 - 1),
]
OUTSIDE = [
    (ranges.COUNT, 0),
    (ranges.COUNT, 1.0),
    (ranges.COUNT, True),
    (ranges.COUNT, 2**31),
    (ranges.COUNT, "3"),
    (ranges.COUNT, None),
    (ranges.COUNT_OR_NONE, -1),
    (ranges.POSITIVE, 0),
    (ranges.POSITIVE, np.inf),
    (ranges.POSITIVE, np.nan),
    (ranges.POSITIVE, jnp.float32(jnp.nan)),
    (ranges.POSITIVE, np.ones(2)),
    (ranges.POSITIVE, True),
    (ranges.NOT_NEGATIVE, -1e-30),
    (ranges.SHARE, 1.1),
    (ranges.PROPER_SHARE, 1),
    (ranges.SEED, 2**32),
    (ranges.SEED, -1),
]


@pytest.mark.parametrize("allowed, value", INSIDE)
def test_numbers_inside_are_let_through(allowed, value):
    ranges.check("x", value, allowed)


@pytest.mark.parametrize("allowed, value", OUTSIDE)
def test_others_are_refused_with_the_argument_its_range_and_the_value(allowed, value):
    with pytest.raises(errors.InvalidArgumentError) as error:
        ranges.check("rate", value, allowed)
    too_large = (allowed, str(value)) == (ranges.COUNT, "2147483648")
    limit = " and below 2147483648" if too_large else ""
    assert str(error.value) == f"rate must be {allowed.words}{limit}, got {value!r}"


def test_none_is_let_through_where_it_is_an_option():
    ranges.check("x", None, ranges.COUNT, optional=True)
    with pytest.raises(errors.InvalidArgumentError, match="or None"):
        ranges.check("x", 0, ranges.COUNT, optional=True)


def test_a_traced_number_has_no_value_to_refuse():
    def scaled(x):
        ranges.check("x", x, ranges.POSITIVE)
        return 2 * x

    assert jax.jit(scaled)(-1.0) == -2.0


@pytest.mark.parametrize("value", [(-12.0, 0.0), [-1, 1], (-np.inf, 0), None])
def test_bounds_in_order_are_let_through(value):
    ranges.check_interval("clip", value)


@pytest.mark.parametrize(
    "value",
    [(0, -12), (1, 1), "ab", (1, 2, 3), (1,), 5, (np.nan, 1), (0, "b"), (False, True)],
)
def test_other_bounds_are_refused(value):
    with pytest.raises(errors.InvalidArgumentError, match="^clip must be two numbers"):
        ranges.check_interval("clip", value)


def test_the_floating_type_is_the_widest_and_at_least_single():
    assert compute_dtype(np.eye(2, dtype=int), np.zeros(2, np.uint8)) == jnp.float32
    assert compute_dtype(jnp.zeros(2, jnp.bfloat16)) == jnp.float32
    assert compute_dtype(np.zeros(2, np.float16), {"w": np.zeros(1)}) == jnp.float32
    with jax.enable_x64(True):
        assert compute_dtype(jnp.zeros(2, jnp.float32), np.zeros(1)) == jnp.float64


@pytest.mark.parametrize("value", [1e39, 1e-50, 1e-39, 10**400])
def test_a_real_number_is_in_its_range_as_float32_too(value):
    with pytest.raises(errors.InvalidArgumentError, match="positive and finite, got"):
        ranges.check("signal", value, ranges.POSITIVE)


def test_a_share_that_rounds_to_one_is_none_below_it():
    ranges.check("share", 1 - 2.0**-24, ranges.PROPER_SHARE)
    with pytest.raises(errors.InvalidArgumentError, match="below 1"):
        ranges.check("share", 1 - 2.0**-30, ranges.PROPER_SHARE)


@pytest.mark.parametrize("value", [(1e-50, 1e-49), (0.0, 1e-46), (1e39, 1e40)])
def test_bounds_that_are_one_number_in_float32_are_refused(value):
    with pytest.raises(errors.InvalidArgumentError, match="^clip must be two numbers"):
        ranges.check_interval("clip", value)


@pytest.mark.parametrize("value", ["false", "no", None, np.nan, 1, np.ones(2), [True]])
def test_what_is_no_boolean_is_no_flag(value):
    with pytest.raises(errors.InvalidArgumentError, match="^flag must be True or Fals"):
        ranges.check_flag("flag", value)
    for flag in (True, np.False_):
        ranges.check_flag("flag", flag)


@pytest.mark.parametrize("name", [None, 1, [1], {}, np.ones(3), ("a", "b"), "uniforn"])
@pytest.mark.parametrize("known", [{"uniform": 0, "amf": 1}, ("uniform", "amf")])
def test_whatever_is_no_name_is_an_unknown_one(name, known):
    with pytest.raises(errors.UnknownNameError, match=r"unknown rule .* amf, uniform"):
        errors.check_name("rule", name, known)
    errors.check_name("rule", "amf", known)
