"""Compare networks and mirror passes: each measures on its own, then their spread is taken."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet
from torch import nn

from saros_hf.files import write_atomically

from ..model.test_time_averaging import PredictOptions
from ..predict.ensemble import Ensemble

__all__ = ["members_of", "write_spread"]

_VOLUME_KEYS = ["case", "extent", "kind", "structure"]
_LEVEL_KEYS = ["case", "level", "way", "extent"]


def members_of(ensemble: Ensemble) -> Iterator[tuple[str, Ensemble, PredictOptions]]:
    """Yield every network alone, plain and averaged with its mirror image, with a name."""
    for number, network in enumerate(ensemble.networks, start=1):
        alone = replace(ensemble, networks=nn.ModuleList([network]))
        for mirror in (False, True):
            name = f"network_{number}{'_mirror' if mirror else ''}"
            yield name, alone, replace(ensemble.options, mirror=mirror)


def write_spread(folders: Sequence[Path], out: Path) -> None:
    """Write ``volumes_spread.csv`` and ``levels_spread.csv`` from the tables of all members.

    They hold the standard deviation over the members of every volume in mL and every area in cm2;
    a value that not all of them have is empty.
    """
    for name, keys, unit in (
        ("volumes", _VOLUME_KEYS, "volume_ml"),
        ("levels", _LEVEL_KEYS, "_area_cm2"),
    ):
        tables = [pyarrow.parquet.read_table(folder / f"{name}.parquet") for folder in folders]
        columns = [one for one in tables[0].column_names if one.endswith(unit)]
        if not columns:
            continue
        every = pa.concat_tables([table.select([*keys, *columns]) for table in tables])
        grouped = every.group_by(keys, use_threads=False).aggregate(
            [(one, "stddev", pc.VarianceOptions(ddof=1, min_count=len(tables))) for one in columns]
        )
        names = [re.sub(r"_(ml|cm2)_stddev$", r"_sd_\1", one) for one in grouped.column_names]
        with write_atomically(out / f"{name}_spread.csv") as aside:
            pyarrow.csv.write_csv(grouped.rename_columns(names), aside)
