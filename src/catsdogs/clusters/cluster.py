"""What a place that runs the service is to a release: ten verbs."""

from typing import Protocol

from catsdogs.errors import CatsdogsError

CANDIDATE = "candidate"
PUBLIC = "public"


class NotRolledOut(CatsdogsError):
    """The image did not come up in time, or never will."""


class Cluster(Protocol):
    """One public service of several replicas, and at times one candidate that no user reaches.

    Images are named by digest. Every verb may be repeated after a kill, and raises CatsdogsError once its own retries
    are used up.
    """

    name: str  # for people and logs

    def pinned(self, image: str) -> str:
        """The image by its digest. Raises UsageError for a name that may mean another image tomorrow."""

    def current_image(self) -> str | None:
        """The image that the public service is meant to run; None where it runs none."""

    def public_address(self) -> str:
        """Where users reach it."""

    def start_candidate(self, image: str, seconds: float) -> str:
        """Run one replica without public traffic; its address, once it is ready. Raises NotRolledOut."""

    def stop_candidate(self) -> None:
        """Take it away, if it is there."""

    def set_image(self, image: str | None) -> None:
        """Let the public service run this image; what runs goes on answering until the new one is ready. None: none."""

    def wait_rolled_out(self, seconds: float) -> None:
        """Wait until only the image that was set answers. Raises NotRolledOut."""

    def ailing(self) -> list[str]:
        """What is wrong with the public replicas since they were rolled out, a sentence each; [] where nothing is."""

    def close(self) -> None:
        """Let go of what this process holds open; nothing of the cluster changes."""

    def logs(self, of: str, lines: int) -> list[str]:
        """The last lines of the candidate or of the public service, the newest last; [] where there are none."""
