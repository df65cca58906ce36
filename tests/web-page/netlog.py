"""What a browser's network log says of its handshakes."""

import json
import pathlib
import re
from collections import Counter


def connects(log, host):
    """One for each TLS connection that was made with `host`: what both agreed on."""
    text = pathlib.Path(log).read_text()
    # A browser that was killed leaves it open.
    whole = json.loads(text if text.rstrip().endswith("}") else re.sub(r",\s*$", "", text) + "]}")
    kinds = {number: name for name, number in whole["constants"]["logEventTypes"].items()}
    end = whole["constants"]["logEventPhase"]["PHASE_END"]
    hosts, found = {}, []
    for event in whole["events"]:
        kind, params, source = kinds[event["type"]], event.get("params", {}), event["source"]["id"]
        if kind == "SSL_CONNECT":
            if event["phase"] != end:
                hosts[source] = params
            elif "cipher_suite" in params:
                found.append({**params, "source": source})
    return found, Counter(kinds[event["type"]] for event in whole["events"])
