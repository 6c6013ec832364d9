"""Tools on files: find, describe, take in, change, forget."""

from typing import Annotated, Any

from mcp.server.mcpserver import Context
from pydantic import Field, StrictBool

from stargazer import api
from stargazer.assets import Asset, asset_types, no_type
from stargazer.errors import ArgumentError, NotFound
from stargazer.ledger import Ledger
from stargazer.mcp.answers import page
from stargazer.mcp.catalog import Cursor
from stargazer.mcp.hints import ASKS, MAKES, READS, REMOVES, RUNS, tool
from stargazer.mcp.place import Place
from stargazer.mcp.previews import check_near
from stargazer.mcp.previews import preview as shown_preview
from stargazer.mcp.roots import roots_of
from stargazer.mcp.shapes import (
    AssetOut,
    BundleOut,
    BundlesOut,
    DeletedOut,
    DescribedFile,
    FetchedOut,
    FilesOut,
    TransferOut,
)  # fmt: skip
from stargazer.store.references import find_asset

__all__ = ["FileTools", "draft_of"]

Name = Annotated[str, Field(description="A CID, id, first digits of either, or name@version.", max_length=300)]
KeyValues = Annotated[
    dict[str, Any],
    Field(description='Type and facts, as {"asset": "r1", "sample_id": "s1"}; describe_task shows types in schemas.'),
]


class FileTools:
    """Tools on files.

    Parameters
    ----------
    place
        What the server works on.
    """

    def __init__(self, place: Place) -> None:
        self.place = place

    @tool(READS)
    def query_files(
        self,
        keyvalues: Annotated[
            dict[str, Any],
            Field(description='Type and facts, as {"asset": "r1", "sample_id": ["s1", "s2"]}; {} for all; a list holds '
                              "alternatives."),
        ],
        limit: Annotated[int, Field(ge=1, le=200)] = 50,
        cursor: Cursor = None,
    ) -> FilesOut:  # fmt: skip
        """Find files by type and facts. Their contents are not shown; describe_file previews one."""
        answer = self.place.store.answer(keyvalues)
        found = answer.assets
        rows, following = page(found, cursor, limit, ["query_files", keyvalues], _sent, lambda each: each.id)
        return FilesOut(files=[_file(each) for each in rows], total=len(found), missing=answer.missed,
                        next_cursor=following)  # fmt: skip

    @tool(READS)
    def describe_file(
        self,
        cid: Name,
        preview: Annotated[bool, Field(description="Show the beginning of it.")] = False,
        lines: Annotated[int, Field(ge=1, le=200)] = 20,
    ) -> DescribedFile:
        """Describe a file: facts, companions, and if asked for its beginning (text, VCF, BAM header, AnnData)."""
        asset = find_asset(self.place.store, cid)
        if preview:
            check_near(self.place.store, asset)
        seen = shown_preview(asset, lines) if preview else None
        records = Ledger(self.place.store.records).producers(str(asset.cid))
        return DescribedFile(
            file=AssetOut(**self.place.shown_asset(asset)),
            companions=[_file(each) for each in asset.companions],
            records=len(records),
            preview_kind=seen.kind if seen else "",
            preview=seen.text if seen else "",
        )

    @tool(RUNS)
    async def upload_file(self, path: str, keyvalues: KeyValues, ctx: Context[Any, Any]) -> AssetOut:
        """Put a file or directory of this machine into the store, with its type and facts.

        When showing results, show a table with the CID and all keyvalues.
        """
        if self.place.is_remote:
            raise ArgumentError("this server is reached over HTTP and reads no paths: ask begin_upload for an address, "
                                "and send the bytes there")  # fmt: skip
        file = self.place.folders.file(path, await roots_of(ctx))
        draft, name = draft_of(keyvalues)
        from anyio import to_thread

        added = await to_thread.run_sync(
            lambda: api.add(file, draft, name=name, store=self.place.store, progress=False), abandon_on_cancel=True
        )
        return AssetOut(**self.place.shown_asset(added))

    @tool(MAKES)
    def begin_upload(
        self,
        keyvalues: KeyValues,
        ctx: Context[Any, Any],
        directory: Annotated[bool, Field(description="The bytes are a tar of one directory, such as a .zarr.")] = False,
    ) -> TransferOut:
        """Ask for an address to which the bytes of one file, or a tar of one directory, may be sent once (PUT).

        Over HTTP, for remote clients.
        """
        if self.place.transfers is None:
            raise ArgumentError("client and server are on one machine: upload_file takes the path of the file")
        draft, name = draft_of(keyvalues)
        if not name:
            raise ArgumentError('keyvalues: give the file\'s name too, as {"name": "s1_R1.fq.gz", …}')
        ticket = self.place.transfers.upload(draft, name, ctx, is_directory=directory)
        sent = f"tar -c DIR | curl -T - '{ticket.url}'" if directory else f"curl -T FILE '{ticket.url}'"
        how = f"send the bytes: {sent}; the answer has the CID"
        return TransferOut(url=ticket.url, method="PUT", expires=ticket.expires, largest=ticket.largest, how=how)

    @tool(READS)
    def download_file(self, cid: Name, ctx: Context[Any, Any]) -> TransferOut:
        """Tell where the bytes of a file can be had: a path of this machine, or over HTTP a one-time address."""
        asset = find_asset(self.place.store, cid)
        if self.place.transfers is None:
            return TransferOut(path=str(api.fetch(asset, store=self.place.store, progress=False)))
        if self.place.store.is_directory(str(asset.cid)):
            raise ArgumentError(f"{asset.name or asset.cid} is a directory; ask for a file in it, or mount the store")
        ticket = self.place.transfers.download(asset, ctx)
        return TransferOut(url=ticket.url, method="GET", expires=ticket.expires, how=f"curl -o FILE '{ticket.url}'")

    @tool(RUNS)
    def update_file(
        self,
        cid: Name,
        keyvalues: Annotated[dict[str, Any], Field(description="Facts that change; name may, too.")],
    ) -> AssetOut:
        """Give the same bytes other facts: a newer record; the older one is still found by its id."""
        asset = find_asset(self.place.store, cid)
        if wrong := sorted(keyvalues.keys() & {"asset", "cid", "path", "companions", "id", "store"}):
            raise ArgumentError(f"{', '.join(wrong)} cannot change; facts of {asset.asset_key} are "
                                f"{', '.join(asset.declared) or 'free'}")  # fmt: skip
        return AssetOut(**self.place.shown_asset(api.update(asset, store=self.place.store, **_typed(asset, keyvalues))))

    @tool(REMOVES)
    def delete_file(
        self,
        cid: Name,
        confirm: Annotated[
            StrictBool, Field(description="False shows what would be forgotten; true forgets it.")
        ] = False,
    ) -> DeletedOut:
        """Forget a file and its companions; bytes that nothing else needs go with the next garbage collection."""
        store = self.place.store
        asset = find_asset(store, cid)
        listed = [_file(asset), *(_file(each) for each in asset.companions)]
        kept = [f"pin {name}" for name, assets in store.pins().items() if any(each.cid == asset.cid for each in assets)]
        kept += [f"the name {name}" for name in store.names.called(str(asset.cid))]
        if confirm:
            api.delete(asset, store=store)
        return DeletedOut(
            deleted=confirm, would_delete=listed, kept=kept,
            how="" if confirm else "call delete_file again with confirm: true, when the person agrees",
        )  # fmt: skip

    @tool(READS)
    def list_bundles(self) -> BundlesOut:
        """List the bundles of files that come along, such as references and demonstration data."""
        from stargazer.remotes import bundles

        found = [
            BundleOut(name=b.name, description=b.description, file_count=len(b.cids), size=b.size) for b in bundles()
        ]
        return BundlesOut(bundles=found)

    @tool(ASKS)
    async def fetch_resource_bundle(self, bundle_name: Annotated[str, Field(max_length=200)]) -> FetchedOut:
        """Have all files of a bundle in the store, verified, with their facts.

        Public gateways are asked where no remote is configured.
        """
        from anyio import to_thread

        from stargazer.remotes import find_bundle, for_a_person

        if "/" in bundle_name or bundle_name.endswith((".yaml", ".yml")):
            raise NotFound("bundle_name: one that list_bundles has; a file of your own is fetched on the command line")
        bundle, told = find_bundle(bundle_name), list[str]()
        assets = await to_thread.run_sync(
            lambda: bundle.fetch(self.place.store, for_a_person(lambda text: told.append(str(text)))),
            abandon_on_cancel=True,
        )
        return FetchedOut(files=[_file(each) for each in assets[:100]], total=len(assets), told=told)


