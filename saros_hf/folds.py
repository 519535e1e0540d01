"""The six published groups of cases, and train, validation and test made of them."""

from typing import Literal, TypeAlias, get_args

Fold: TypeAlias = Literal["fold-1", "fold-2", "fold-3", "fold-4", "fold-5", "test"]
FOLDS: tuple[Fold, ...] = get_args(Fold)

SplitName: TypeAlias = Literal["train", "validation", "test"]
SPLITS: tuple[SplitName, ...] = get_args(SplitName)


def split_of(fold: Fold, *, validation_fold: int = 1) -> SplitName:
    """Return the split a fold belongs to.

    The paper (Methods, "Split definition") validates on fold-1 and trains on the other four.

    Args:
        fold: The value of the case table's ``split`` column.
        validation_fold: Number 1..5 of the fold held out for validation.
    """
    if fold == "test":
        return "test"
    return "validation" if fold == f"fold-{validation_fold}" else "train"
