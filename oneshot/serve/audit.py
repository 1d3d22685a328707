"""Who changed whom, and when: one line of JSON a change, appended and on the disk before it is answered."""

import json
import os
import threading
from datetime import datetime, timezone
from pathlib import Path

from oneshot.errors import OneShotError


class Audit:
    """The log of changes. People stand in it by their ids, not by their names.

    Raises:
        OneShotError: the file cannot be written.
    """

    def __init__(self, path: Path):
        try:
            self._number = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        except OSError as error:
            raise OneShotError(
                f"{path}: cannot be written ({error.strerror}); give the log of changes another place"
            ) from None
        self._writing = threading.Lock()

    def write(self, who: str, did: str, whom: str, request_id: str, **more: object) -> None:
        """One change.

        Args:
            who: the key's name.
            did: "create", "rename", …
            whom: the person's id.
            more: what belongs to it: ids and counts.
        """
        now = datetime.now(timezone.utc).isoformat(timespec="milliseconds")
        line = {"time": now, "who": who, "did": did, "whom": whom, "request_id": request_id} | more
        with self._writing:
            os.write(self._number, (json.dumps(line) + "\n").encode())
            os.fsync(self._number)

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._number)
