"""OpenVINO without its converter of models, which nobody here needs."""

import sys
import warnings
from typing import Any

CONVERTER = "openvino.tools.ovc"


def openvino() -> Any:
    """The package. The only place that imports it.

    `import openvino` by itself imports the converter too, and that one sends an event to Google Analytics unless
    somebody has said no, writes an identifier into ~/intel, and leaves a thread and a process behind, before the
    service forks. OpenVINO does without it where it is not installed: for the moment of the import, it is not. This
    saves a twelfth of the imports of the service as well.
    """
    first = "openvino" not in sys.modules
    if first:
        sys.modules[CONVERTER] = None  # type: ignore[assignment]  # Python's way to say that there is none
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it warns about its own deprecated parts
            import openvino as package  # whoever comes second waits here for the first
    finally:
        if first:
            sys.modules.pop(CONVERTER, None)
    return package
