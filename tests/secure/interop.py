#!/usr/bin/env python3
"""Our secure link and one made of dissononce, hashlib and cryptography, over pipes, in both roles.

    interop.py SECURE_PEER        the program of tests/secure/peer.cc; ends with "N passed, N failed"

Written from the description of the protocol, not from our code: what both sides have wrong, no test of ours would find.
"""
import base64
import hashlib
import os
import queue
import struct
import subprocess
import sys
import threading

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from dissononce.cipher.chachapoly import ChaChaPolyCipher
from dissononce.dh.keypair import KeyPair
from dissononce.dh.x25519.private import PrivateKey
from dissononce.dh.x25519.x25519 import X25519DH
from dissononce.exceptions.decrypt import DecryptFailedException
from dissononce.hash.blake2b import Blake2bHash
from dissononce.processing.handshakepatterns.interactive.IK import IKHandshakePattern
from dissononce.processing.impl.cipherstate import CipherState
from dissononce.processing.impl.handshakestate import HandshakeState
from dissononce.processing.impl.symmetricstate import SymmetricState
from dissononce.processing.modifiers.psk import PSKPatternModifier

PROLOGUE = b"SMXS\x01"
SENT = 400000
KEY_CHANGE = 7  # records under one key of ours; often, since a test is short
NO_PSK = bytes(32)


def handshake(is_initiator, own, peer, psk):
    state = HandshakeState(SymmetricState(CipherState(ChaChaPolyCipher()), Blake2bHash()), X25519DH())
    pattern = PSKPatternModifier(2).modify(IKHandshakePattern())
    state.initialize(pattern, is_initiator, PROLOGUE, s=own, rs=peer if is_initiator else None, psks=[psk])
    assert state.protocol_name == "Noise_IKpsk2_25519_ChaChaPoly_BLAKE2b"
    return state


def new_pair(data=None):
    return X25519DH().generate_keypair(PrivateKey(data or os.urandom(32)))


def text(key):
    return base64.b64encode(key).decode()


def mac1(responder, covered):
    key = hashlib.blake2b(b"sockmuxs mac1" + responder, digest_size=32).digest()
    return hashlib.blake2b(covered, key=key, digest_size=16).digest()


class Direction:
    """One direction's key, nonce and epoch."""

    def __init__(self, state):
        self.key = state._key
        self.n = 0
        self.epoch = 0
        self.records = 0
        self.changes = 0

    def nonce(self):
        self.n += 1
        return bytes(4) + struct.pack("<Q", self.n - 1)

    def next_key(self):
        self.key = ChaCha20Poly1305(self.key).encrypt(bytes(4) + b"\xff" * 8, bytes(32), b"")[:32]
        self.epoch ^= 1
        self.records = 0
        self.changes += 1

    def seal(self, content):
        if self.records == KEY_CHANGE:
            self.next_key()
        self.records += 1
        sealed = ChaCha20Poly1305(self.key).encrypt(self.nonce(), content, b"")
        return struct.pack(">H", self.epoch << 15 | len(sealed)) + sealed

    def open(self, head, sealed):
        if head >> 15 != self.epoch:
            self.next_key()
        return ChaCha20Poly1305(self.key).decrypt(self.nonce(), sealed, b"")


