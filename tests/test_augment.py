"""Training examples: which clips an epoch holds, and that each alteration does what its setting says."""

import numpy as np
import pytest

from kwslib import augment, config, features
from kwslib.config import PAPER_FEATURES, TaskConfig

RATE_HZ, SIZE = 16000, 16000
TASK = TaskConfig(name="tones", keywords=("low", "mid"))
UNKNOWN, SILENCE = 2, 3
PLAIN = config.AS_PAPER.replace(batch_size=100, unknown_share=2.0)  # clips as they are
SMALL_BATCHES = config.OURS.replace(batch_size=32)
RAW = PAPER_FEATURES.replace(normalisation="none")


def tone(frequency_hz, amplitude=8000):
    return (amplitude * np.sin(2 * np.pi * frequency_hz * np.arange(SIZE) / RATE_HZ)).astype(np.int16)


def loudest_hz(clip):
    return np.abs(np.fft.rfft(clip * np.hanning(SIZE))).argmax() * RATE_HZ / SIZE


@pytest.fixture(scope="module")
def noise():
    return (np.random.default_rng(9).normal(size=10 * RATE_HZ) * 1000).astype(np.int16)


@pytest.fixture(scope="module")
def pool(noise):
    """20 clips of each keyword, 60 of a frequent and 6 of a rare other word; synthetic: 40 words, 8 of each keyword."""
    rows = [("low", 0, False)] * 20 + [("mid", 1, False)] * 20
    rows += [("often", UNKNOWN, False)] * 60 + [("rare", UNKNOWN, False)] * 6
    rows += [(f"spoken{n}", UNKNOWN, True) for n in range(40)] + [("low", 0, True)] * 8 + [("mid", 1, True)] * 8
    words, labels, synthetic = (np.array(column) for column in zip(*rows, strict=True))
    clips = np.stack([tone(200 + 20 * number) for number in range(len(rows))])
    return augment.TrainingPool(clips, labels, words, synthetic, noise)


def planned(pool, settings, seed=0):
    return augment.plan_epoch(pool, TASK, settings, np.random.default_rng(seed))


def test_every_real_keyword_clip_is_in_every_epoch_once(pool):
    for seed in range(3):
        rows, labels = planned(pool, config.OURS, seed)
        real = rows[(rows >= 0) & (rows < 40)]
        assert sorted(real) == list(range(40))
        stored = rows >= 0
        assert (labels[stored] == pool.labels[rows[stored]]).all()
        assert len(rows) == len(labels)


def test_an_epoch_holds_the_shares_that_were_asked_for(pool):
    settings = config.OURS.replace(unknown_share=2.0, silence_share=0.5, synthetic_share=0.5, splice_share=0.25)
    rows, labels = planned(pool, settings)  # 20 real clips of a keyword
    assert (labels == UNKNOWN).sum() == 40 and (labels == SILENCE).sum() == 10
    of_unknown = rows[labels == UNKNOWN]
    assert (of_unknown >= 0).sum() == 30 and (of_unknown < 0).sum() == 10  # 10 splices
    assert pool.synthetic[of_unknown[of_unknown >= 0]].sum() == 20
    assert (rows[labels == SILENCE] < 0).all()
    assert set(rows[labels == SILENCE]).isdisjoint(of_unknown[of_unknown < 0])  # two different marks
    _, labels = planned(pool, settings.replace(unknown_share=1.0, silence_share=1.0))
    assert (labels == UNKNOWN).sum() == 20 and (labels == SILENCE).sum() == 20


def test_the_synthetic_voice_speaks_keywords_too(pool):
    rows, _ = planned(pool, config.OURS)
    spoken = rows[rows >= 0][pool.synthetic[rows[rows >= 0]]]
    assert {0, 1, UNKNOWN} == set(pool.labels[spoken])
    keywords = pool.labels[spoken] < UNKNOWN
    others = round(config.OURS.synthetic_share * config.OURS.unknown_share * 20)
    assert ((~keywords).sum(), keywords.sum()) == (others, others / 2)
    rows, _ = planned(pool, config.OURS.replace(synthetic_share=0.0))
    assert not pool.synthetic[rows[rows >= 0]].any()


