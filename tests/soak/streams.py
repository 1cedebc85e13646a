"""Bytes that say where they belong: byte n of a stream depends on the run's seed, the stream's name and n.

One block of random bytes is read in a circle, from a place that the stream's name gives. So a byte that is lost, doubled, changed or
of another stream is seen at once, and a comparison costs no more than memcmp.
"""
import hashlib
import random

LENGTH = 1000003  # a prime: nobody loses just so many bytes
CHUNK = 65536


class Streams:
    def __init__(self, seed):
        self.seed = seed
        block = random.Random(seed).randbytes(LENGTH)
        self.block = block + block[:CHUNK]

    def start(self, *name):
        text = " ".join(map(str, (self.seed, *name))).encode()
        return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "big") % LENGTH

    def bytes(self, start, offset, n):
        """`n` bytes, CHUNK at most, from `offset` of the stream that begins at `start` of the block."""
        at = (start + offset) % LENGTH
        return self.block[at:at + n]


def first_difference(got, want):
    return next((i for i, (a, b) in enumerate(zip(got, want)) if a != b), min(len(got), len(want)))
