"""The published folds, and the splits made of them.

A *fold* is one of the six groups of cases that the authors published: five for cross-validation
and ``test``. A *split* is the use of a fold: train, validation or test.
"""

from typing import Literal, TypeAlias, get_args

__all__ = ["FOLDS", "SPLITS", "Fold", "SplitName", "split_of"]

Fold: TypeAlias = Literal["fold-1", "fold-2", "fold-3", "fold-4", "fold-5", "test"]
FOLDS: tuple[Fold, ...] = get_args(Fold)

SplitName: TypeAlias = Literal["train", "validation", "test"]
SPLITS: tuple[SplitName, ...] = get_args(SplitName)


def split_of(fold: Fold, *, validation_fold: int = 1) -> SplitName:
    """Return the split a fold belongs to.

    The paper (Methods, "Split definition") validates on fold-1 and trains on the other four.

    Args:
        fold: Value of the case table's ``split`` column.
        validation_fold: Number 1..5 of the fold used for validation.

    Example:
        >>> split_of("fold-1"), split_of("fold-1", validation_fold=3)
        ('validation', 'train')
    """
    if fold == "test":
        return "test"
    return "validation" if fold == f"fold-{validation_fold}" else "train"
