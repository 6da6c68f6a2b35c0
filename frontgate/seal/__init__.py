"""What is sealed and signed: packages, receipts, control messages. One strict form each."""

from frontgate.seal.package import Package, PackageWriter, Sealed, open_package

__all__ = ["Package", "PackageWriter", "Sealed", "open_package"]
