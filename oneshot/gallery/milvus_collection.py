"""A gallery's rows in Milvus: one collection, asked in a few ways, its errors as sentences.

Milvus answers by default with all that was saved before the question. With `quick` it does not wait for what
other programs save at that moment, which on a cluster takes a good part of a second.
"""

import logging
import os
import re
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from oneshot import extras
from oneshot.errors import OneShotError, StorageError
from oneshot.types import Floats

NAME = "oneshot_gallery"
TOKEN = "MILVUS_TOKEN"
"""The variable that holds USER:PASSWORD or an API key; what is written into an address is seen by others."""

PATIENCE = 20.0
"""Seconds to wait for a server."""

PAGE = 1000
"""Rows a request; with embeddings of 1000 numbers 4 MB."""

TEXTS = ("kind", "who", "name", "template", "photo", "model")
LONGEST = 65535
"""Bytes of a text, Milvus' own limit."""

Row = dict[str, Any]
"""A value for each of `TEXTS`, a "quality", a "vector" (D,) float32, and an "id" of at most 64 letters."""

_opening = threading.RLock()
"""Held while a collection is opened or made: milvus-lite opens one twice if two ask for it at once, and of
those two only one learns of its index."""

_users: Counter[str] = Counter()
"""How many collections of this program are open in each of milvus-lite's folders."""


