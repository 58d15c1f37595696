"""Proof that compressed bytes decompress to their source, taken while both are written."""

from __future__ import annotations

import hashlib

from storage.cold import codecs
from storage.core.tiers import CodecName


class Sum:
    """Length and SHA-256 of the bytes added."""

    def __init__(self) -> None:
        self.size, self._hash = 0, hashlib.sha256()

    def add(self, data: bytes) -> None:
        self.size += len(data)
        self._hash.update(data)

    @property
    def sha256(self) -> str:
        return self._hash.hexdigest()


class Proof:
    """Verifier that decompresses the output and computes its length and SHA-256."""

    def __init__(self, codec: CodecName) -> None:
        self.sum, self._undo = Sum(), codecs.unpacker(codec)

    @property
    def ended(self) -> bool:
        return self._undo.ended

    def feed(self, data: bytes) -> None:
        for piece in self._undo.feed(data):
            self.sum.add(piece)
