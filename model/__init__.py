"""What the image ships: reads a case, finds the lesions, writes the mask. Imports nothing from training."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from model.segmenter import Segmentation, Segmenter

__all__ = ["Segmentation", "Segmenter"]
__version__ = "0.1.0"


def __getattr__(name: str) -> object:
    """The Python interface, imported when it is asked for: `import model` alone takes no time."""
    if name in __all__:
        from model import segmenter

        return getattr(segmenter, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