class MilvusCollection:
    """The collection of a server or a folder.

    Args:
        where: `http://HOST:PORT`, with `/DATABASE` if it has several, or milvus-lite's folder `FILE.db`, made
            if there is none.

    Raises:
        OneShotError: no such address, no answer, refused; another program has the folder open; the package
            pymilvus is missing. Every method raises it if Milvus fails.
    """

    def __init__(self, where: str):
        self.place = "milvus:" + re.sub("//[^/]*@", "//", where)  # a password is not for messages
        self._folder = None if "://" in where else str(Path(where).resolve())
        self._check(where)
        os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # what goes wrong is said once, by us
        grpc, pymilvus = (extras.load(m, "a gallery in Milvus", "milvus") for m in ("grpc", "pymilvus"))
        for library in ("pymilvus", "milvus_lite"):
            logging.getLogger(library).setLevel(logging.CRITICAL + 1)
        self._errors = (pymilvus.MilvusException, grpc.RpcError)
        self._size = 0
        with _opening, self._explained():
            self._client: Any = pymilvus.MilvusClient(
                uri=self._folder or where, token=os.environ.get(TOKEN, ""), timeout=PATIENCE, dedicated=True
            )
            if self._folder:
                _users[self._folder] += 1

    def _check(self, where: str) -> None:
        if self._folder is None:
            try:
                parts = urlsplit(where)
                good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
            except ValueError:
                good = False
            if not good:
                raise OneShotError(f"{self.place}: not a server's address; write milvus:http://HOST:19530")
            return
        path = Path(self._folder)
        if path.suffix != ".db":
            raise OneShotError(f"{self.place}: a gallery's name ends in .db; rename it")
        if path.is_file():
            raise OneShotError(f"{self.place}: a file, not milvus-lite's folder; leave 'milvus:' out")
        if not path.parent.is_dir():
            raise OneShotError(f"{self.place}: the folder {path.parent} does not exist; create it first")

    @property
    def size(self) -> int:
        """How many numbers a vector has; 0 as long as there is no collection, which others may make."""
        if not self._size:
            with _opening, self._explained():
                if not self._client.has_collection(NAME, timeout=PATIENCE):
                    return 0
                fields = {f["name"]: f for f in self._client.describe_collection(NAME)["fields"]}
                if set(fields) != {"id", *TEXTS, "quality", "vector"}:
                    raise OneShotError(
                        f"{self.place}: its collection {NAME} is not a gallery of this oneshot; "
                        "give another database, or update oneshot"
                    )
                if not self._client.list_indexes(NAME):
                    return 0  # only half made, by one who is at it or was stopped
                self._client.load_collection(NAME, timeout=PATIENCE)
                self._size = int(fields["vector"]["params"]["dim"])
        return self._size

    def create(self, size: int) -> None:
        """Make the collection, for vectors of `size` numbers, or what is missing of it."""
        from pymilvus import DataType

        with _opening, self._explained():
            if self.size:
                return
            schema = self._client.create_schema(auto_id=False, enable_dynamic_field=False)
            schema.add_field("id", DataType.VARCHAR, is_primary=True, max_length=64)
            for text in TEXTS:
                schema.add_field(text, DataType.VARCHAR, max_length=LONGEST)
            schema.add_field("quality", DataType.DOUBLE)
            schema.add_field("vector", DataType.FLOAT_VECTOR, dim=size)
            if not self._client.has_collection(NAME, timeout=PATIENCE):
                # One shard: a request is then applied as a whole.
                self._client.create_collection(
                    NAME, schema=schema, num_shards=1, consistency_level="Strong", timeout=PATIENCE
                )
            index = self._client.prepare_index_params()
            index.add_index("vector", index_type="FLAT", metric_type="IP")
            self._client.create_index(NAME, index, timeout=PATIENCE)

    def rows(self, wanted: str, *fields: str) -> list[Row]:
        """The id and some fields of all rows that a filter lets through."""
        rows: list[Row] = []
        if self.size:
            with self._explained():
                pages = self._client.query_iterator(
                    NAME,
                    filter=wanted,
                    output_fields=["id", *fields],
                    batch_size=PAGE,
                    timeout=PATIENCE,
                )
                while page := pages.next():
                    rows += page
                pages.close()
        return rows

    def first(self, wanted: str, field: str, quick: bool = False) -> str | None:
        """A text of any one row that a filter lets through; None: there is no such row."""
        if not self.size:
            return None
        with self._explained():
            rows = self._client.query(
                NAME, filter=wanted, output_fields=[field], limit=1, timeout=PATIENCE, **_level(quick)
            )
        return str(rows[0][field]) if rows else None

    def nearest(self, vectors: Floats, wanted: str, count: int, *fields: str) -> list[list[Row]]:
        """Some fields, and as "distance" the product, of the rows most like each of (N, D), best first."""
        with self._explained():
            found = self._client.search(
                NAME,
                data=list(vectors),
                anns_field="vector",
                filter=wanted,
                limit=count,
                output_fields=list(fields),
                search_params={"metric_type": "IP"},
                timeout=PATIENCE,
                **_level(quick=True),
            )
        return [[dict(hit["entity"], distance=hit["distance"]) for hit in hits] for hits in found]

    def write(self, rows: Sequence[Row]) -> None:
        """Save rows, in place of those with the same id: all of them or none."""
        with self._explained():
            self._client.upsert(NAME, data=list(rows), timeout=PATIENCE)

    def delete(self, ids: Sequence[str]) -> None:
        """Delete rows."""
        if ids:
            with self._explained():
                self._client.delete(NAME, ids=list(ids), timeout=PATIENCE)

    def close(self) -> None:
        """Let go of the server; of milvus-lite's folder once this program's last one does."""
        with _opening:
            if self._client is None:
                return
            self._client.close()
            self._client = None
            if self._folder:
                _users[self._folder] -= 1
                if not _users[self._folder]:
                    from milvus_lite.server_manager import server_manager_instance

                    server_manager_instance.release_server(self._folder)

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Milvus' errors as sentences that name the place and the remedy."""
        try:
            yield
        except self._errors as error:
            text = " ".join(str(getattr(error, "message", error)).split())
            low = text.lower()
            if "open local milvus" in low:
                why = "another program has it open, or it is damaged; end that one, or give another name"
            elif "milvus-lite is required" in low:
                why = "a file needs the package milvus-lite; pip install 'oneshot-face[milvus]'"
            elif any(word in low for word in ("connect", "unavailable", "timeout", "deadline")):
                why = "the server does not answer; check the address, and that it runs"
            elif "auth" in low or "permission" in low:
                why = f"the server refuses us; put USER:PASSWORD or an API key into {TOKEN}"
            elif "database" in low and ("not found" in low or "not exist" in low):
                why = "the server has no such database; create it first"
            else:
                why = f"Milvus refuses ({text}); see its log"
            raise StorageError(f"{self.place}: {why}") from error


def _level(quick: bool) -> Row:
    return {"consistency_level": "Session"} if quick else {}