def test_plain_training_is_recordings_and_silence_only(pool):
    rows, labels = planned(pool, config.AS_PAPER)
    assert (labels == UNKNOWN).sum() == 20
    assert (rows[labels == UNKNOWN] >= 0).all()
    assert not pool.synthetic[rows[rows >= 0]].any()


def test_rare_words_are_drawn_more_often_than_their_number_says(pool):
    drawn = np.concatenate([planned(pool, config.AS_PAPER, seed)[0] for seed in range(200)])
    words = pool.words[drawn[drawn >= 40]]
    share = (words == "rare").mean()  # 6 of 66 clips; sqrt(6) / (sqrt(6) + sqrt(60)) is 0.24
    assert 0.15 < share < 0.3
    rows, _ = planned(pool, config.AS_PAPER)
    assert len(set(rows[rows >= 0])) == (rows >= 0).sum()  # none twice while there are enough


def test_a_pool_without_synthetic_words_or_others(pool, noise):
    real = ~pool.synthetic
    bare = augment.TrainingPool(pool.clips[real], pool.labels[real], pool.words[real], pool.synthetic[real], noise)
    _, labels = planned(bare, config.OURS.replace(splice_share=0.0))
    assert (labels == UNKNOWN).sum() == round(config.OURS.unknown_share * 20)
    assert (labels < UNKNOWN).sum() == 40
    few = np.flatnonzero(bare.words != "often")
    small = augment.TrainingPool(bare.clips[few], bare.labels[few], bare.words[few], bare.synthetic[few], noise)
    _, labels = planned(small, config.AS_PAPER)
    assert (labels == UNKNOWN).sum() == 20  # of six clips: some come twice


@pytest.fixture(scope="module")
def make_epochs(pool):
    def make(seed, settings=SMALL_BATCHES):
        return augment.Epochs(pool, TASK, PAPER_FEATURES, settings, seed)

    return make


def whole_epoch(epochs, number):
    parts = [epochs.batch(number, batch) for batch in range(epochs.batches)]
    return np.concatenate([x for x, _ in parts]), np.concatenate([y for _, y in parts])


def test_batches_make_up_the_epoch(make_epochs, pool):
    epochs = make_epochs(0)
    x, y = whole_epoch(epochs, 0)
    assert x.dtype == y.dtype == np.float32
    assert x.shape[1:] == PAPER_FEATURES.shape and y.shape == (len(x), 4)
    assert (y.sum(axis=1) == 1).all() and set(np.unique(y)) == {0, 1}
    settings = config.OURS
    expected = [round(settings.unknown_share * 20), round(settings.silence_share * 20)]
    assert y.sum(axis=0)[UNKNOWN:].tolist() == expected
    assert np.isfinite(x).all()
    assert [len(epochs.batch(0, n)[0]) for n in range(epochs.batches - 1)] == [32] * (epochs.batches - 1)


def test_epochs_differ_and_repeat_with_the_seed(make_epochs):
    first, labels = whole_epoch(make_epochs(0), 0)
    again, labels_again = whole_epoch(make_epochs(0), 0)
    np.testing.assert_array_equal(first, again)
    np.testing.assert_array_equal(labels, labels_again)
    for other in (whole_epoch(make_epochs(0), 1), whole_epoch(make_epochs(1), 0)):
        seen = {example.tobytes() for example in first}
        assert not seen & {example.tobytes() for example in other[0]}


def test_the_same_clip_is_altered_in_another_way_in_every_epoch(pool, noise):
    """With equal clips only the alterations can tell epochs apart."""
    same = augment.TrainingPool(
        np.tile(tone(440), (20, 1)), np.zeros(20, int), np.full(20, "low"), np.zeros(20, bool), noise
    )
    task = TaskConfig(name="one", keywords=("low",))
    epochs = augment.Epochs(same, task, PAPER_FEATURES, config.OURS.replace(unknown_share=0, silence_share=0), seed=0)
    first, second = (whole_epoch(epochs, number)[0] for number in (0, 1))
    assert len({example.tobytes() for part in (first, second) for example in part}) == 40


