"""Digests of files' contents, written `algorithm:value`: SHA-256 on a disk, and what a bucket keeps of its objects.

A store may be copied from one to the other, so each algorithm can be computed anywhere.
"""

import base64
import hashlib
from collections.abc import Iterable

SHA256, MD5, CRC32C = ALGORITHMS = ("sha256", "md5", "crc32c")
"""SHA-256 in hex; MD5 and CRC-32C in base 64, as Google Cloud Storage tells them."""


def algorithm_of(digest: str) -> str:
    """Return the algorithm of a digest, empty for one that this program does not know."""
    name = digest.partition(":")[0]
    return name if name in ALGORITHMS else ""


def digest_of(pieces: Iterable[bytes], algorithm: str = SHA256) -> str:
    """Return the digest of the pieces together, with its algorithm before it."""
    if algorithm == CRC32C:
        import google_crc32c  # comes with gcsfs, and is wanted only where a store came out of a bucket

        check = google_crc32c.Checksum()
        for piece in pieces:
            check.update(piece)
        return f"{algorithm}:{base64.b64encode(check.digest()).decode()}"
    content = hashlib.new(algorithm)
    for piece in pieces:
        content.update(piece)
    value = content.hexdigest() if algorithm == SHA256 else base64.b64encode(content.digest()).decode()
    return f"{algorithm}:{value}"
