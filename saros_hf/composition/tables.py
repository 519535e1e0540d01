"""Tidy tables and JSON of measured cases: a row per case, per volume, per slice and per level."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal, TypeAlias

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from ..files import write_atomically
from ..labels import BodyRegion
from .result import SLICE_EXTENTS, Area, Composition, LevelRow
from .tissues import RATIOS, TISSUES

__all__ = [
    "TABLES",
    "AddRows",
    "TableName",
    "definitions",
    "is_number",
    "table_writer",
    "tables_of",
]

TableName: TypeAlias = Literal["cases", "volumes", "slices", "levels"]
TABLES: tuple[TableName, ...] = ("cases", "volumes", "slices", "levels")
AddRows: TypeAlias = Callable[[Sequence[Mapping[str, Any]]], None]

_DECIMALS = 4
_UNITS = ("_ml", "_cm", "_cm2", "_hu", "_mm", "_m2", "_share", "_kv", "_degrees")
_INTEGERS = ("slices_in_scan", "slices_measured", "slice", "first_slice", "last_slice", "l3_slice")


def tables_of(case: str, composition: Composition) -> dict[TableName, list[dict[str, Any]]]:
    """Return the rows of a case in every table; unknown values are ``None``."""
    return {
        "cases": [{"case": case} | _summary(composition)],
        "volumes": [{"case": case} | _flat(asdict(row)) for row in composition.volumes],
        "slices": [
            {"case": case} | _without_tissues(row) | _areas(row.tissues)
            for row in composition.slices
        ],
        "levels": [
            {"case": case} | _without_tissues(row) | _areas(row.tissues)
            for row in composition.levels
        ],
    }


def definitions() -> dict[str, Any]:
    """Return the definitions of tissues and ratios, to be printed with every output."""
    return {
        "tissues": [
            {
                "name": tissue.name,
                "label": tissue.map_label or None,
                "ranges": [
                    {"region": r.region.name.lower(), "low_hu": r.low_hu, "end_hu": r.end_hu}
                    for r in tissue.ranges
                ],
            }
            for tissue in TISSUES
        ],
        "ratios": {ratio.name: f"{ratio.numerator} / {ratio.denominator}" for ratio in RATIOS},
        "hu": "rounded to integers; a range holds low_hu <= HU < end_hu",
    }


@contextmanager
def table_writer(folder: Path, name: TableName, columns: Sequence[str]) -> Iterator[AddRows]:
    """Yield a function that adds rows to ``NAME.csv`` and ``NAME.parquet``.

    Both files appear when the block ends; empty cells are unknown values.
    """
    schema = pa.schema([(column, _type_of(column)) for column in columns])
    with (
        write_atomically(folder / f"{name}.parquet") as parquet,
        write_atomically(folder / f"{name}.csv") as csv,
        pyarrow.parquet.ParquetWriter(parquet, schema) as to_parquet,
        pyarrow.csv.CSVWriter(csv, schema) as to_csv,
    ):

        def add(rows: Sequence[Mapping[str, Any]]) -> None:
            table = pa.Table.from_pylist([dict(row) for row in rows], schema=schema)
            to_parquet.write_table(table)
            to_csv.write_table(table)

        yield add


def is_number(column: str) -> bool:
    """Return whether a column holds numbers with a fraction."""
    ratios = tuple(ratio.name for ratio in RATIOS)
    return column in ("seconds", "value") or column.endswith((*_UNITS, *ratios))


def _type_of(column: str) -> pa.DataType:
    if column in _INTEGERS:
        return pa.int64()
    if column == "missing":
        return pa.bool_()
    return pa.float64() if is_number(column) else pa.string()


def _summary(composition: Composition) -> dict[str, Any]:
    """Return the row of a case: the whole scan, then the torso and the scan without limbs."""
    row: dict[str, Any] = {
        "slices_in_scan": composition.slices_in_scan,
        "slices_measured": composition.slices_measured,
        **{
            f"spacing_{axis}_mm": mm for axis, mm in zip("ijk", composition.spacing_mm, strict=True)
        },
        "height_cm": composition.height_cm,
    }
    known = {(one.extent, one.kind, one.structure): one for one in composition.volumes}
    for tissue in TISSUES:
        whole = known["whole", "tissue", tissue.name]
        row |= {
            f"{tissue.name}_volume_ml": whole.volume_ml,
            f"{tissue.name}_low_95_ml": whole.low_95_ml,
            f"{tissue.name}_high_95_ml": whole.high_95_ml,
            f"{tissue.name}_one_voxel_ml": whole.one_voxel_ml,
            f"{tissue.name}_mean_hu": whole.hu.mean_hu,
            f"{tissue.name}_incomplete": whole.incomplete,
        }
    for extent in SLICE_EXTENTS[1:]:
        for tissue in TISSUES:
            part = known.get((extent, "tissue", tissue.name))
            row[f"{extent}_{tissue.name}_volume_ml"] = part and part.volume_ml
            row[f"{extent}_{tissue.name}_mean_hu"] = part and part.hu.mean_hu
    for region in tuple(BodyRegion)[1:]:
        name = region.name.lower()
        row[f"{name}_region_volume_ml"] = known["whole", "region", name].volume_ml
    ratios = {(one.extent, one.ratio): one.value for one in composition.ratios}
    for extent in SLICE_EXTENTS:
        prefix = "" if extent == "whole" else f"{extent}_"
        row |= {f"{prefix}{one.name}": ratios.get((extent, one.name)) for one in RATIOS}
    row |= _at_l3(composition.levels)
    for severity in ("warning", "note"):
        texts = [f"{one.name}: {one.text}" for one in composition.flags if one.severity == severity]
        row[f"{severity}s"] = "; ".join(texts)
    return _known(row)


def _at_l3(levels: Sequence[LevelRow]) -> dict[str, Any]:
    """Return the middle slice of L3, of the torso where it is known, else of the whole slice."""
    middle = {row.extent: row for row in levels if (row.level, row.way) == ("L3", "middle_slice")}
    chosen = middle.get("torso", middle.get("whole"))
    row: dict[str, Any] = {
        "l3_extent": chosen and chosen.extent,
        "l3_slice": chosen and chosen.first_slice,
        "l3_muscle_index_cm2_per_m2": chosen and chosen.muscle_index_cm2_per_m2,
    }
    for name in ("muscle", "subcutaneous_adipose", "visceral_adipose", "intermuscular_adipose"):
        row[f"l3_{name}_area_cm2"] = chosen and chosen.tissues[name].area_cm2
        row[f"l3_{name}_mean_hu"] = chosen and chosen.tissues[name].mean_hu
    return row


def _flat(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row with the values of nested rows in its own columns."""
    flat: dict[str, Any] = {}
    for key, value in row.items():
        flat |= value if isinstance(value, dict) else {key: value}
    return _known(flat)


def _without_tissues(row: Any) -> dict[str, Any]:  # noqa: ANN401 - SliceRow or LevelRow
    return _known({key: value for key, value in vars(row).items() if key != "tissues"})


def _areas(tissues: Mapping[str, Area]) -> dict[str, Any]:
    return _known(
        {
            f"{name}_{quantity}": value
            for name, area in tissues.items()
            for quantity, value in vars(area).items()
        }
    )


def _known(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row with ``None`` for NaN, and with few decimals."""
    return {
        key: (None if math.isnan(value) else round(value, _DECIMALS))
        if isinstance(value, float)
        else value
        for key, value in row.items()
    }