def test_a_batch_does_not_depend_on_what_was_asked_before(make_epochs):
    epochs = make_epochs(3)
    late = epochs.batch(2, 1)[0]
    epochs.batch(0, 0)
    fresh = make_epochs(3)
    for number in (0, 1, 2):
        fresh.batch(number, 0)
    np.testing.assert_array_equal(fresh.batch(2, 1)[0], late)


def test_without_augmentation_examples_are_the_clips(make_epochs, pool):
    settings = PLAIN.replace(synthetic_share=0, splice_share=0, silence_share=0)
    x, y = whole_epoch(make_epochs(0, settings), 0)
    stored = features.batch_features(pool.clips, PAPER_FEATURES)
    distance = [np.abs(stored - example[..., 0]).max(axis=(1, 2)) for example in x]
    assert max(each.min() for each in distance) < 1e-3
    nearest = np.array([each.argmin() for each in distance])
    assert (pool.labels[nearest] == y.argmax(axis=1)).all()


def test_silence_is_cut_from_the_noise_at_many_levels(pool):
    hum = np.tile(tone(1000, amplitude=16000), 10)
    with_hum = augment.TrainingPool(pool.clips, pool.labels, pool.words, pool.synthetic, hum)
    epochs = augment.Epochs(with_hum, TASK, RAW, PLAIN.replace(silence_share=1.0), seed=0)
    x, y = whole_epoch(epochs, 0)
    silent = x[y[:, SILENCE] == 1][..., 0]
    expected = features.batch_features(tone(1000)[None], RAW)[0].mean(axis=0).argmax()
    assert len(silent) == 20 and (silent.mean(axis=1).argmax(axis=1) == expected).all()
    level_db = silent.max(axis=(1, 2))
    assert level_db.max() - level_db.min() > 6
    assert level_db.max() < features.batch_features(hum[None, :SIZE], RAW).max() + 0.1


def test_splices_are_no_stored_clip(pool):
    settings = PLAIN.replace(synthetic_share=0.0, splice_share=1.0, silence_share=0.0)
    x, y = whole_epoch(augment.Epochs(pool, TASK, RAW, settings, seed=0), 0)
    stored = features.batch_features(pool.clips, RAW)
    spliced = x[y[:, UNKNOWN] == 1][..., 0]
    assert len(spliced) == round(settings.unknown_share * 20)
    distance = np.array([np.abs(stored - example).mean(axis=(1, 2)).min() for example in spliced])
    # a steady tone played backwards is itself but for its phase; two tones are not
    assert 0.4 < (distance > 1).mean() <= 1


def test_splice_takes_the_start_of_one_and_the_end_of_another():
    first, second = np.full(SIZE, 3000, np.int16), np.full(SIZE, -2000, np.int16)
    ramp = np.arange(SIZE, dtype=np.int16)
    backwards, lengths = 0, set()
    for seed in range(200):
        word = augment.splice(first, second, np.random.default_rng(seed))
        assert word.shape == (SIZE,) and word.dtype == np.int16
        if (word == 3000).all():
            backwards += 1
            assert (augment.splice(ramp, second, np.random.default_rng(seed)) == ramp[::-1]).all()
            continue
        head, tail = np.flatnonzero(word == 3000), np.flatnonzero(word == -2000)
        assert head[0] == 0 and 0.25 * SIZE < len(head) < 0.75 * SIZE
        assert tail[0] - head[-1] <= 161 and 0.25 * SIZE < len(tail) < 0.75 * SIZE
        fade = word[head[-1] : tail[0] + 1].astype(int)
        assert (np.diff(fade) <= 0).all() and np.diff(fade).min() > -100  # no click at the joint
        assert (word[tail[-1] + 1 :] == 0).all()
        lengths.add(len(head))
    assert 20 < backwards < 80 and len(lengths) > 100


