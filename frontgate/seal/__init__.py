"""What is sealed and signed: packages, receipts, control messages. One strict form each."""

from frontgate.seal.package import (
    Package,
    PackageWriter,
    Sealed,
    StoredPackage,
    open_package,
    open_stored,
)

__all__ = ["Package", "PackageWriter", "Sealed", "StoredPackage", "open_package", "open_stored"]
