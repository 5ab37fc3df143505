"""Model Context Protocol server for agents: a client of the gate's HTTP API that holds no key.

What an agent may do follows from its access token alone, which goes to the gate with every call.
"""
