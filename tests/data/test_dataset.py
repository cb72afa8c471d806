from __future__ import annotations

import re
from fractions import Fraction

import numpy as np
import pytest

from positcore.data import Dataset


def dataset(images=None, labels=None, **changes):
    fields = {
        "images": np.arange(2 * 3 * 4 * 5, dtype=np.uint8).reshape(2, 3, 4, 5) if images is None else images,
        "labels": np.array([1, 0], np.uint8) if labels is None else labels,
        "classes": ("a", "b"),
        "mean": (0.5, 0.25, 0.125),
        "std": (0.1, 0.2, 0.3),
    }
    return Dataset("toy", "train", **(fields | changes))


def test_normalized_is_close_to_the_exact_value_and_float32():
    made = dataset()
    x = made.normalized()
    assert x.dtype == np.float32
    assert x.shape == (2, 3, 4, 5)
    for index, pixel in np.ndenumerate(made.images):
        c = index[1]
        exact = (Fraction(int(pixel), 255) - Fraction(made.mean[c])) / Fraction(made.std[c])
        assert abs(Fraction(float(x[index])) - exact) < Fraction(1, 10**6)


def test_normalized_has_the_bits_of_the_same_steps_in_torch():
    torch = pytest.importorskip("torch")
    made = dataset()
    mean, std = (torch.tensor(v).reshape(3, 1, 1) for v in (made.mean, made.std))
    steps = (torch.from_numpy(made.images).float() / 255 - mean) / std
    assert np.array_equal(made.normalized(), steps.numpy())


def test_normalized_takes_an_index():
    made = dataset()
    assert np.array_equal(made.normalized([1]), made.normalized()[1:])
    assert np.array_equal(made.normalized(slice(0, 1)), made.normalized()[:1])


def test_first_and_length():
    made = dataset()
    assert len(made) == 2
    assert len(made.first(1)) == 1
    assert made.first(1).classes == made.classes
    assert repr(made) == "Dataset('toy', 'train', images=(2, 3, 4, 5))"


@pytest.mark.parametrize("count", [-1, 3])
def test_first_refuses_more_than_there_are(count):
    with pytest.raises(ValueError, match=re.escape(f"count must be in 0..2 for toy, not {count}")):
        dataset().first(count)


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"images": np.zeros((2, 3, 4, 5))}, TypeError, "images must be an array of uint8, not float64"),
        ({"labels": [1, 0]}, TypeError, "labels must be an array of uint8, not list"),
        ({"images": np.zeros((2, 4, 5), np.uint8)}, ValueError, "shape (N, C, H, W), not (2, 4, 5)"),
        ({"labels": np.zeros(3, np.uint8)}, ValueError, "shape (2,), one per image, not (3,)"),
        ({"labels": np.array([0, 2], np.uint8)}, ValueError, "below 2, the number of classes, not 2"),
        ({"mean": (0.5,)}, ValueError, "mean and std must have 3 values, one per channel, not 1 and 3"),
    ],
)
def test_bad_parameters(changes, error, message):
    with pytest.raises(error, match=re.escape(message)):
        dataset(**changes)
