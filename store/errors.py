"""Why a store cannot be used; the message says what to do."""


class StoreError(Exception):
    """The store's file cannot be used."""


class StoreRefusedError(StoreError):
    """The file is not a store that this version may write."""


class StatementError(Exception):
    """What was written broke a rule of the schema, or was no value at all: its unit is to blame."""


class VersionConflictError(StatementError):
    """A record was not at the version that its writer had seen."""
