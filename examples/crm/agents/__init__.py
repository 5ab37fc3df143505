"""Agents that answer customers through `sovereign mcp` (M35), and send nothing by themselves.

model         what a language model is to an agent: rules.py, or an endpoint (endpoint.py)
roles         the sales and the support agent: service, scene, fields, prompt and its version
gate_tools    the MCP client, and what a conversation about one customer may call
conversation  one answer: read, ask the model, check prices, hand in, explain
prices        whether a text names prices that the table of products has
answering     all open conversations of a role, and what a person decided about the answers
"""
