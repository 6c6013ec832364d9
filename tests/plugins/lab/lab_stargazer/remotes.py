"""A remote: a folder in which files and directory nodes lie under their CIDs."""

from pathlib import Path

from stargazer.errors import RemoteLacks
from stargazer.remotes.base import FileRemote


class FolderRemote(FileRemote):
    """Files on a disk that is passed around.

    Parameters
    ----------
    name, url
        Of the remote; the URL is the path of the folder.
    buffer
        Bytes that are read at once.
    """

    kind = "folder"
    offers = ("has", "fetch", "push")
    options = {"buffer": int}

    def __init__(self, name, url, *, buffer=1 << 20):
        super().__init__(name, url)
        self.folder, self.buffer = Path(url), buffer

    def has(self, cid):
        return (self.folder / cid).exists()

    def node(self, cid):
        path = self.folder / f"{cid}.node"
        return path.read_bytes() if path.exists() else None

    def stream(self, cid, start=0):
        try:
            with open(self.folder / cid, "rb") as file:
                file.seek(start)
                yield from iter(lambda: file.read(self.buffer), b"")
        except FileNotFoundError:
            raise RemoteLacks(f"{self.name} does not have {cid}") from None

    def push(self, cid, store, progress=None, *, asset=None):
        self.folder.mkdir(parents=True, exist_ok=True)
        for each in sorted(store.dirs.closure([cid])):
            node = store.dirs.node(each)
            (self.folder / each).write_bytes(store.read(each) if node is None else b"")
            if node is not None:
                (self.folder / f"{each}.node").write_bytes(node)
