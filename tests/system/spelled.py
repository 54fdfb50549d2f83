"""How a secret could be written down, where it is looked for."""

import base64
import re


def secret_of(text):
    """The 32 bytes."""
    return bytes.fromhex(re.search(r"(?<![0-9a-f])[0-9a-f]{64}(?![0-9a-f])", text)[0])


def forms(secret):
    """As it could be written down: base64 in its three alignments, less what neighbours change."""
    found = {"raw": secret, "hex": secret.hex().encode(), "HEX": secret.hex().upper().encode()}
    for skew in range(3):
        found[f"base64/{skew}"] = base64.b64encode(bytes(skew) + secret)[4 if skew else 0 : -4]
        found[f"base64 of hex/{skew}"] = base64.b64encode(bytes(skew) + secret.hex().encode())[4 if skew else 0 : -4]
    return found
