"""Every error that Stargazer raises on purpose.

::

    StargazerError
    ├── ConfigError                 a setting is wrong: names the file and the key
    ├── CIDError (ValueError)       not a CID that we read, or an entry that cannot be named
    │   └── CIDMismatch             bytes that are not what their CID says; `parts` tells where
    ├── AssetError                  a fact, a field or a companion of an asset is wrong
    │   └── UnknownField, InvalidField (TypeError)
    ├── StoreError
    │   ├── NotFound (LookupError)  no such CID, record, pin or asset in the store
    │   ├── BlobLost                bytes that were known are gone or corrupt
    │   ├── InputChanged            a tool wrote to its input
    │   ├── StoreFull (OSError)     no space left; nothing half-written is visible
    │   ├── StoreReadOnly (PermissionError)     nothing can be written there
    │   └── StoreUnseen             a worker does not see the store, and nobody who does answers it
    ├── TaskError
    │   ├── DefinitionError (TypeError)   the task's signature or options are wrong
    │   ├── ArgumentError (TypeError)     a call's arguments do not fit the task
    │   ├── OutputError                   a body returned something that is no result
    │   ├── CodeChanged                   code changed between wiring and running
    │   ├── WorkerMismatch                this worker has other code, tools or libraries
    │   └── StoresMixed                   one graph, two stores
    ├── RemoteError                 a place outside the store failed; names it
    │   ├── RemoteRefused           what it sent is not what was asked for, or breaks a limit
    │   ├── RemoteCannot, RemoteLacks (LookupError)     it does not offer it, or have it
    │   └── TokenMissing (ConfigError)    the variable that holds its token is not set
    ├── DataError (ValueError)      input data is malformed: truncated FASTQ, other contigs, …
    ├── ToolError
    │   ├── ToolMissing             not installed here; says how to get it
    │   ├── ToolFailed              command, exit code or signal, last lines of stderr
    │   └── MemoryExceeded          its processes took more memory than the task declares
    └── RunError
        ├── RunFailed               some calls failed; `failures` has each
        ├── NeedUnmet               no worker has, or may be started with, what a call needs
        └── Cancelled
"""

from __future__ import annotations

from stargazer.errors.base import ConfigError, DataError, StargazerError
from stargazer.errors.remotes import RemoteCannot, RemoteError, RemoteLacks, RemoteRefused, TokenMissing
from stargazer.errors.stores import (
    AssetError,
    BlobLost,
    CIDError,
    CIDMismatch,
    InputChanged,
    InvalidField,
    NotFound,
    StoreError,
    StoreFull,
    StoreReadOnly,
    StoreUnseen,
    UnknownField,
)
from stargazer.errors.tasks import (
    ArgumentError,
    Cancelled,
    CodeChanged,
    DefinitionError,
    NeedUnmet,
    OutputError,
    RunError,
    RunFailed,
    StoresMixed,
    TaskError,
    WorkerMismatch,
)
from stargazer.errors.tools import MemoryExceeded, ToolError, ToolFailed, ToolMissing

__all__ = [
    "ArgumentError",
    "AssetError",
    "BlobLost",
    "CIDError",
    "CIDMismatch",
    "Cancelled",
    "CodeChanged",
    "ConfigError",
    "DataError",
    "DefinitionError",
    "InputChanged",
    "InvalidField",
    "MemoryExceeded",
    "NeedUnmet",
    "NotFound",
    "OutputError",
    "RemoteCannot",
    "RemoteError",
    "RemoteLacks",
    "RemoteRefused",
    "RunError",
    "RunFailed",
    "StargazerError",
    "StoreError",
    "StoreFull",
    "StoreReadOnly",
    "StoreUnseen",
    "StoresMixed",
    "TaskError",
    "TokenMissing",
    "ToolError",
    "ToolFailed",
    "ToolMissing",
    "UnknownField",
    "WorkerMismatch",
]  # fmt: skip

for _name in __all__:
    globals()[_name].__module__ = __name__  # what tracebacks and pickles name is what users import
