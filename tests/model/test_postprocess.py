import numpy as np

from saros_hf.labels import BodyPart, BodyRegion
from training.model.postprocess import cleaned


def test_only_the_largest_body_chest_heart_and_abdomen_stay() -> None:
    labels = np.zeros((60, 60, 12), np.uint8)
    labels[10:50, 10:50] = BodyRegion.MUSCLE
    labels[2:5, 2:5] = BodyRegion.BONES  # a piece of the table
    labels[20:40, 20:40, :5] = BodyRegion.ABDOMINAL_CAVITY
    labels[12:14, 12:14, 9] = BodyRegion.ABDOMINAL_CAVITY
    labels[20:40, 20:40, 6:] = BodyRegion.THORACIC_CAVITY
    labels[25:35, 25:35, 7:] = BodyRegion.MEDIASTINUM
    labels[28:32, 28:32, 8:] = BodyRegion.PERICARDIUM
    labels[45, 45, 2] = BodyRegion.PERICARDIUM
    labels[26, 26, 8] = BodyRegion.PERICARDIUM
    out = cleaned(labels, "body-regions")
    wrong = np.zeros(labels.shape, bool)
    wrong[2:5, 2:5] = wrong[12:14, 12:14, 9] = True
    wrong[45, 45, 2] = wrong[26, 26, 8] = True
    assert (out[wrong] == 0).all()
    assert np.array_equal(out[~wrong], labels[~wrong])


def test_pieces_that_touch_at_a_corner_are_one() -> None:
    labels = np.zeros((6, 6, 6), np.uint8)
    labels[:3, :3, :3] = labels[3:, 3:, 3:] = BodyRegion.MUSCLE
    assert np.array_equal(cleaned(labels, "body-regions"), labels)


def test_parts_are_filled_and_small_ones_removed() -> None:
    labels = np.zeros((80, 80, 10), np.uint8)
    labels[10:60, 10:60] = BodyPart.TORSO
    labels[30:32, 30:32] = 0  # open above and below, a hole within every slice
    labels[65:75, 65:75] = BodyPart.ARM_LEFT  # 1000 voxels
    labels[10:60, 62:80] = BodyPart.HEAD  # 9000 voxels
    out = cleaned(labels, "body-parts")
    assert (out[10:60, 10:60] == BodyPart.TORSO).all()
    assert not (out == BodyPart.ARM_LEFT).any()
    assert np.array_equal(out == BodyPart.HEAD, labels == BodyPart.HEAD)


def test_an_empty_map_stays_empty() -> None:
    empty = np.zeros((5, 5, 5), np.uint8)
    for task in ("body-regions", "body-parts"):
        assert not cleaned(empty, task).any()
