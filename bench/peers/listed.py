"""Who is in the comparison, in this order."""

from __future__ import annotations

from typing import Final

from bench.peers.ferro import FastestFerro, Ferro, FerroWithRecords
from bench.peers.litellm import LiteLLM
from bench.peers.packages import Package, Peer
from bench.peers.portkey import Portkey
from bench.peers.rolter import Rolter

FERRO: Final = Package(installer="pip", name="ferrogw", version="1.5.10")
ROLTER: Final = Package(installer="pip", name="rolter", version="0.1.0")
PORTKEY: Final = Package(installer="npm", name="@portkey-ai/gateway", version="1.15.2")
LITELLM: Final = Package(installer="pip", name="litellm[proxy]", version="1.106.2")

PEERS: Final = (
    Peer(
        name=f"Ferro {FERRO.version} (Go), at its fastest",
        package=FERRO,
        gateway=FastestFerro,
        cannot={"failover": "it has one target"},
    ),
    Peer(name=f"Rolter {ROLTER.version} (Rust)", package=ROLTER, gateway=Rolter),
    Peer(name=f"Ferro {FERRO.version}, as it is set up", package=FERRO, gateway=Ferro),
    Peer(name=f"Ferro {FERRO.version}, records in SQLite", package=FERRO, gateway=FerroWithRecords),
    Peer(name=f"Portkey {PORTKEY.version} (Node)", package=PORTKEY, gateway=Portkey),
    Peer(
        name=f"LiteLLM {LITELLM.version} (Python)",
        package=LITELLM,
        gateway=LiteLLM,
        failovers=3,
        is_slow=True,
    ),
)
