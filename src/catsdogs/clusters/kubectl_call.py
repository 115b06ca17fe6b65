"""One call of kubectl: arguments as a list, tried again while the cluster is busy or does not answer."""

import json
import random
import subprocess
import time
from typing import Any

from catsdogs.errors import CatsdogsError
from catsdogs.log import event

ATTEMPTS = 6
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 8.0  # seconds; doubles, and a random half of it is left out
REQUEST_SECONDS = 20
CALL_SECONDS = 90.0  # kubectl itself tries a 429 ten times
# What kubectl says of 429, 5xx, time-outs and connections that fail; of anything else a second try says the same.
PASSING = ("too many requests", "toomanyrequests", "internal error", "internalerror", "internal server error",
           "service unavailable", "serviceunavailable", "currently unable to handle the request", "timed out",
           "timeout", "connection refused", "was refused - did you specify", "connection reset", "unexpected eof",
           ": eof", "unable to connect to the server", "tls handshake", "no route to host", "etcdserver",
           "bad gateway", "the object has been modified", "server is currently unable", "an error on the server")


class Kubectl:
    def __init__(self, namespace: str, context: str | None) -> None:
        self._start = ["kubectl", f"--namespace={namespace}"] + ([f"--context={context}"] if context else [])

    def words(self, *arguments: str) -> list[str]:
        return [*self._start, *arguments]

    def json(self, *arguments: str) -> dict[str, Any]:
        found = json.loads(self.run(*arguments, "--output=json"))
        if not isinstance(found, dict):
            raise CatsdogsError(f"kubectl {' '.join(arguments)} answered no object.")
        return found

    def run(self, *arguments: str) -> str:
        """Its output. Raises CatsdogsError with what it said, once trying again is of no use."""
        reason = ""
        for attempt in range(ATTEMPTS):
            if attempt:
                time.sleep(random.uniform(0.5, 1.0) * min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** (attempt - 1)))
            try:
                answer = subprocess.run(self.words(f"--request-timeout={REQUEST_SECONDS}s", *arguments), text=True,
                                        capture_output=True, timeout=CALL_SECONDS, errors="replace")
            except FileNotFoundError:
                raise CatsdogsError("kubectl is not installed: install it, or release on this machine with --cluster "
                                    "docker.") from None
            except subprocess.TimeoutExpired:
                reason = f"no answer within {CALL_SECONDS:g} s"
                continue
            if answer.returncode == 0:
                return answer.stdout
            reason = next((line for line in reversed(answer.stderr.splitlines()) if line.strip()), "no reason given")
            if not any(word in reason.lower() for word in PASSING):
                raise CatsdogsError(f"kubectl {' '.join(arguments[:3])} failed: {reason.strip().rstrip('.')}.")
            event("kubectl_tried_again", command=arguments[:3], because=reason)
        raise CatsdogsError(f"The cluster did not answer kubectl {' '.join(arguments[:3])}, asked {ATTEMPTS} times: "
                            f"{reason.strip().rstrip('.')}.")

    def try_run(self, *arguments: str) -> str | None:
        """None where it fails: for what is only told, and not acted upon."""
        try:
            return self.run(*arguments)
        except CatsdogsError:
            return None
