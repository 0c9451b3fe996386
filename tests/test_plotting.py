"""Figures: three files each, equal bytes from equal data, one style."""

import matplotlib
import numpy as np
import pandas as pd
import pytest

from kwslib import config, plotting


@pytest.fixture(autouse=True)
def plain_matplotlib():
    import matplotlib.pyplot as plt

    before = plt.get_backend()
    plt.switch_backend("agg")
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        yield
    plt.close("all")
    plt.switch_backend(before)


def draw(folder, name="curve"):
    import matplotlib.pyplot as plt

    data = pd.DataFrame({"x": [0.0, 1.0, 2.0], "y": [1 / 3, 0.5, 2.0]})
    fig, axis = plt.subplots()
    axis.plot(data.x, data.y, label="a label")
    axis.legend()
    plotting.save_figure(fig, name, data, folder)
    return data


def test_a_figure_is_pdf_png_and_its_numbers(tmp_path):
    data = draw(tmp_path, "02_curve")
    folder = tmp_path / "figures"
    assert sorted(path.name for path in folder.iterdir()) == ["02_curve.csv", "02_curve.pdf", "02_curve.png"]
    assert (folder / "02_curve.pdf").read_bytes().startswith(b"%PDF")
    assert (folder / "02_curve.png").read_bytes().startswith(b"\x89PNG")
    pd.testing.assert_frame_equal(pd.read_csv(folder / "02_curve.csv"), data, rtol=1e-5, check_dtype=False)


def test_the_same_data_give_the_same_bytes(tmp_path):
    plotting.use_style()
    draw(tmp_path / "one")
    draw(tmp_path / "two")
    for suffix in ("pdf", "png", "csv"):
        one, two = ((tmp_path / part / "figures" / f"curve.{suffix}").read_bytes() for part in ("one", "two"))
        assert one == two
        assert b"CreationDate" not in one


def test_a_figure_that_fails_leaves_no_file(tmp_path):
    import matplotlib.pyplot as plt

    fig, axis = plt.subplots()
    axis.set_title(r"$\no_such_command$")
    with pytest.raises(ValueError, match="no_such_command"):
        plotting.save_figure(fig, "broken", pd.DataFrame({"x": [1]}), tmp_path)
    assert not list((tmp_path / "figures").iterdir())


def test_the_style_is_applied():
    plotting.use_style()
    settings = matplotlib.rcParams
    assert settings["pdf.fonttype"] == 42  # text stays text in the PDF
    assert settings["image.origin"] == "lower" and not settings["axes.spines.top"]
    assert settings["figure.figsize"] == [6.8, 3.6]


def test_tables(tmp_path):
    table = pd.DataFrame({"model": ["a", "b"], "accuracy": [0.123456789, 1.0]})
    assert plotting.save_table(table, "accuracy", tmp_path) is table
    path = tmp_path / "tables" / "accuracy.csv"
    assert path.read_text() == "model,accuracy\na,0.123457\nb,1\n"


def test_counts_keep_all_digits_beside_a_missing_value(tmp_path):
    table = pd.DataFrame({"macs": [1422656, np.nan], "accuracy": [0.123456789, 1.0]})
    plotting.save_table(table, "counts", tmp_path)
    assert (tmp_path / "tables" / "counts.csv").read_text() == "macs,accuracy\n1422656,0.123457\n,1\n"


def test_colours_are_distinct():
    for name, colour in plotting.COLOURS.items():
        assert matplotlib.colors.is_color_like(colour), name
    kinds = (plotting.NETWORKS, plotting.GRANULARITIES, plotting.FORMATS, plotting.ENGINES, plotting.PARTS)
    assert all(len(set(kind.values())) == len(kind) for kind in kinds)
    assert len(plotting.COLOURS) == sum(map(len, kinds))  # no name in two kinds


SEEDS = pd.DataFrame(
    {
        "model": ["paper_cnn"] * 4 + ["new"] * 2,
        "level": [0.5, 0.5, 0.9, 0.9, 0.5, 0.5],
        "macs": [52.0, 48.0, 11.0, 9.0, 50.0, 50.0],
        "accuracy": [0.9, 0.8, 0.6, 0.6, 0.7, 0.9],
    }
)