class Peer:
    """The program at the other end of two pipes."""

    def __init__(self, program, role, own, peer, psk):
        self.process = subprocess.Popen([program, role, text(own), text(peer), text(psk)], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.todo = queue.Queue()
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        try:
            while (data := self.todo.get()) is not None:
                self.process.stdin.write(data)
                self.process.stdin.flush()
            self.process.stdin.close()
        except (BrokenPipeError, OSError):
            pass

    def write(self, data):
        self.todo.put(data)

    def close(self):
        self.todo.put(None)

    def read(self, size):
        data = self.process.stdout.read(size)
        if len(data) < size:
            raise EOFError("got %d bytes of %d" % (len(data), size))
        return data

    def message(self):
        head = self.read(8)
        assert head[:5] == PROLOGUE, head
        return head, self.read(struct.unpack(">H", head[6:])[0])

    def records(self, direction):
        while True:
            head, = struct.unpack(">H", self.read(2))
            content = direction.open(head, self.read(head & 0x7FFF))
            if not content:
                return
            yield content

    def ended(self):
        """Its exit status and what it said."""
        self.close()
        assert self.process.stdout.read() == b"", "bytes behind the last ones"
        said = self.process.stderr.read().decode().strip()
        self.process.stdout.close()
        return self.process.wait(30), said


class Tests:
    def __init__(self, program):
        self.program = program
        self.ours, self.theirs = new_pair(), new_pair()  # of this script, of the program

    def start(self, role, psk, peer=None):
        return Peer(self.program, role, self.theirs.private.data, (peer or self.ours).public.data, psk)

    def message1(self, psk, own=None, responder=None):
        state = handshake(True, own or self.ours, (responder or self.theirs).public, psk)
        noise = bytearray()
        state.write_message(b"hello of theirs", noise)
        message = PROLOGUE + b"\x01" + struct.pack(">H", len(noise)) + noise
        return state, message + mac1((responder or self.theirs).public.data, message)

    def call(self, psk):
        """We begin."""
        peer = self.start("responder", psk)
        state, message = self.message1(psk)
        peer.write(message)
        head, noise = peer.message()
        assert head[5] == 2
        payload = bytearray()
        forth, back = state.read_message(noise, payload)
        assert payload == b"hello of ours", payload
        return peer, Direction(forth), Direction(back)

    def answer(self, psk):
        """The program begins."""
        peer = self.start("initiator", psk)
        head, noise = peer.message()
        assert head[5] == 1
        assert peer.read(16) == mac1(self.ours.public.data, head + noise), "mac1"
        state = handshake(False, self.ours, None, psk)
        payload = bytearray()
        state.read_message(noise, payload)
        assert payload == b"hello of ours", payload
        assert state.rs.data == self.theirs.public.data
        noise = bytearray()
        forth, back = state.write_message(b"hello of theirs", noise)
        peer.write(PROLOGUE + b"\x02" + struct.pack(">H", len(noise)) + noise)
        return peer, Direction(back), Direction(forth)

    def we_begin(self, psk=NO_PSK):
        peer, tx, rx = self.call(psk)
        sent = os.urandom(SENT)
        at, size = 0, 1
        while at < SENT:
            peer.write(tx.seal(sent[at:at + size]))
            at += size
            size = min(size * 2, 16384) if at > 100 else 1
        peer.write(tx.seal(b""))
        assert b"".join(peer.records(rx)) == sent, "other bytes came back"
        assert tx.changes > 2 and rx.changes > 2, (tx.changes, rx.changes)
        assert peer.ended() == (0, "")

    def we_begin_with_psk(self):
        self.we_begin(os.urandom(32))

    def they_begin(self, psk=NO_PSK):
        peer, tx, rx = self.answer(psk)
        for content in peer.records(rx):
            peer.write(tx.seal(content))
        peer.write(tx.seal(b""))
        assert tx.changes > 2 and rx.changes > 2, (tx.changes, rx.changes)
        assert peer.ended() == (0, "")

    def they_begin_with_psk(self):
        self.they_begin(os.urandom(32))

    def another_psk_when_we_begin(self):
        peer = self.start("responder", os.urandom(32))
        state, message = self.message1(os.urandom(32))
        peer.write(message)
        _, noise = peer.message()
        try:
            state.read_message(noise, bytearray())
        except DecryptFailedException:
            peer.process.kill()
            peer.ended()
            return
        raise AssertionError("it opened")

    def another_psk_when_they_begin(self):
        peer = self.start("initiator", os.urandom(32))
        _, noise = peer.message()
        peer.read(16)
        state = handshake(False, self.ours, None, os.urandom(32))
        state.read_message(noise, bytearray())
        noise = bytearray()
        state.write_message(b"", noise)
        peer.write(PROLOGUE + b"\x02" + struct.pack(">H", len(noise)) + noise)
        status, said = peer.ended()
        assert status == 1 and said.startswith("the answer does not open"), said

    def unknown_key(self):
        peer = self.start("responder", NO_PSK)
        _, message = self.message1(NO_PSK, own=new_pair())
        peer.write(message)
        assert peer.read(9) == PROLOGUE + b"\x03\x00\x01\x01"
        assert peer.ended() == (1, "unknown key")

    def refused(self):
        peer = self.start("initiator", NO_PSK)
        peer.message()
        peer.read(16)
        peer.write(PROLOGUE + b"\x03\x00\x01\x02")
        assert peer.ended() == (1, "closed, code 2")

    def wrong_public_key(self):
        peer = self.start("responder", NO_PSK)
        _, message = self.message1(NO_PSK, responder=new_pair())
        peer.write(message)
        assert peer.ended() == (1, "does not know our public key")

    def cut(self):
        peer, tx, _ = self.call(NO_PSK)
        peer.write(tx.seal(b"not the last one"))
        peer.close()
        peer.process.stdout.read()  # it has sent some of it back
        assert peer.ended() == (1, "cut without end")

    def cut_in_a_record(self):
        peer, tx, _ = self.call(NO_PSK)
        peer.write(tx.seal(b"the first one"))
        peer.write(tx.seal(b"not whole")[:-1])
        peer.close()
        peer.process.stdout.read()
        assert peer.ended() == (1, "cut in a record")

    def changed_record(self):
        peer, tx, _ = self.call(NO_PSK)
        record = bytearray(tx.seal(b"12345678"))
        record[5] ^= 1
        peer.write(bytes(record))
        assert peer.ended() == (1, "record does not open: changed on the way")


def main():
    program = sys.argv[1]
    passed = failed = 0
    for name in [n for n in vars(Tests) if not n.startswith("_") and n not in ("start", "message1", "call", "answer")]:
        try:
            getattr(Tests(program), name)()
            passed += 1
        except (AssertionError, EOFError, InvalidTag, DecryptFailedException, subprocess.TimeoutExpired) as e:
            print("FAILED: %s: %s %s" % (name.replace("_", " "), type(e).__name__, e))
            failed += 1
    print("%d passed, %d failed" % (passed, failed))
    return failed != 0


if __name__ == "__main__":
    sys.exit(main())
