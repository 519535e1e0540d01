from saros_hf.labels import TASKS, BodyPart, BodyRegion, colours, display_name, label_names, labels


def test_ids_are_those_of_table_2() -> None:
    assert BodyRegion.PAROTID_GLANDS == 6
    assert BodyRegion.SUBMANDIBULAR_GLANDS == 13
    assert [*range(3, 7)] == [
        BodyPart.LEG_RIGHT,
        BodyPart.LEG_LEFT,
        BodyPart.ARM_RIGHT,
        BodyPart.ARM_LEFT,
    ]


def test_names_and_colours_are_one_per_id() -> None:
    for task in TASKS:
        assert [int(label) for label in labels(task)] == list(range(len(labels(task))))
        assert len(set(colours(task))) == len(set(label_names(task))) == len(labels(task))


def test_display_name_is_the_papers() -> None:
    assert display_name(BodyRegion.SUBCUTANEOUS_TISSUE) == "Subcutaneous Tissue"
