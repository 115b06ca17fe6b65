"""How long a training goes on, and how far it is."""

from dataclasses import dataclass

from catsdogs.train.recipe import Recipe


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A number of epochs, or with `seconds` as many steps as fit into that time; then `epochs` does not count."""

    recipe: Recipe
    epochs: int
    batch_size: int
    learning_rate: float
    seed: int
    seconds: float | None = None
    reserve: float = 0.0
    """Seconds beside those that what comes after the steps takes, on a machine as busy as when this was planned."""
    validation: float = 0.0
    """Seconds that validating an epoch takes."""

    def done(self, steps: int, steps_an_epoch: int, seconds: float, slower: float = 1.0) -> float:
        """Share of the training that is done after so many steps, which took so many seconds; 1 at its end.

        Within a time another step is not begun where one of usual length would end too late: a batch of a large
        network takes 5 s on two cores. Where everything takes `slower` times as long as planned, what comes after does.
        """
        if self.seconds is not None:
            if not steps:
                return 0.0
            until = max(self.seconds / 2, self.seconds - (slower - 1) * self.reserve)
            return seconds / until if seconds + seconds / steps <= until else 1.0
        return steps / (self.epochs * steps_an_epoch)
