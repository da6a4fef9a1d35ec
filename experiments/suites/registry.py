"""The registry of suites: one line each."""

from experiments.suites.base import Suite
from experiments.suites.integrator.suite import SUITE as INTEGRATOR
from experiments.suites.kitchen.suite import SUITE as KITCHEN
from experiments.suites.metaworld.suite import SUITE as METAWORLD

SUITES: dict[str, Suite] = {
    suite.name: suite for suite in (INTEGRATOR, METAWORLD, KITCHEN)
}