def draft_of(keyvalues: dict[str, Any]) -> tuple[Asset, str | None]:
    """Return the draft that type and facts describe, and the name of the file.

    Raises
    ------
    ArgumentError
        There is no such type, or what is said is no fact of a file.
    AssetError
        The type has no such fact, or not such a value.
    """
    kind = keyvalues.get("asset", "asset")
    if not isinstance(kind, str) or kind not in asset_types():
        raise ArgumentError(f"keyvalues: {no_type(str(kind)[:80])}")
    name = keyvalues.get("name")
    if wrong := sorted(keyvalues.keys() & {"cid", "path", "companions", "source", "facts", "id"}):
        raise ArgumentError(f"keyvalues: {', '.join(wrong)} cannot be said of a file; give its type and facts")
    if name is not None and (not isinstance(name, str) or "/" in name or name in ("", ".", "..") or "\0" in name):
        raise ArgumentError(f"keyvalues: {str(name)[:80]!r} is no name of a file")
    texts = {each: _text(value) for each, value in keyvalues.items() if each != "name"}
    return Asset.from_keyvalues({**texts, "asset": kind}), name


def _text(value: Any) -> str:
    """A fact as text; what is no text is JSON."""
    import json

    return value if isinstance(value, str) else json.dumps(value)


def _typed(asset: Asset, keyvalues: dict[str, Any]) -> dict[str, Any]:
    """Facts as the type has them, where they came as texts."""
    name = keyvalues.get("name")
    texts = {each: _text(value) for each, value in keyvalues.items() if each != "name"}
    read = Asset.from_keyvalues({**texts, "asset": asset.asset_key}).declared
    return {each: read[each] for each in texts} | ({"name": name} if name is not None else {})


def _sent(asset: Asset) -> dict[str, Any]:
    return _file(asset).model_dump()


def _file(asset: Asset) -> AssetOut:
    from stargazer.catalog import asset_json

    return AssetOut(**asset_json(asset))
