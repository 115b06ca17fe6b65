"""What can go wrong, as one sentence for a person and an exit status for a script."""


class CatsdogsError(Exception):
    """The work failed, or a check ran and said no.

    The message is one sentence: what, which value, and the command or flag that repairs it.
    """

    exit_status = 1


class UsageError(CatsdogsError):
    """The command was called wrongly: a missing folder, ratios that do not add up, an unknown variant."""

    exit_status = 2


class BadImage(CatsdogsError):
    """Bytes that are not a usable photo. `reason` is a short, stable slug for manifests and metrics."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason

    def __reduce__(self) -> tuple[type, tuple[str, str]]:
        return type(self), (self.reason, str(self))  # crosses process pools


class TooManyPixels(BadImage):
    """The header announces more pixels than the limit, or more than there is memory for; refused before any of them is
    decoded."""


class ModelRefused(CatsdogsError):
    """A model file that is missing, broken, of another kind, or that answers its golden photos wrongly."""
