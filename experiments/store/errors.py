"""What can go wrong with a results store, each as one line that says what, where, the value and the fix.

Only the classes live here; the messages are written where the facts are known.
"""


class StoreError(ValueError):
    """A request that the results store cannot meet; the message is one line for the user."""


class NotAStoreError(StoreError):
    """The folder or bucket path holds no store of this project, or its FORMAT.json is not ours."""


class NewerVersionError(StoreError):
    """The store, or a file in it, was written by a later version than this program understands."""


class RunConflictError(StoreError):
    """A run id is already taken by another spec."""


class SupersededError(StoreError):
    """The request comes from an attempt, or starts at a checkpoint, that a later attempt has fenced off."""


class DamagedFileError(StoreError):
    """A file under one of the store's own names does not hold what that name promises."""


class StorageError(StoreError):
    """The disk or the bucket refused: full, read-only, missing, forbidden or unreachable."""
