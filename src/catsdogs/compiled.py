"""A network -> compiled by OpenVINO for the outputs that are asked for.

Processors without fast 8-bit or 16-bit arithmetic are slower or wrong with it (bfloat16 emulated: 20 times slower; 8
bits: sums that overflow, see integers.py), so that a network can be compiled in float32 as well.
"""

import threading
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from catsdogs import integers
from catsdogs.artifacts import EVIDENCE_NAME, INPUT_NAME
from catsdogs.images import Pixels
from catsdogs.openvino_alone import openvino

Floats = npt.NDArray[np.float32]

EXACT = {"INFERENCE_PRECISION_HINT": "f32", "LP_TRANSFORMS_MODE": "NO"}
"""Float32, also between the levels of a network in integers."""

USUAL: dict[bool, dict[str, str]] = {False: {}, True: {"INFERENCE_PRECISION_HINT": "f32"}}
"""What the processor is good at. Beside integers float32: bfloat16 takes longer there, for layers that take no time."""


TOGETHER = 4
"""Photos for whose number a network in integers can be compiled: of `fast` at 112 px one alone takes 0.43 ms, of four
each 0.26, of eight each 0.25 (AMX); another number than the last time costs 0.2 to 0.5 ms, where it is not fixed."""

ANY = 0


class Way(NamedTuple):
    """What of a network is compiled: with its evidence or without, for so many photos, or for ANY number."""

    evidence: bool
    photos: int


class Several:
    """Answers any number of photos."""

    def __init__(self, request: Any, names: list[set[str]]) -> None:
        self._request, self._names = request, names

    def infer(self, pixels: Pixels) -> dict[str, Floats]:
        # Shared: the engine reads these pixels where they are, and its answers, which the next call writes over, are
        # copied once here and not twice.
        answers = self._request.infer({INPUT_NAME: pixels}, share_inputs=True, share_outputs=True)
        return {name: np.array(values) for names, values in zip(self._names, answers.values(), strict=True)
                for name in names}


class Fixed:
    """Answers one number of photos, which always lie in the same place, as do the answers: 0.05 ms less of Python."""

    def __init__(self, request: Any, names: list[set[str]]) -> None:
        tensor = openvino().Tensor
        self._request = request
        self._pixels: Pixels = np.zeros(request.get_input_tensor().shape, np.uint8)
        request.set_input_tensor(tensor(self._pixels, shared_memory=True))
        self._answers: dict[str, Floats] = {}
        for place, known_as in enumerate(names):
            values = np.zeros(request.get_output_tensor(place).shape, np.float32)
            request.set_output_tensor(place, tensor(values, shared_memory=True))
            self._answers |= dict.fromkeys(known_as, values)

    def infer(self, pixels: Pixels) -> dict[str, Floats]:
        if pixels.shape != self._pixels.shape:  # which copying would stretch
            raise ValueError(f"pixels {pixels.shape} for a network of {self._pixels.shape}")
        np.copyto(self._pixels, pixels)
        self._request.infer(share_outputs=True)
        return {name: values.copy() for name, values in self._answers.items()}


