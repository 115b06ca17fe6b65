"""A new model file takes over while the old one answers; one that is refused changes nothing and is shown."""

import asyncio
import signal
import time

from catsdogs.errors import CatsdogsError
from catsdogs.log import event
from catsdogs.serve.schemas import Refusal
from catsdogs.serve.service import Service
from catsdogs.serve.stamps import stamps
from catsdogs.serve.state import Loaded, load

MOST_ROUNDS = 64  # without a look, after errors that may pass


class Swap:
    """Looks at model.onnx every `reload_seconds`, and at once on SIGHUP."""

    def __init__(self, service: Service) -> None:
        self.service, self.path = service, service.settings.model_path
        self.asked = asyncio.Event()

    async def watch(self) -> None:
        """Never returns; cancelled at the end."""
        tried, resting, odd, pause = self.service.current.loaded.stamps, None, 0, 0
        self._listen()
        while True:
            asked = await self._wait()
            if pause and not asked:
                pause -= 1
                continue
            found = stamps(self.path)
            if not asked:
                # A model.pt alone is no news: training writes it first. Unless the pair has been refused before.
                news = found[0] != tried[0] or (self.service.current.refusal is not None and found != tried)
                if not news or found[0] is None:
                    continue
                if found != resting:
                    resting = found  # it may still be written: wait until it rests for one round
                    continue
            if await self.reload():
                tried, odd = found, 0
            else:  # as where there was no memory for it: other processes may have taken it
                odd += 1
                pause = min(2**odd, MOST_ROUNDS)

    async def reload(self) -> bool:
        """Load and check off the event loop, then switch, or say why not. False where that was not the file's fault."""
        service = self.service
        try:
            loaded = await asyncio.to_thread(self._load)
        except Exception as error:  # of any kind: the model of now goes on, and the next one has its chance
            service.current.refusal = Refusal(
                reason=str(error) or type(error).__name__, at=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()))
            service.metrics.model_refused.inc()
            service.say()
            event("model refused", reason=service.current.refusal.reason, answering=service.current.version)
            return isinstance(error, CatsdogsError)
        service.current.swap(loaded)
        service.metrics.swapped.inc()
        service.say()
        event("model swapped", answering=loaded.version)
        return True

    def _load(self) -> Loaded:
        loaded = load(self.service.settings)
        self.service.choose(loaded)
        return loaded

    def _listen(self) -> None:
        try:
            asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, self.asked.set)
        except (RuntimeError, ValueError, NotImplementedError, AttributeError):
            pass  # no signals outside the main thread, nor on Windows: the file is looked at anyway

    async def _wait(self) -> bool:
        """Until the next round; True where SIGHUP asked for it."""
        try:
            async with asyncio.timeout(self.service.settings.reload_seconds or None):
                await self.asked.wait()
        except TimeoutError:
            return False
        self.asked.clear()
        return True
