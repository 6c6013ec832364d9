"""A store backend: what this process remembers, under ``lab://name``."""

import threading
import time

from stargazer.store.backends.keyvalue import KeyValueBackend
from stargazer.store.folders import Entry

_stores: dict[str, dict] = {}


class MemoryBackend(KeyValueBackend):
    """Contents in a dictionary."""

    def __init__(self, url):
        super().__init__(url)
        self._contents, self._lock = _stores.setdefault(self.url, {}), threading.Lock()

    def read(self, place):
        data, _ = self._contents.get(place, (None, 0.0))
        return data

    def put(self, place, data):
        self._contents[place] = bytes(data), time.time()

    def put_if_absent(self, place, data):
        with self._lock:
            absent = place not in self._contents
            if absent:
                self.put(place, data)
        return absent

    def remove(self, place):
        return self._contents.pop(place, None) is not None

    def entries(self, folder):
        for place, (data, changed) in sorted(self._contents.items()):
            if not folder or place.startswith(f"{folder}/"):
                yield Entry(place, len(data), changed)

    def stat(self, place):
        data, changed = self._contents.get(place, (None, 0.0))
        return None if data is None else Entry(place, len(data), changed)
