"""What runs the paper: suites, configs, and the commands `python -m experiments.…`."""

import os
import signal
import sys

# A command takes seconds to import what it needs. Ctrl-C in that time has nothing to
# stop, and would end in a traceback from somewhere inside; `command.start` takes over.
if sys.argv[:1] == ["-m"] and (
    signal.getsignal(signal.SIGINT) is signal.default_int_handler
):
    signal.signal(signal.SIGINT, lambda number, frame: os._exit(130))
