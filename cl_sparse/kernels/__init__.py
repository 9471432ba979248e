"""Compiled loops, private to layers and synapses; README.md says what each computes and how it was measured."""
