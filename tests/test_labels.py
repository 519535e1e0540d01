from saros_hf.labels import TASKS, BodyPart, BodyRegion, colours, label_names, labels


def test_ids_are_those_of_table_2() -> None:
    assert BodyRegion.PAROTID_GLANDS == 6
    assert BodyRegion.SUBMANDIBULAR_GLANDS == 13
    sides = [BodyPart.LEG_RIGHT, BodyPart.LEG_LEFT, BodyPart.ARM_RIGHT, BodyPart.ARM_LEFT]
    assert sides == [3, 4, 5, 6]


def test_every_id_has_its_own_name_and_colour() -> None:
    for task in TASKS:
        assert [int(label) for label in labels(task)] == list(range(len(labels(task))))
        assert len(set(colours(task))) == len(set(label_names(task))) == len(labels(task))
