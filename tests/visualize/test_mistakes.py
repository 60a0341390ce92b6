"""Confusion matrices, mistakes, t-SNE sheets and nearest codes."""

import numpy as np
import pytest

from fastnet.visualize import (
    class_accuracies,
    confusion_matrix,
    embed,
    grid_cells,
    image_sheet,
    nearest_codes,
    plot_confusion,
    plot_embedding,
    plot_mistakes,
    plot_neighbors,
    worst_mistakes,
)

rng = np.random.default_rng(0)
Y, TAKEN = rng.integers(0, 6, 500), rng.integers(0, 6, 500)
IMAGES = rng.integers(0, 256, (18, 3, 6, 5), np.uint8)
HOSTILE = ["$x$", "<b>", "a\nb", "ünï", "long " * 20, "\\frac{1}"]


def test_confusion_against_scikit_learn():
    metrics = pytest.importorskip("sklearn.metrics")
    ours = confusion_matrix(Y, TAKEN)
    np.testing.assert_array_equal(ours, metrics.confusion_matrix(Y, TAKEN))
    np.testing.assert_array_equal(confusion_matrix(Y, TAKEN, 8)[:6, :6], ours)
    recall = metrics.recall_score(Y, TAKEN, average=None)
    np.testing.assert_allclose(class_accuracies(ours), recall)
    assert np.isnan(class_accuracies(confusion_matrix([0, 1], [0, 0], 3))[2])


def test_mistakes_against_a_search():
    probabilities = rng.dirichlet(np.ones(6), 500)
    found = worst_mistakes(probabilities, Y, 40)
    wrong = [(-p.max(), n) for n, p in enumerate(probabilities) if p.argmax() != Y[n]]
    assert found.images.tolist() == [n for _, n in sorted(wrong)[:40]]
    np.testing.assert_array_equal(found.certainty, probabilities[found.images].max(axis=1))
    np.testing.assert_array_equal(found.true, Y[found.images])
    assert (found.taken != found.true).all()
    assert len(worst_mistakes(np.eye(6)[Y], Y).images) == 0


def test_bad_classes():
    with pytest.raises(ValueError, match="must be from 0 to 3, got 0 to 5"):
        confusion_matrix(Y, TAKEN, 4)
    with pytest.raises(TypeError, match="class numbers"):
        confusion_matrix(Y.astype(float), TAKEN)
    with pytest.raises(ValueError, match="one length, got 500 and 3"):
        confusion_matrix(Y, TAKEN[:3])
    with pytest.raises(ValueError, match=r"\(classes, classes\), got shape \(2, 3\)"):
        class_accuracies(np.zeros((2, 3)))
    with pytest.raises(ValueError, match="500 images, and classes of 3"):
        worst_mistakes(np.ones((500, 6)), Y[:3])


def test_tsne_keeps_clusters_apart():
    pytest.importorskip("sklearn")
    centres = rng.normal(0, 5, (4, 80))
    y = np.arange(80) % 4
    codes = (centres[y] + rng.normal(0, 1, (80, 80))).reshape(80, 5, 4, 4)
    points = embed(codes, perplexity=10, seed=1)
    assert points.shape == (80, 2)
    np.testing.assert_array_equal(points, embed(codes, perplexity=10, seed=1))
    nearest = nearest_codes(points, points, 2).images[:, 1]
    assert (y[nearest] == y).mean() > 0.95
    with pytest.raises(ValueError, match="N >= 4"):
        embed(codes[:3])
    with pytest.raises(ValueError, match="finite"):
        embed(codes * np.nan)
    with pytest.raises(ValueError, match="all codes are equal"):
        embed(codes[[0] * 9])


def test_cells_are_the_best_assignment():
    pytest.importorskip("scipy")
    points = rng.normal(0, 3, (23, 2))
    cells, (rows, columns) = grid_cells(points)
    assert (rows, columns) == (5, 5) and len({tuple(cell) for cell in cells.tolist()}) == 23
    unit = (points - points.min(axis=0)) / np.ptp(points, axis=0)

    def way(cells):
        return (
            ((cells[:, 1] + 0.5) / columns - unit[:, 0]) ** 2 + (1 - (cells[:, 0] + 0.5) / rows - unit[:, 1]) ** 2
        ).sum()

    best = way(cells)
    for one in range(23):  # no exchange makes it better
        for other in range(one):
            swapped = cells.copy()
            swapped[[one, other]] = cells[[other, one]]
            assert way(swapped) >= best - 1e-9
    ordered, _ = grid_cells(np.stack(np.meshgrid(np.arange(4), np.arange(4)), axis=-1).reshape(16, 2))
    assert ordered[0].tolist() == [3, 0] and ordered[-1].tolist() == [0, 3]


def test_a_sheet_shows_every_image_once():
    pytest.importorskip("scipy")
    points = rng.normal(0, 3, (18, 2))
    sheet = image_sheet(IMAGES, points)
    assert sheet.shape == (3, 4 * 7 - 1, 5 * 6 - 1) and sheet.dtype == np.uint8
    cells, _ = grid_cells(points)
    for image, (row, column) in zip(IMAGES, cells, strict=True):
        np.testing.assert_array_equal(sheet[:, row * 7 : row * 7 + 6, column * 6 : column * 6 + 5], image)
    with pytest.raises(ValueError, match="one for each point"):
        image_sheet(IMAGES[:4], points)


def test_nearest_codes_against_a_search():
    codes, queries = rng.normal(size=(40, 3, 2, 2)), rng.normal(size=(7, 3, 2, 2))
    found = nearest_codes(codes, queries, 4)
    distances = np.sqrt(((queries[:, None] - codes) ** 2).sum(axis=(2, 3, 4)))
    np.testing.assert_array_equal(found.images, np.argsort(distances, axis=1)[:, :4])
    np.testing.assert_allclose(found.distances, np.sort(distances, axis=1)[:, :4])
    np.testing.assert_array_equal(nearest_codes(codes, codes, 1).images[:, 0], np.arange(40))
    assert nearest_codes(codes, queries, 99).images.shape == (7, 40)
    with pytest.raises(ValueError, match="codes have 12 numbers each, queries 4"):
        nearest_codes(codes, queries[:, 0])


@pytest.mark.filterwarnings("error")
def test_plots_take_hostile_names(tmp_path):
    pytest.importorskip("matplotlib")
    pytest.importorskip("scipy")
    y = np.arange(18) % 6
    plot_confusion(confusion_matrix(Y, TAKEN), HOSTILE, path=tmp_path / "confusion.png")
    plot_mistakes(worst_mistakes(rng.dirichlet(np.ones(6), 18), y), IMAGES, HOSTILE, tmp_path / "mistakes.png")
    plot_mistakes(worst_mistakes(np.eye(6)[y], y), IMAGES, path=tmp_path / "none.png")
    plot_embedding(IMAGES, rng.normal(size=(18, 2)), y, HOSTILE, tmp_path / "embedding.png")
    plot_neighbors(IMAGES, IMAGES[:2], nearest_codes(IMAGES, IMAGES[:2], 3), tmp_path / "neighbors.png")
    assert all(len(file.read_bytes()) > 1000 for file in tmp_path.iterdir()) and len(list(tmp_path.iterdir())) == 5
    with pytest.raises(ValueError, match="6 classes, but 2 names"):
        plot_confusion(confusion_matrix(Y, TAKEN), HOSTILE[:2])
