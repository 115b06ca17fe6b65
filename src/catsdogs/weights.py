"""model.pt: tensors and plain values, opened without pickle."""

import io
import pickle
import warnings
import zipfile
from pathlib import Path
from typing import Any

import torch
from catsdogs.artifacts import Document, Lineage
from catsdogs.errors import ModelRefused, UsageError
from catsdogs.files import write_bytes
from catsdogs.nets.network import Network
from catsdogs.nets.quantised.served import served
from catsdogs.nets.registry import build

REPAIR = "run `catsdogs train` again"


class WeightsCard(Document):
    """What stands in model.pt beside the tensors."""

    variant: str
    classes: list[str]
    image_size: int
    description: dict[str, Any] = {}  # of a network that its variant's name alone does not describe
    temperature: float
    unsure_below: float = 0.0
    metrics: dict[str, float]
    lineage: Lineage


def save_weights(path: Path, network: Network, card: WeightsCard) -> None:
    """Write the tensors and the card, whole or not at all."""
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}
    save_plain(path, {"weights": state, "card": card.model_dump(mode="json")})


def load_weights(path: Path) -> tuple[Network, WeightsCard]:
    """The network in evaluation mode, and its card.

    Raises ModelRefused for what is missing, damaged, of another kind or shape, or wants to run code when opened.
    """
    content = load_plain(path)
    try:
        card = WeightsCard.model_validate(content["card"])
        network = build(card.variant, len(card.classes), card.description)
        network.load_state_dict(content["weights"])
        served(network)
    except ModuleNotFoundError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError, ImportError):
        raise ModelRefused(f"{path} was not written by catsdogs: {REPAIR}.") from None
    except UsageError:
        raise ModelRefused(f"{path} is of an unknown variant {card.variant!r}: {REPAIR}.") from None
    except RuntimeError:
        raise ModelRefused(f"{path} does not hold the weights of a {card.variant!r} network: {REPAIR}.") from None
    if not all(torch.isfinite(tensor).all() for tensor in network.state_dict().values()):
        raise ModelRefused(f"{path} holds weights that are no finite numbers: {REPAIR}.")
    return network.eval(), card


def save_plain(path: Path, content: dict[str, Any]) -> None:
    """Write tensors and plain values, whole or not at all.

    Through memory: on a full disk torch's own writer hides the OSError behind one of its C++ errors.
    """
    buffer = io.BytesIO()
    torch.save(content, buffer)
    write_bytes(path, buffer.getvalue())


def load_plain(path: Path) -> dict[str, Any]:
    """Open a file of tensors and plain values; anything that would run code is refused.

    Raises ModelRefused for what is missing, damaged or not plain, OSError where the file cannot be read.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise ModelRefused(f"{path} does not exist: it is written by `catsdogs train`.") from None
    try:
        _check_sums(data)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about a foreign pickle, which is refused below anyway
            content = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        raise ModelRefused(f"{path} is no plain weights file (it may want to run code when opened): refused.") from None
    except Exception:  # torch answers damage with errors of every kind: RuntimeError, OSError, IndexError, KeyError
        raise ModelRefused(f"{path} is damaged: {REPAIR}.") from None
    if not isinstance(content, dict):
        raise ModelRefused(f"{path} was not written by catsdogs: {REPAIR}.")
    return content


def _check_sums(data: bytes) -> None:
    """Compare the checksums of a torch file; torch does not, and takes a flipped bit for another weight."""
    if data.startswith(b"PK"):
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            if (name := archive.testzip()) is not None:
                raise zipfile.BadZipFile(name)
