"""The report on the paper's claims: what the evidence says, by a stated rule."""
