"""The `amf` command. A verb is a module here and a line in `VERBS`."""

import argparse
import importlib
import re
import sys
from collections.abc import Sequence
from typing import NamedTuple, NoReturn

import amf_jax
from amf_jax.cli import process
from amf_jax.errors import UnknownNameError, check_name


class Verb(NamedTuple):
    """What `amf --help` says of a verb, before its module is imported.

    Attributes:
      module: with a docstring, which is its help; `add_arguments(parser)`; and
        `work(options)`, which prints. It imports JAX while it works, not before.
      summary: one line.
    """

    module: str
    summary: str


VERBS = {
    "rank": Verb(
        "amf_jax.cli.rank",
        "rank tasks by a policy's features and errors, or its gradients, in a file",
    ),
}

_DESCRIPTION = """\
Which task should be demonstrated next?

Active multi-task fine-tuning: ranks tasks by how much one more demonstration of
each is expected to tell about the expert, in the states that all of them visit.
"""

_EPILOG = """\
  amf rank steps.npz           a table, and one recommendation in words
  amf rank steps.npz --json    the same for scripts
  amf rank --help              what the file holds, and every option

exit status:
  0    all went well
  1    a file cannot be read or used; the message says why
  2    a verb or an option is wrong
  130  interrupted by Ctrl-C
  141  the reader of the output has left, as head does
"""


class _Parser(argparse.ArgumentParser):
    """Whole names of options alone, and the nearest one for what is none."""

    def __init__(self, prog: str, description: str | None, epilog: str | None = None):
        super().__init__(
            prog=prog,
            description=description,
            epilog=epilog,
            allow_abbrev=False,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )

    def parse_args(self, args=None, namespace=None):
        options, unknown = self.parse_known_args(args, namespace)
        if unknown and unknown[0].startswith("-"):
            known = re.findall(r"--[a-z-]+", self.format_help())
            try:
                check_name("option", unknown[0].partition("=")[0], set(known))
            except UnknownNameError as error:
                self.error(str(error))
        if unknown:
            self.error(f"one argument too many: {unknown[0]!r}")
        return options


def run(arguments: Sequence[str]) -> int:
    """Does what a command line says and returns the exit status.

    Raises:
      SystemExit: help or the version was asked for, or the command line is wrong.
    """
    listed = "\n".join(f"  {name:<8} {verb.summary}" for name, verb in VERBS.items())
    epilog = f"verbs:\n{listed}\n\nexamples:\n{_EPILOG}"
    parser = _Parser("amf", _DESCRIPTION, epilog)
    version = f"amf {amf_jax.__version__}"
    parser.add_argument("--version", action="version", version=version)
    parser.add_argument("verb", nargs="?", metavar="VERB", help="one of those below")
    name = parser.parse_args(arguments[:1]).verb
    if name is None:
        parser.print_help(sys.stderr)
        return 2
    try:
        check_name("verb", name, VERBS)
    except UnknownNameError as error:
        parser.error(str(error))
    verb = importlib.import_module(VERBS[name].module)
    parser = _Parser(f"amf {name}", verb.__doc__)
    verb.add_arguments(parser)
    return process.run(parser, arguments[1:], verb.work)


def main() -> NoReturn:
    """The entry point of the command."""
    process.start(lambda: run(sys.argv[1:]))
