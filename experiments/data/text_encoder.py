"""A tiny text encoder and its training: a word table and one attention layer, learned by matching captions to images.

Trained from nothing in a second wherever it is needed, on the CPU, the same for the same words and images. Which
captions there are is the dataset's business.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from numpy.typing import NDArray

from dit_grid.experiments.data.captions import Captions
from dit_grid.experiments.data.dataset import DataError, batch_positions

WIDTH = 32
STEPS = 200
BATCH = 128
LEARNING_RATE = 1e-2
SEED = 0
"""Settings of the encoder and its training, all of them part of `SETTINGS`."""

GRAIN = 2.0**-8
"""Embeddings are rounded to multiples of it: their last bits depend on the machine, and must not reach a run."""

SETTINGS = f"clip {WIDTH} {STEPS} {BATCH} {LEARNING_RATE} {SEED} {GRAIN}"


class Encoder(NamedTuple):
    """Words (rows of the tables), the longest caption in words, and the two towers' weights."""

    words: tuple[str, ...]
    length: int
    params: Any

    def tokens(self, texts: Sequence[str]) -> tuple[NDArray[np.int32], NDArray[np.bool_]]:
        """Word numbers (N, L), padded with 0, and a mask (N, L), False at padding.

        Raises DataError for a word that is not known and a text that is too long.
        """
        numbers, mask = np.zeros((len(texts), self.length), np.int32), np.zeros((len(texts), self.length), bool)
        for row, text in enumerate(texts):
            found = text.split()
            strangers = [word for word in found if word not in self.words]
            if strangers or not 1 <= len(found) <= self.length:
                problem = f"unknown words {', '.join(strangers)}" if strangers else f"{len(found)} words"
                raise DataError(f"caption {text!r}: {problem}; use 1 to {self.length} of: {', '.join(self.words)}")
            numbers[row, : len(found)] = [self.words.index(word) for word in found]
            mask[row, : len(found)] = True
        return numbers, mask

    def encode(self, texts: Sequence[str]) -> Captions:
        """Embeddings (N, L, WIDTH) of the words in their context, zero at padding, and the mask."""
        tokens, mask = self.tokens(texts)
        with jax.default_device(_cpu()):
            states = np.asarray(_text_states(self.params, tokens, mask)) * mask[..., None]
        return Captions(np.rint(states / GRAIN).astype(np.float32) * np.float32(GRAIN), mask)

    def similarity(self, texts: Sequence[str], images: NDArray[np.float32]) -> NDArray[np.float32]:
        """Cosine (images, texts) between images (M, H, W, C) and texts (N), what training makes large for pairs."""
        with jax.default_device(_cpu()):
            return np.asarray(_image_side(self.params, images) @ _text_side(self.params, *self.tokens(texts)).T)


def trained(texts: Sequence[str], labels: NDArray[np.int32], images: NDArray[np.float32]) -> Encoder:
    """An encoder of `texts`, trained to tell which of them (labels, (M,)) belongs to which of the images (M, H, W, C).

    The loss is CLIP's (Radford et al. 2021, figure 3): in a batch, each image's own caption against all captions, and
    each caption's own image against all images.
    """
    words = tuple(sorted({word for text in texts for word in text.split()}))
    length = max(len(text.split()) for text in texts)
    blank = Encoder(words, length, None)
    batches = np.stack([batch_positions(SEED, step, BATCH, len(labels)) for step in range(STEPS)])
    with jax.default_device(_cpu()):
        params = _fit(*blank.tokens(texts), labels[batches], images[batches])
        return blank._replace(params=jax.device_get(params))


def _cpu() -> jax.Device:
    """The CPU where JAX has one, whatever the run trains on: the same embeddings on every host."""
    try:
        return jax.local_devices(backend="cpu")[0]
    except RuntimeError:  # JAX was told to see accelerators only
        return jax.local_devices()[0]


@jax.jit
def _fit(tokens: Any, mask: Any, labels: Any, images: Any) -> Any:
    params = _initial(tokens, images[0])
    optimizer = optax.adam(LEARNING_RATE)

    def update(carry: Any, batch: Any) -> tuple[Any, None]:
        params, state = carry
        grads = jax.grad(_mismatch)(params, tokens, mask, *batch)
        updates, state = optimizer.update(grads, state)
        return (optax.apply_updates(params, updates), state), None

    return jax.lax.scan(update, (params, optimizer.init(params)), (labels, images))[0][0]


def _initial(tokens: jax.Array, images: jax.Array) -> dict[str, jax.Array]:
    keys = iter(jax.random.split(jax.random.key(SEED), 6))

    def normal(rows: int, columns: int, std: float) -> jax.Array:
        return std * jax.random.normal(next(keys), (rows, columns))

    # The table has a row for every word at least: a text's words are fewer than all texts' words.
    return {
        "words": normal(tokens.size, WIDTH, 1.0),
        "positions": normal(tokens.shape[1], WIDTH, 0.3),
        "qkv": normal(WIDTH, 3 * WIDTH, WIDTH**-0.5),
        "out": normal(WIDTH, WIDTH, WIDTH**-0.5),
        "text": normal(WIDTH, WIDTH, WIDTH**-0.5),
        "image": normal(int(np.prod(images.shape[1:])), WIDTH, np.prod(images.shape[1:]) ** -0.5),
        "temperature": jnp.log(10.0),
    }


def _text_states(params: Any, tokens_NL: Any, mask_NL: Any) -> jax.Array:
    """(N, L, WIDTH): each word after it has looked at the others, centred and scaled to unit variance."""
    x = params["words"][tokens_NL] + params["positions"]
    q, k, v = jnp.split(x @ params["qkv"], 3, axis=-1)
    scores = jnp.where(mask_NL[:, None, :], q @ k.swapaxes(1, 2) * WIDTH**-0.5, -jnp.inf)
    x = x + jax.nn.softmax(scores) @ v @ params["out"]
    return jax.nn.standardize(x, axis=-1)


def _text_side(params: Any, tokens: Any, mask: Any) -> jax.Array:
    weights = mask / mask.sum(axis=1, keepdims=True)
    return _unit((weights[:, None, :] @ _text_states(params, tokens, mask))[:, 0] @ params["text"])


def _image_side(params: Any, images: Any) -> jax.Array:
    return _unit(images.reshape(len(images), -1) @ params["image"])


def _unit(x: jax.Array) -> jax.Array:
    return x / jnp.linalg.norm(x, axis=-1, keepdims=True)


def _mismatch(params: Any, tokens: Any, mask: Any, labels: Any, images: Any) -> jax.Array:
    cosines = _image_side(params, images) @ _text_side(params, tokens[labels], mask[labels]).T
    logits = cosines * jnp.exp(params["temperature"])
    own = jnp.arange(len(labels))
    losses = optax.softmax_cross_entropy_with_integer_labels
    return (losses(logits, own) + losses(logits.T, own)).mean() / 2
