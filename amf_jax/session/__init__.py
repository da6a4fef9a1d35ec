"""The stateful side: asking, telling and running, in memory or in a folder.

`driver` is what users hold, as `amf_jax.ActiveFineTuner`; `running` goes from record to
record, with the round in progress (`ongoing`), a `journal` of what came, and a
`checkpoint` of each round.
"""
