"""Groups of weights by hand, and which of them a mask keeps."""

import numpy as np
import pytest

from kwslib.masks import GRANULARITIES, Part, Unit, group_numbers, new_masks


def unit(*kernels, granularity):
    import tensorflow as tf

    weights = [tf.Variable(np.asarray(kernel, np.float32)) for kernel in kernels]
    return Unit(tuple(Part("layer", weight, group_numbers(weight.shape, granularity)) for weight in weights))


def mask_of(kernel, granularity, sparsity, norm="l1", round_to=1):
    return new_masks([unit(kernel, granularity=granularity)], sparsity, granularity, norm, round_to)[0].numpy()


def groups_of(shape, granularity):
    """The groups as sets of indices into the kernel."""
    numbers = group_numbers(shape, granularity)
    assert numbers.shape == shape and set(numbers.ravel()) == set(range(numbers.max() + 1))
    return {frozenset(map(tuple, np.argwhere(numbers == number).tolist())) for number in range(numbers.max() + 1)}


def test_groups_of_a_small_convolution():
    """Kernel [2, 3, 2, 2]: all groups written down by their places."""
    shape, places = (2, 3, 2, 2), [(o, i) for o in range(2) for i in range(2)]
    everything = {(r, c, i, o) for r in range(2) for c in range(3) for i in range(2) for o in range(2)}
    assert groups_of(shape, "element") == {frozenset([place]) for place in everything}
    rows = {frozenset((r, c, i, o) for c in range(3)) for r in range(2) for o, i in places}
    assert groups_of(shape, "vector") == rows and len(rows) == 8
    kernels = {frozenset((r, c, i, o) for r in range(2) for c in range(3)) for o, i in places}
    assert groups_of(shape, "kernel") == kernels
    pairs = {frozenset({(r, c, 0, o), (r, c, 1, o)}) for r in range(2) for c in range(3) for o in range(2)}
    assert groups_of(shape, "block2") == pairs  # along the input channels
    order = [(r, c, i) for r in range(2) for c in range(3) for i in range(2)]
    fours = {frozenset((*place, o) for place in order[start : start + 4]) for start in (0, 4, 8) for o in range(2)}
    assert groups_of(shape, "block4") == groups_of(shape, "2:4") == fours
    assert groups_of(shape, "filter") == {frozenset(p for p in everything if p[3] == o) for o in range(2)}


def test_rows_of_a_convolution_over_time_lie_along_time():
    groups = groups_of((3, 1, 2, 2), "vector")
    assert groups == {frozenset((r, 0, i, o) for r in range(3)) for i in range(2) for o in range(2)}


@pytest.mark.parametrize("granularity", ["vector", "kernel"])
@pytest.mark.parametrize("shape", [(1, 1, 3, 2), (3, 2)])
def test_pointwise_and_dense_have_no_rows(shape, granularity):
    np.testing.assert_array_equal(group_numbers(shape, granularity), np.arange(6).reshape(shape))


def test_blocks_end_with_the_output_channel():
    """[5, 2] dense: runs of two inputs, the fifth on its own. One input channel: along the columns."""
    expected = [[0, 3], [0, 3], [1, 4], [1, 4], [2, 5]]
    np.testing.assert_array_equal(group_numbers((5, 2), "block2"), expected)
    np.testing.assert_array_equal(group_numbers((1, 5, 1, 2), "block2"), np.reshape(expected, (1, 5, 1, 2)))
    assert groups_of((2, 4, 1, 1), "block4") == {frozenset((r, c, 0, 0) for c in range(4)) for r in range(2)}


