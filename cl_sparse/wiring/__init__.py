"""The places of synapses as indices, and what moves when they are rewired. Torch only."""
