"""`python -m amf_jax` is the `amf` command."""

from amf_jax.cli import main

if __name__ == "__main__":
    main()