def test_spread_over_seeds_is_drawn_and_returned():
    import matplotlib.pyplot as plt

    _, axis = plt.subplots()
    drawn = plotting.draw_spread(axis, SEEDS, "macs", "accuracy", "model", "level", scale=100)
    first = drawn[drawn.model == "paper_cnn"]
    assert first.x.tolist() == [10, 50] and first.level.tolist() == [0.9, 0.5]
    assert first["mean"].tolist() == pytest.approx([0.6, 0.85])
    assert first["std"].tolist() == pytest.approx([0, 0.1 / 2**0.5]) and first.seeds.tolist() == [2, 2]
    line = axis.containers[0].lines[0]
    assert line.get_ydata() == pytest.approx([60, 85]) and line.get_color() == plotting.COLOURS["paper_cnn"]
    assert [text.get_label() for text in axis.containers] == ["paper_cnn", "new"]


def test_layers_are_drawn_in_the_order_of_the_network():
    import matplotlib.pyplot as plt

    _, axis = plt.subplots()
    rows = [(layer, level, 0.9 - level / 2) for layer in ("conv", "block", "a") for level in (0.0, 0.5)]
    plotting.draw_layers(axis, pd.DataFrame(rows, columns=["layer", "sparsity", "validation_accuracy"]))
    assert [line.get_label() for line in axis.lines] == ["conv", "block", "a"]
    assert axis.lines[0].get_ydata() == pytest.approx([90, 65])


def test_changes_stand_side_by_side_on_their_pruning():
    import matplotlib.pyplot as plt

    _, axis = plt.subplots()
    rows = [(cut, fmt, 0.1) for cut in ("dense", "element-80") for fmt in ("int8", "int16x8", "qat")]
    plotting.draw_changes(
        axis, pd.DataFrame(rows, columns=["pruning", "format", "points_mean"]).assign(points_std=np.nan)
    )
    places = np.array([bars.lines[0].get_xdata() for bars in axis.containers], float)
    assert np.allclose(np.rint(places), [[0, 1]] * 3) and len(np.unique(places)) == 6


def test_cost_is_drawn_with_its_front():
    import matplotlib.pyplot as plt

    _, axis = plt.subplots()
    table = SEEDS.assign(format="int8")
    plotting.draw_cost(axis, table, "macs", "accuracy", table[:2])
    assert [points.get_label() for points in axis.collections] == ["new, int8", "paper_cnn, int8"][::-1]
    assert axis.get_xscale() == "log" and axis.lines[0].get_xdata() == pytest.approx([0.052, 0.048])


def test_features_are_drawn_over_time():
    import matplotlib.pyplot as plt

    plotting.use_style()
    _, axis = plt.subplots()
    image = plotting.draw_features(axis, np.arange(1200.0).reshape(30, 40), config.PAPER_FEATURES, "a word")
    assert image.get_array().shape == (40, 30)  # bands upwards, time to the right
    assert image.get_extent() == [0, pytest.approx(30 * 512 / 16000), 0, 40]
    assert (axis.get_title(), axis.get_xlabel(), axis.get_ylabel()) == ("a word", "time (s)", "mel band")
    plotting.draw_features(axis, np.zeros((49, 10)), config.MFCC_FEATURES, "")
    assert axis.get_ylabel() == "MFCC"


def test_confusion_shows_counts_and_shares():
    import matplotlib.pyplot as plt

    confusion = pd.DataFrame([[3, 1, 0], [0, 5, 0], [0, 0, 0]], index=list("abc"), columns=list("abc"))
    _, axis = plt.subplots()
    plotting.draw_confusion(axis, confusion, "title")
    shown = {(text.get_position()[::-1], text.get_text()) for text in axis.texts}
    assert shown == {((0, 0), "3"), ((0, 1), "1"), ((1, 1), "5")}
    np.testing.assert_allclose(axis.images[0].get_array(), [[0.75, 0.25, 0], [0, 1, 0], [0, 0, 0]])
    assert (axis.get_xlabel(), axis.get_ylabel()) == ("predicted", "spoken")
    assert [label.get_text() for label in axis.get_yticklabels()] == ["a", "b", "c"]