def test_masks_by_hand():
    kernel = [[1, -8], [-2, 7], [3, 6], [4, -5], [9, 1]]  # dense [5, 2]: a channel a column
    assert mask_of(kernel, "element", 0.5).tolist() == [[0, 1], [0, 1], [0, 1], [0, 1], [1, 0]]
    # means of runs: 1.5, 3.5, 9 and 7.5, 5.5, 1
    assert mask_of(kernel, "block2", 0.5).tolist() == [[0, 1], [0, 1], [0, 1], [0, 1], [1, 0]]
    assert mask_of(kernel, "block4", 0.5).tolist() == [[0, 1], [0, 1], [0, 1], [0, 1], [1, 0]]
    assert mask_of(kernel, "2:4", 0.5).tolist() == [[0, 1], [0, 1], [1, 0], [1, 0], [1, 1]]
    assert mask_of(kernel, "filter", 0.5).tolist() == [[0, 1]] * 5  # means 3.8 and 5.4
    rows = [[[[1]], [[2]], [[-3]]], [[[3]], [[3]], [[3]]]]  # [2, 3, 1, 1]: means 2 and 3
    assert np.squeeze(mask_of(rows, "vector", 0.5)).tolist() == [[0, 0, 0], [1, 1, 1]]
    kernels = np.zeros((1, 2, 2, 2))
    kernels[0, :, 0], kernels[0, :, 1] = [[1, 4], [1, 4]], [[3, 2], [3, 2]]
    assert mask_of(kernels, "kernel", 0.5)[0, 0].tolist() == [[0, 1], [1, 0]]


def test_the_norms_choose_differently():
    kernel = [[5, 3], [0, 3]]  # a channel a column; mean 2.5 against 3, root mean square 3.5 against 3
    assert mask_of(kernel, "filter", 0.5, "l1").tolist() == [[0, 1]] * 2
    assert mask_of(kernel, "filter", 0.5, "l2").tolist() == [[1, 0]] * 2


@pytest.mark.parametrize("granularity", GRANULARITIES)
def test_ties_give_exact_counts(granularity):
    mask = mask_of(np.ones((2, 4, 4, 6)), granularity, 0.5)
    assert mask.mean() == 0.5
    groups = group_numbers(mask.shape, granularity)
    if granularity != "2:4":
        assert all(len(set(mask[groups == number])) == 1 for number in range(groups.max() + 1))


@pytest.mark.parametrize("sparsity, kept", [(0.0, 10), (0.3, 8), (0.5, 4), (0.75, 4), (0.99, 4)])
def test_filters_are_kept_in_multiples(sparsity, kept):
    """Of 10 filters: the multiple of 4 nearest to the share, at least one, all of them without sparsity."""
    kernel = np.arange(1, 11) * np.ones((3, 1))
    mask = mask_of(kernel, "filter", sparsity, round_to=4)
    assert mask[0].tolist() == [0] * (10 - kept) + [1] * kept
    assert mask_of(kernel[:, :3], "filter", 0.9, round_to=4).all()


def test_units_share_one_threshold():
    """Of 16 weights in two tensors 4 stay, wherever the large ones are; the weak tensor keeps its best."""
    strong, weak = np.arange(1, 9).reshape(4, 2), np.arange(8).reshape(8, 1) / 100
    units = [unit(kernel, granularity="element") for kernel in (strong, weak)]
    first, second = (mask.numpy() for mask in new_masks(units, 0.75, "element", "l1"))
    assert first.ravel().tolist() == [0] * 5 + [1] * 3 and second.ravel().tolist() == [0] * 7 + [1]


def test_tied_kernels_share_one_mask():
    """Two layers that meet in an Add: their scores are averaged, whatever their number of weights."""
    one, other = [[4, 1, 1]], [[1, 3, 1], [1, 3, 1], [1, 3, 1]]  # means 2.5, 2, 1
    masks = new_masks([unit(one, other, granularity="filter")], 2 / 3, "filter", "l1")
    assert [mask.numpy()[0].tolist() for mask in masks] == [[1, 0, 0]] * 2


@pytest.mark.parametrize("granularity", GRANULARITIES)
def test_masking_some_of_the_weights_changes_no_mask(granularity):
    """TF-MOT masks one layer after the other, and the masks are reckoned again in between."""
    rng = np.random.default_rng(3)
    shapes = [(5, 3, 3, 10), (7, 1, 6, 9), (1, 1, 10, 7), (11, 13)]
    units = [unit(rng.normal(size=shape), granularity=granularity) for shape in shapes]
    for round_to in (1, 4):
        before = [mask.numpy() for mask in new_masks(units, 0.6, granularity, "l2", round_to)]
        for masked in range(len(units)):
            weight = units[masked].kernels[0].weight
            weight.assign(weight * before[masked])
            for old, new in zip(before, new_masks(units, 0.6, granularity, "l2", round_to), strict=True):
                np.testing.assert_array_equal(old, new.numpy())
