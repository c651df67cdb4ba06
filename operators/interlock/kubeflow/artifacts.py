"""The artifact types that gates make: a receipt and a report.

An artifact is of whatever type its maker says, with whatever metadata: nothing here is evidence by its type. The guard
reads the bytes of a `Receipt`, verifies their signature and asks the ledger; the type only lets kfp say at compile time
that something else was passed in its place.
"""

from kfp import dsl


class Receipt(dsl.Artifact):
    """A signed decision: one DSSE envelope as JSON, as `interlock ledger export` writes it.

    kfp takes no schema title outside of the namespaces ``system`` and ``google`` (`kfp.dsl.types.type_utils`); KFP's
    backend treats one that it does not know as an ordinary artifact.
    """

    schema_title = "system.InterlockReceipt"
    schema_version = "0.0.1"


class Report(dsl.HTML):
    """The report of a gate as one HTML page without scripts from elsewhere, which the KFP UI renders."""

    schema_title = "system.HTML"
    schema_version = "0.0.1"
