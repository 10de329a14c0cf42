"""
The four vendors as real HTTP servers, written from their published formats alone.

They share nothing with the product, so that they can judge it: a request that the vendor would
refuse is refused in the vendor's words, and what an answer says depends on what has arrived.
asked.py has the form in which scenes.py reads a request and scripts the answer; each vendor's
module checks, reads and answers in its own grammar; server.py puts them on a port.
"""