def test_splice_of_silent_clips_is_silent():
    silent = np.zeros(SIZE, np.int16)
    for seed in range(20):
        assert not augment.splice(silent, silent, np.random.default_rng(seed)).any()


@pytest.mark.parametrize("snr_db", [-10, 0, 20])
def test_signal_to_noise_ratio_is_what_was_asked(noise, snr_db):
    settings = PLAIN.replace(noise_probability=1.0, snr_low_db=snr_db, snr_high_db=snr_db)
    clips = np.stack([tone(500, amplitude) for amplitude in (300, 1000, 3000)])
    altered = augment.alter_clips(clips, noise, RATE_HZ, settings, np.random.default_rng(0))
    clean = clips / 32768
    measured = 10 * np.log10((clean**2).mean(axis=1) / ((altered - clean) ** 2).mean(axis=1))
    np.testing.assert_allclose(measured, snr_db, atol=0.05)
    added = altered - clean
    assert np.abs(np.corrcoef(added)[np.triu_indices(3, 1)]).max() < 0.1  # each clip has another piece of noise


def test_range_of_ratios_and_share_of_noisy_clips(noise):
    settings = PLAIN.replace(noise_probability=0.6, snr_low_db=5, snr_high_db=25)
    clips = np.stack([tone(500, 2000)] * 400)
    altered = augment.alter_clips(clips, noise, RATE_HZ, settings, np.random.default_rng(0))
    clean = clips / 32768
    added = ((altered - clean) ** 2).mean(axis=1)
    noisy = added > 1e-12
    assert 0.5 < noisy.mean() < 0.7
    measured = 10 * np.log10((clean[noisy] ** 2).mean(axis=1) / added[noisy])
    assert measured.min() > 4.9 and measured.max() < 25.1
    assert measured.min() < 7 and measured.max() > 23


def test_shift_moves_within_its_limit_to_both_sides(noise):
    click = np.zeros((200, SIZE), np.int16)
    click[:, 8000] = 20000
    moved = augment.alter_clips(click, noise, RATE_HZ, PLAIN.replace(shift_ms=100), np.random.default_rng(0))
    by = moved.argmax(axis=1) - 8000
    assert (moved.max(axis=1) > 0.6).all() and ((moved != 0).sum(axis=1) == 1).all()
    assert by.min() < -1400 and by.max() > 1400 and np.abs(by).max() <= 1600
    assert len(set(by)) > 100


def test_shift_fills_with_zeros_and_does_not_wrap_round(noise):
    clips = np.full((50, SIZE), 10000, np.int16)
    moved = augment.alter_clips(clips, noise, RATE_HZ, PLAIN.replace(shift_ms=200), np.random.default_rng(0))
    gaps = (moved == 0).sum(axis=1)
    assert gaps.max() > 2000 and gaps.max() <= 3200
    late, early = moved[:, 0] == 0, moved[:, -1] == 0
    assert late.sum() > 10 and early.sum() > 10 and (late ^ early).sum() >= 49  # one may not have moved


def test_speed_changes_pitch_within_its_limit(noise):
    settings = PLAIN.replace(speed_probability=1.0, speed_percent=10)
    clips = np.stack([tone(1000)] * 60)
    altered = augment.alter_clips(clips, noise, RATE_HZ, settings, np.random.default_rng(0))
    pitch = np.array([loudest_hz(clip) for clip in altered])
    assert pitch.min() < 930 and pitch.max() > 1070 and (np.abs(pitch - 1000) <= 102).all()
    settings = settings.replace(speed_probability=0.5)
    altered = augment.alter_clips(clips, noise, RATE_HZ, settings, np.random.default_rng(0))
    same = np.array([(clip == before / np.float32(32768)).all() for clip, before in zip(altered, clips, strict=True)])
    assert 0.3 < same.mean() < 0.7


def test_gain_changes_the_level_within_its_limit(noise):
    clips = np.stack([tone(1000, 3000)] * 100)
    altered = augment.alter_clips(clips, noise, RATE_HZ, PLAIN.replace(gain_db=10), np.random.default_rng(0))
    gain_db = 20 * np.log10(np.abs(altered).max(axis=1) / np.abs(clips / 32768).max(axis=1))
    assert gain_db.min() < -8 and gain_db.max() > 8 and np.abs(gain_db).max() < 10.01


