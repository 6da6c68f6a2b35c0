"""The exchange standard: catalogue, checks, completion, copies and samples.

Offers: `Standards` and `Catalogue` (what the standard says, read from data), `Checker` (is this
message right?), `complete` (mint ids into a header), `copies` and `narrow` (who gets a copy, and
which extract), `explain_xml` (plainer words for a refusal).
Guarantees: no flow is known to the program; a folder under `standards/<version>/flows/` is all a
new flow takes. Nothing here touches the network, the clock or POSIX-only modules.
"""

from frontgate.standard.catalogue import Catalogue, Role, Standards, step_of
from frontgate.standard.check import ALL_LAYERS, Checked, Checker
from frontgate.standard.codelists import Code, CodeList
from frontgate.standard.complete import complete
from frontgate.standard.copies import copies, extract_id, narrow, resolve_key
from frontgate.standard.documents import FileFact, is_safe_name
from frontgate.standard.explain import explain_xml
from frontgate.standard.flows import CopyRule, DocumentRule, Flow, Step, Variant

__all__ = [
    "ALL_LAYERS",
    "Catalogue",
    "Checked",
    "Checker",
    "Code",
    "CodeList",
    "CopyRule",
    "DocumentRule",
    "FileFact",
    "Flow",
    "Role",
    "Standards",
    "Step",
    "Variant",
    "complete",
    "copies",
    "explain_xml",
    "extract_id",
    "is_safe_name",
    "narrow",
    "resolve_key",
    "step_of",
]
