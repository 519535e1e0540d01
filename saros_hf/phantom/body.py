"""Paint a patient on a scanner's grid: every structure, in order."""

import numpy as np

from ..labels import BodyPart
from .abdomen import paint_abdomen
from .canvas import STANDARD_HEIGHT_MM, Canvas
from .chest import paint_chest
from .geometry import Floats, Waves
from .head import paint_head_skin, paint_neck, paint_skull
from .limbs import arms_of, paint_arm_bones, paint_arm_skin, paint_femurs, paint_thighs
from .patient import Patient
from .protocol import SLICE_MM, Protocol
from .shape import CROTCH_Z, Shape
from .skeleton import paint_clavicles, paint_pelvis, paint_ribcage, paint_spine
from .tissue import Tissue
from .trunk import paint_cavity, paint_septa, paint_trunk

_BEND_MM = np.float32(3.0)


def paint_body(patient: Patient, shape: Shape, protocol: Protocol, *, size: int) -> Canvas:
    """Return the painted canvas: two planes per slice and one more, slices on odd planes."""
    canvas = _blank(patient, protocol, size)
    arms = arms_of(patient, shape, up=protocol.arms_up)
    paint_trunk(canvas, shape, patient, arms_up=protocol.arms_up)
    paint_head_skin(canvas, shape)
    paint_thighs(canvas, patient)
    for arm in arms:
        paint_arm_skin(canvas, arm)
    paint_cavity(canvas, shape, patient)
    paint_chest(canvas, shape, patient)
    paint_abdomen(canvas, shape, patient)
    paint_septa(canvas, patient)
    paint_neck(canvas, patient)
    paint_pelvis(canvas, shape, patient)
    paint_ribcage(canvas, shape, patient)
    paint_clavicles(canvas, arms_up=protocol.arms_up)
    paint_femurs(canvas, patient)
    for arm in arms:
        paint_arm_bones(canvas, arm)
    paint_skull(canvas, patient)
    paint_spine(canvas)
    _mark_parts(canvas)
    _lay_on_table(canvas, protocol, size)
    _paint_skin(canvas)
    return canvas


def _grid_mm(protocol: Protocol, size: int) -> tuple[Floats, Floats]:
    """Return scanner x and y of every pixel, each (row, column)."""
    axis = (np.arange(size, dtype=np.float32) - (size - 1) / 2) * (protocol.fov_mm / size)
    x, y = np.meshgrid(axis.astype(np.float32), axis.astype(np.float32))
    return x, y


def _blank(patient: Patient, protocol: Protocol, size: int) -> Canvas:
    """Return an empty canvas on the patient's coordinates, bent so that nothing is an ellipse."""
    x, y = _grid_mm(protocol, size)
    x, y = x - protocol.shift_mm[0], y - protocol.shift_mm[1]
    turn = np.array([[np.cos(protocol.turn), np.sin(protocol.turn)],
                     [-np.sin(protocol.turn), np.cos(protocol.turn)]]) / patient.frame  # fmt: skip
    turned = np.tensordot(turn, np.stack([x, y]), axes=1).astype(np.float32)
    flat: tuple[Floats, Floats] = turned[0], turned[1]
    height = protocol.low_mm + SLICE_MM / 2 * (np.arange(2 * protocol.slices + 1) - 1)
    z = (height * STANDARD_HEIGHT_MM / patient.height_mm).astype(np.float32)
    rng = patient.rng("warp")
    bent = []
    for axis in flat:
        field = Waves.draw(rng, in_plane_mm=70, axial_mm=90, count=12).at(*flat, z)
        field *= _BEND_MM
        field += axis
        bent.append(field)
    empty = np.zeros((len(z), size, size), np.uint8)
    return Canvas(flat=flat, x=bent[0], y=bent[1], z=z, tissue=empty, part=empty.copy())


def _mark_parts(canvas: Canvas) -> None:
    """Mark legs and torso where no structure has marked a body part."""
    legs = canvas.crop((-400, -300, 0), (400, 300, CROTCH_Z))
    side = np.where(legs.x < 0, np.uint8(BodyPart.LEG_RIGHT), np.uint8(BodyPart.LEG_LEFT))
    np.copyto(legs.part, side, where=legs.part == 0)
    canvas.part[canvas.part == 0] = BodyPart.TORSO


def _lay_on_table(canvas: Canvas, protocol: Protocol, size: int) -> None:
    """Flatten the back on a curved table, and cut off everything outside the scanner's circle."""
    x, y = _grid_mm(protocol, size)
    below = y - protocol.table_mm + 0.0005 * x**2
    canvas.tissue[:, below > 0] = Tissue.AIR
    canvas.tissue[:, (below > 0) & (abs(x) < 215)] = Tissue.TABLE_FOAM
    thick = max(3.0, 1.3 * protocol.fov_mm / size)
    shell = (abs(below - 12) < thick) | (abs(below - 52) < thick)
    canvas.tissue[:, shell & (abs(x) < 215)] = Tissue.TABLE_SHELL
    canvas.tissue[:, below > 52 + thick] = Tissue.AIR
    canvas.tissue[:, np.hypot(x, y) > protocol.fov_mm / 2] = Tissue.AIR


def _paint_skin(canvas: Canvas) -> None:
    """Turn the outermost in-plane layer of subcutaneous fat into skin."""
    fat = canvas.tissue == Tissue.SUBCUTANEOUS_FAT
    outside = canvas.tissue <= Tissue.TABLE_FOAM
    beside = np.zeros_like(fat)
    beside[:, 1:] |= outside[:, :-1]
    beside[:, :-1] |= outside[:, 1:]
    beside[:, :, 1:] |= outside[:, :, :-1]
    beside[:, :, :-1] |= outside[:, :, 1:]
    canvas.tissue[beside & fat] = Tissue.SKIN