def test_altered_clips_stay_in_range_and_originals_stay_whole(noise):
    loud = np.stack([tone(300, 32767)] * 20)
    before = loud.copy()
    settings = config.OURS.replace(snr_low_db=0, snr_high_db=0, noise_probability=1.0, gain_db=20)
    altered = augment.alter_clips(loud, noise, RATE_HZ, settings, np.random.default_rng(0))
    assert altered.dtype == np.float32 and altered.shape == loud.shape
    assert altered.max() == 1 and altered.min() == -1
    np.testing.assert_array_equal(loud, before)
    unchanged = augment.alter_clips(loud, noise, RATE_HZ, PLAIN, np.random.default_rng(0))
    np.testing.assert_array_equal(unchanged, loud.astype(np.float32) / np.float32(32768))


def test_noise_beside_silent_clips_is_finite(noise):
    settings = config.OURS.replace(noise_probability=1.0)
    silent = np.zeros((4, SIZE), np.int16)
    assert np.isfinite(augment.alter_clips(silent, noise, RATE_HZ, settings, np.random.default_rng(0))).all()
    with_silent_noise = augment.alter_clips(silent, np.zeros_like(noise), RATE_HZ, settings, np.random.default_rng(0))
    assert not with_silent_noise.any()


def spans(masked):
    """Lengths of the runs of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], masked.astype(int), [0]])))
    return (edges[1::2] - edges[::2]).tolist()


def test_masks_hide_runs_of_frames_and_bands():
    original = np.random.default_rng(1).normal(size=(300, 30, 40)).astype(np.float32)
    settings = PLAIN.replace(time_masks=1, time_mask_frames=5, band_masks=1, band_mask_bands=6)
    batch = original.copy()
    assert augment.mask_features(batch, settings, np.random.default_rng(0)) is batch
    hidden = batch != original
    assert set(np.unique(batch[hidden])) == {original.mean()}
    frames, bands = hidden.all(axis=2), hidden.all(axis=1)
    np.testing.assert_array_equal(hidden, frames[:, :, None] | bands[:, None, :])
    for masks, width in ((frames, 5), (bands, 6)):
        runs = [spans(mask) for mask in masks]
        assert max(len(run) for run in runs) == 1
        assert {sum(run) for run in runs} == set(range(width + 1))  # every length, 0 too
        assert masks.any(axis=0).all()  # every place, the ends too


def test_number_of_masks_and_none():
    original = np.random.default_rng(1).normal(size=(100, 30, 40)).astype(np.float32)
    several = PLAIN.replace(time_masks=3, time_mask_frames=2)
    hidden = (augment.mask_features(original.copy(), several, np.random.default_rng(0)) != original).all(axis=2)
    assert max(len(spans(mask)) for mask in hidden) == 3
    for settings in (PLAIN, PLAIN.replace(time_masks=1, time_mask_frames=0)):
        untouched = augment.mask_features(original.copy(), settings, np.random.default_rng(0))
        np.testing.assert_array_equal(untouched, original)
    whole = augment.mask_features(
        original.copy(), PLAIN.replace(time_masks=1, time_mask_frames=100), np.random.default_rng(0)
    )
    assert np.isfinite(whole).all()  # a mask wider than the clip is cut to it


def test_altered_features_are_those_of_altered_clips(noise):
    clips = np.stack([tone(400), tone(900)])
    found = augment.altered_features(clips, noise, PAPER_FEATURES, PLAIN, np.random.default_rng(0))
    np.testing.assert_allclose(found, features.batch_features(clips, PAPER_FEATURES), atol=1e-4)
    one, other = (
        augment.altered_features(clips, noise, PAPER_FEATURES, config.OURS, np.random.default_rng(seed))
        for seed in (1, 2)
    )
    assert one.shape == (2, 30, 40) and one.dtype == np.float32
    assert np.abs(one - other).max() > 0.5
