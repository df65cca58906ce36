"""What a browser's network log says of its TLS."""

import base64
import json
import pathlib
import re

X25519MLKEM768 = 0x11EC


def handshakes(log, host):
    """What was agreed on in each with `host`."""
    text = pathlib.Path(log).read_text()
    # A browser that was killed leaves it open.
    whole = json.loads(text if text.rstrip().endswith("}") else re.sub(r",\s*$", "", text) + "]}")
    kinds = {number: name for name, number in whole["constants"]["logEventTypes"].items()}
    asked, found = set(), []
    for event in whole["events"]:
        kind, params, source = kinds[event["type"]], event.get("params", {}), event["source"]["id"]
        if kind == "SSL_HANDSHAKE_MESSAGE_SENT" and host.encode() in base64.b64decode(params.get("bytes", "")):
            asked.add(source)
        elif kind == "SSL_CONNECT" and source in asked and "cipher_suite" in params:
            found.append(params)
    return found


def check(log, host):
    """They are those of a web server of today: with the group that browsers want, and
    resumed where they may be, as the WebSocket's is that comes last."""
    found = handshakes(log, host)
    agreed = {(one["version"], one["next_proto"], one["key_exchange_group"]) for one in found}
    assert agreed == {("TLS 1.3", "http/1.1", X25519MLKEM768)}, agreed
    resumed = [one["is_resumed"] for one in found]
    # A browser makes two connections before it has a ticket, or three; and again in the frame.
    assert resumed.count(False) <= 6 and any(resumed), resumed
