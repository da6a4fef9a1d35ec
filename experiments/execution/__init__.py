"""How runs are executed: one alone, or many by processes, Ray or one program."""
