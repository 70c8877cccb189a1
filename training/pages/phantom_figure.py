"""What the networks of the study mark on the invented case of the tests: one slice, one panel per loss."""

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Colormap, LinearSegmentedColormap
from matplotlib.lines import Line2D

from model.images.brain import brain_box
from model.images.case import Case, read_case
from model.inputs.platform import find_inputs
from model.report.montage import BLUE_TO_RED, Z_WINDOW
from training.common.loss_names import LOSS_NAMES
from training.data.published import read_label
from training.pages.plots import ORANGE, panels_of, save, styled
from training.scores.metrics import score

LABEL_COLOUR, MASK_COLOUR = "#56b4e9", ORANGE
Z_COLOURS = LinearSegmentedColormap.from_list("z", [f"#{colour}" for colour in BLUE_TO_RED])  # as the reports'
MARGIN = 3  # voxels around the brain


def draw_phantom(folder: Path, masks: dict[str, np.ndarray], path: Path) -> None:
    """Draw ADC, Z map and every loss's mask on the slice with most lesion.

    folder: holds `input/` in the platform's layout and `label.mha`. masks: boolean (z, y, x) by loss; the caption names the
    losses without.
    """
    case = read_case(*find_inputs(folder / "input"))
    label = read_label(folder / "label.mha", case.adc)
    with styled():
        figure, (adc_axes, z_axes, *panels) = panels_of(2 + len(LOSS_NAMES), 4, (2.4, 3.2))
        view = SliceView(case, label)
        view.show(adc_axes, case.adc.voxels, "ADC in 1e-6 mm2/s", "gray", (0, 2500), bar=True)
        view.show(z_axes, case.zadc.voxels, "Z map", Z_COLOURS, Z_WINDOW, bar=True)
        for axes, loss in zip(panels, LOSS_NAMES, strict=True):
            if loss in masks:
                dice = score(masks[loss], label, case.grid.spacing_mm).dice
                view.show(axes, case.adc.voxels, f"{loss}\nDice {dice:.2f}", "gray", (0, 2500))
                view.outline(axes, masks[loss], MASK_COLOUR, "solid")
                view.outline(axes, label, LABEL_COLOUR, "dashed")
            else:
                axes.set_axis_off()
        lines: tuple[tuple[str, str, Any], ...] = ((LABEL_COLOUR, "label", "dashed"), (MASK_COLOUR, "mask", "solid"))
        handles = [Line2D([], [], color=colour, label=name, linestyle=style) for colour, name, style in lines]
        figure.legend(handles=handles, loc="outside upper center", ncols=2)
        figure.supxlabel(caption(view.slice, list(masks)), fontsize=9)
        save(figure, path)


def caption(number: int, drawn: list[str]) -> str:
    """Where the slice lies, and which losses are missing."""
    missing = [loss for loss in LOSS_NAMES if loss not in drawn]
    words = f"The built-in invented case, slice {number}; Dice is over its whole volume."
    return words + (f"\nNot run, so not drawn: {', '.join(missing)}." if missing else "")


class SliceView:
    """The slice with most lesion, cut to the brain: front of the head up, the patient's left on the right."""

    def __init__(self, case: Case, label: np.ndarray) -> None:
        self.slice = int(label.sum(axis=(1, 2)).argmax())
        _, *self.box = brain_box(case.brain, MARGIN)
        _, y_mm, x_mm = case.grid.spacing_mm
        self.aspect = y_mm / x_mm

    def cut(self, volume: np.ndarray) -> np.ndarray:
        """The slice's (y, x) of a volume (z, y, x)."""
        rows, columns = self.box
        return volume[self.slice, rows, columns]

    def show(
        self,
        axes: Axes,
        volume: np.ndarray,
        title: str,
        colours: str | Colormap,
        limits: tuple[float, float],
        *,
        bar: bool = False,
    ) -> None:
        """Draw a map."""
        image = axes.imshow(
            self.cut(volume), cmap=colours, vmin=limits[0], vmax=limits[1], aspect=self.aspect, interpolation="nearest"
        )
        axes.set_title(title)
        axes.set_axis_off()
        if bar:
            axes.figure.colorbar(image, ax=axes, shrink=0.8, location="bottom", pad=0.02)

    def outline(self, axes: Axes, mask: np.ndarray, colour: str, style: str) -> None:
        """Draw a mask's border, if it has one in this slice."""
        if self.cut(mask).any():
            axes.contour(self.cut(mask), levels=[0.5], colors=colour, linewidths=1.3, linestyles=style)