class Compiled:
    """A network. Every method may be called from several threads at once."""

    def __init__(self, model: Any, arithmetic: str, threads: int = 1, *, exact: bool = False,
                 by_one: bool = True) -> None:
        """`arithmetic` is what the model was made for, `exact` leaves it for float32, as does a processor on which
        integers are not exact. Without `by_one`, one photo is answered like several."""
        whole = arithmetic != "float"
        exact = exact or whole and not integers.are_exact(arithmetic)
        self._model, self._exact, self._made_for, self._threads = model, exact, arithmetic, threads
        self._options: dict[str, Any] = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_NUM_THREADS": threads,
            "DYNAMIC_QUANTIZATION_GROUP_SIZE": 0,  # or what meets 8-bit weights is rounded too, even in float32
            "ENABLE_CPU_PINNING": False,  # pinned, two processes share one core: 305 instead of 589 requests/s
            **(EXACT if exact else USUAL[whole]),
        }
        self.outputs = {name for port in model.outputs for name in port.get_names()}
        self._compiled: dict[Way, Any] = {}
        self._names: dict[Way, list[set[str]]] = {}
        self._lock, self._local = threading.Lock(), threading.local()
        self._by_one = by_one and whole
        self._numbers = {1} if self._by_one else set[int]()
        self._usual = Way(False, 1 if self._by_one else ANY)
        self._compile(self._usual)

    def takes_together(self) -> bool:
        """Compile for TOGETHER photos, which takes a tenth of a second; whether that is of use to this network."""
        if self._by_one and TOGETHER not in self._numbers:
            self._compile(Way(False, TOGETHER))
            self._numbers.add(TOGETHER)
        return self._by_one

    def infer(self, pixels: Pixels, *, evidence: bool = False) -> dict[str, Floats]:
        """uint8 [n, image_size, image_size, 3] -> every output by name; the evidence only where it is asked for.

        It costs a tenth of an answer and most need none of it, so it is compiled apart, when first asked for. So is a
        network in integers for several photos: for one, whose size is known, it takes 7 % less. In bfloat16 both would
        round differently.
        """
        way = Way(evidence, len(pixels) if len(pixels) in self._numbers else ANY)
        requests = self._local.__dict__
        request = requests.get(str(way))
        if request is None:
            # Without the lock: another way may be compiled just now, and take long.
            compiled = self._compiled.get(way) or self._compile(way)
            made = Several if way.photos == ANY else Fixed
            request = requests[str(way)] = made(compiled.create_infer_request(), self._names[way])
        answers: dict[str, Floats] = request.infer(pixels)
        return answers

    def infer_together(self, photos: Sequence[Pixels]) -> Iterator[tuple[Pixels, dict[str, Floats]]]:
        """Some photos, each uint8 [1, image_size, image_size, 3], and their answers, until all have theirs.

        Where the network `takes_together`, so many at a time: three have a blank page for company, one and two are
        answered alone.
        """
        if TOGETHER not in self._numbers:
            pixels = np.concatenate(photos)
            yield pixels, self.infer(pixels)
            return
        for start in range(0, len(photos), TOGETHER):
            part = photos[start:start + TOGETHER]
            if len(part) < TOGETHER - 1:
                yield from ((one, self.infer(one)) for one in part)
                continue
            pixels = np.concatenate([*part, *[np.zeros_like(part[0])] * (TOGETHER - len(part))])
            answers = self.infer(pixels)
            yield pixels[:len(part)], {name: values[:len(part)] for name, values in answers.items()}

    def in_float32(self) -> "Compiled":
        """The same network once more, for as many photos at once; a tenth of a second for each number of them."""
        exact = Compiled(self._model, self._made_for, self._threads, exact=True, by_one=self._by_one)
        if TOGETHER in self._numbers:
            exact.takes_together()
        return exact

    @property
    def is_exact(self) -> bool:
        """Whether the processor has nothing coarser that is faster, and float32 was chosen by itself."""
        return self._exact or (
            "INFERENCE_PRECISION_HINT" not in self._options
            and self._compile(self._usual).get_property("INFERENCE_PRECISION_HINT")
            == openvino().Type.f32)

    @property
    def arithmetic(self) -> str:
        """What it computes in."""
        if self.is_exact:
            return "float32"
        if self._made_for != "float":
            return self._made_for
        hint = self._compile(self._usual).get_property("INFERENCE_PRECISION_HINT").get_type_name()
        return {"bf16": "bfloat16", "f16": "float16"}.get(hint, str(hint))  # the second on ARM

    def _compile(self, way: Way) -> Any:
        with self._lock:
            if way not in self._compiled:
                results = [port.get_node() for port in self._model.outputs
                           if way.evidence or EVIDENCE_NAME not in port.get_names()]
                # A copy: giving the input a size of one photo would give it to every part of the same model.
                part = openvino().Model(results, self._model.get_parameters(), "part").clone()
                if way.photos != ANY:
                    of_one = list(part.inputs[0].partial_shape)[1:]
                    part.reshape([way.photos, *(length.get_length() for length in of_one)])
                compiled = openvino().Core().compile_model(part, "CPU", self._options)
                self._names[way] = [port.get_names() for port in compiled.outputs]  # an output may have several
                self._compiled[way] = compiled
            return self._compiled[way]
