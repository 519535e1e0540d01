from saros_hf.cases import licenses
from saros_hf.check.label_counts import Presence
from saros_hf.check.paper_tables import NUM_CASES, TABLE_1, TABLE_3, TABLE_3_OVERALL
from saros_hf.folds import FOLDS
from saros_hf.labels import TASKS, BodyPart, BodyRegion, labels


def test_collections_sum_to_300_cts_of_each_region() -> None:
    columns = list(zip(*TABLE_1.values(), strict=True))
    assert [sum(column) for column in columns] == [300, 300, 300]
    assert [sum(number > 0 for number in column) for column in columns] == [6, 5, 22]
    assert NUM_CASES == 900


def test_every_collection_has_a_licence() -> None:
    assert set(TABLE_1) == set(licenses._COLLECTIONS) - {licenses.PHANTOM_COLLECTION}


def test_folds_of_every_label_sum_to_the_overall_column() -> None:
    for task in TASKS:
        for label in labels(task):
            assert TABLE_3.overall(task, label) == TABLE_3_OVERALL[task, label], label
    assert len(TABLE_3.cells) == (14 + 7) * 6


def test_both_label_maps_have_the_same_cts_and_slices() -> None:
    for fold in FOLDS:
        regions = TABLE_3.cells["body-regions", BodyRegion.BACKGROUND, fold]
        assert regions == TABLE_3.cells["body-parts", BodyPart.BACKGROUND, fold]
        assert TABLE_3.cases["body-regions", fold] == TABLE_3.cases["body-parts", fold] == 150
    assert TABLE_3_OVERALL["body-parts", BodyPart.BACKGROUND] == Presence(900, 20150)


def test_no_label_is_on_more_slices_than_are_annotated() -> None:
    for (task, _, fold), presence in TABLE_3.cells.items():
        annotated = TABLE_3.cells[task, labels(task)[0], fold].slices
        assert presence.cts <= presence.slices <= annotated
        assert presence.cts <= 150


def test_entries_read_from_the_printed_page() -> None:
    assert TABLE_3.cells["body-regions", BodyRegion.THYROID_GLANDS, "fold-3"] == Presence(96, 167)
    assert TABLE_3.cells["body-parts", BodyPart.LEG_RIGHT, "test"] == Presence(71, 273)
    assert TABLE_1["TCGA-LIHC"] == (32, 0, 1)
