"""Encryption and decryption of data. No body of these is public: all tags are invented.

``BG`` is a symmetric key, ``RC`` a private one, ``BO`` the data in hex in request and answer.
"""

from __future__ import annotations

from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives import hashes, padding
from cryptography.hazmat.primitives.asymmetric import padding as rsa_padding
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.utils import NoDigestInfo
from cryptography.hazmat.primitives.ciphers import Cipher, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from loadtest.simhsm.call import Call
from loadtest.simhsm.key import SYMMETRIC, Key, KeyKind, Usage, load_public
from loadtest.simhsm.refusal import invalid, wrong_key
from loadtest.simhsm.registry import Fields, function


@function("GPSE", "ECID")
def gpse(call: Call) -> Fields:
    """Encrypt ``BO`` with ``BG`` -> ``BO``.

    ``CM`` mode: 1 CBC with PKCS #7 padding, 2 GCM (``AD`` more data; the tag ends the answer), 3 CTR. ``IV``: without
    it zeros in mode 1, so that two devices answer alike; the other modes need one.
    """
    key = call.key("BG", Usage.ENCRYPT, SYMMETRIC)
    mode, data = call.choice("CM", "123", "1"), call.octets("BO")
    if mode == "2":
        return _hex(_gcm(call, key).encrypt(_nonce(call), data, call.octets("AD", b"")))
    if mode == "1":
        padder = padding.PKCS7(key.block_cipher().block_size).padder()
        data = padder.update(data) + padder.finalize()
    encryptor = Cipher(key.block_cipher(), _mode(call, key, mode)).encryptor()
    return _hex(encryptor.update(data) + encryptor.finalize())


@function("GPSD", "DCID", "CBCD")
def gpsd(call: Call) -> Fields:
    """Decrypt ``BO`` with ``BG`` -> ``BO``; modes as GPSE."""
    key = call.key("BG", Usage.DECRYPT, SYMMETRIC)
    mode, data = call.choice("CM", "123", "1"), call.octets("BO")
    try:
        if mode == "2":
            return _hex(_gcm(call, key).decrypt(_nonce(call), data, call.octets("AD", b"")))
        decryptor = Cipher(key.block_cipher(), _mode(call, key, mode)).decryptor()
        plain = decryptor.update(data) + decryptor.finalize()
        if mode == "1":
            unpadder = padding.PKCS7(key.block_cipher().block_size).unpadder()
            plain = unpadder.update(plain) + unpadder.finalize()
    except (InvalidTag, ValueError):
        raise invalid("BO", "DECRYPTION FAILED") from None
    return _hex(plain)


@function("GPED")
def gped(call: Call) -> Fields:
    """``OPE`` encrypts as GPSE does, ``OPD`` decrypts as GPSD does."""
    return gpse(call) if call.choice("OP", "ED") == "E" else gpsd(call)


@function("GPSR")
def gpsr(call: Call) -> Fields:
    """RSA: ``OPE`` encrypts, ``OPD`` decrypts, ``OPS`` signs and ``OPV`` verifies with recovery of ``BO``.

    ``OPE`` and ``OPV`` take ``RC`` or ``RD`` (public). ``ZA`` for encryption: 1 PKCS #1 v1.5, 2 OAEP with SHA-256.
    """
    operation, data = call.choice("OP", "EDSV"), call.octets("BO")
    try:
        if operation == "E":
            return _hex(_rsa_public(call, Usage.ENCRYPT).encrypt(data, _rsa_padding(call)))
        if operation == "V":
            recovered = _rsa_public(call, Usage.VERIFY).recover_data_from_signature(
                data, rsa_padding.PKCS1v15(), NoDigestInfo()
            )
            return _hex(recovered)
        use = Usage.DECRYPT if operation == "D" else Usage.SIGN
        private = call.key("RC", use, frozenset({KeyKind.RSA})).private()
        assert isinstance(private, rsa.RSAPrivateKey)
        if operation == "D":
            return _hex(private.decrypt(data, _rsa_padding(call)))
        return _hex(private.sign(data, rsa_padding.PKCS1v15(), NoDigestInfo()))
    except (ValueError, InvalidSignature):
        raise invalid("BO", "DATA DOES NOT FIT THE KEY") from None


def _rsa_public(call: Call, use: Usage) -> rsa.RSAPublicKey:
    if call.has("RD"):
        try:
            public = load_public(call.octets("RD"))
        except ValueError:
            raise invalid("RD") from None
    else:
        public = call.key("RC", use, frozenset({KeyKind.RSA, KeyKind.PUBLIC})).public()
    if not isinstance(public, rsa.RSAPublicKey):
        raise wrong_key("RD" if call.has("RD") else "RC")
    return public


def _rsa_padding(call: Call) -> rsa_padding.AsymmetricPadding:
    if call.choice("ZA", "12", "1") == "1":
        return rsa_padding.PKCS1v15()
    return rsa_padding.OAEP(rsa_padding.MGF1(hashes.SHA256()), hashes.SHA256(), None)


def _gcm(call: Call, key: Key) -> AESGCM:
    if key.kind is not KeyKind.AES:
        raise wrong_key("BG")
    return AESGCM(key.material)


def _nonce(call: Call) -> bytes:
    nonce = call.octets("IV")
    if not 8 <= len(nonce) <= 128:
        raise invalid("IV")
    return nonce


def _mode(call: Call, key: Key, mode: str) -> modes.CBC | modes.CTR:
    size = key.block_cipher().block_size // 8
    vector = call.octets("IV", bytes(size) if mode == "1" else None)
    if len(vector) != size or (mode == "3" and key.kind is not KeyKind.AES):
        raise invalid("IV")
    return modes.CBC(vector) if mode == "1" else modes.CTR(vector)


def _hex(data: bytes) -> Fields:
    return {"BO": data.hex().upper()}
