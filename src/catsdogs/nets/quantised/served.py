"""Which networks are served in integers."""

from catsdogs.nets.fast import Fast
from catsdogs.nets.lite0 import Lite0
from catsdogs.nets.network import Network
from catsdogs.nets.plain import Plain
from catsdogs.nets.pretrained import Pretrained
from catsdogs.nets.quantised.fast import QuantisedFast
from catsdogs.nets.quantised.lite0 import QuantisedLite0
from catsdogs.nets.quantised.network import STEPS, Quantised
from catsdogs.nets.quantised.plain import QuantisedPlain


def quantised(network: Network) -> Quantised | None:
    """The network in integers, still without steps; None for one that is served as it is."""
    found: Quantised | None = None
    if isinstance(network, Fast):
        found = QuantisedFast(network)
    elif isinstance(network, Plain):
        found = QuantisedPlain(network)
    elif isinstance(network, Pretrained) and isinstance(network.backbone, Lite0):
        found = QuantisedLite0(network, network.backbone)
    return found and found.eval()


def served(network: Network) -> Network:
    """What answers in its place: itself, or in integers where it has learned the steps for them.

    Raises ValueError for steps or levels that do not fit.
    """
    found = quantised(network) if STEPS in network.description else None
    if found is None:
        return network
    found.take(network.description)
    return found
