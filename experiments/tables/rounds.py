"""Rounds by methods: how a few methods learn, and what the better choice saves."""

from collections.abc import Mapping, Sequence

from experiments import learning_curves, statistics
from experiments.figures import style
from experiments.leads import leads, sentence, signed
from experiments.reading import Run
from experiments.series import side_by_side
from experiments.tables.table import Table, cell

#: Rounds between two rows.
STRIDE = 4


def compare(runs: Mapping[str, Sequence[Run]]) -> Table:
    """Methods side by side over the rounds.

    Shows multi-task success, or the return for a suite that defines no success.

    Args:
      runs: runs of one suite and setting by method, at least one each.

    Returns:
      Round 0, every fourth round and the last as rows, then the area under the curve.
      Beside a baseline also the demonstrations that others save, seed by seed, to a
      level that both reach (`demos_to_shared_level`), and notes in words.

    Raises:
      ResultsError: if there is nothing to compare.
    """
    groups, field, curves = side_by_side(runs)
    first = next(iter(groups.values()))

    last = max(curve.shape[1] for curve in curves.values()) - 1
    body = []
    for number in [*range(0, last, STRIDE), last]:
        cells = [
            cell(statistics.summarise(curve[:, number]))
            if number < curve.shape[1]
            else "–"
            for curve in curves.values()
        ]
        body.append((str(number), *cells))
    areas = [
        cell(statistics.summarise(learning_curves.area_under_curve(curve)))
        for curve in curves.values()
    ]
    sums = [("Area under curve", *areas)]
    found = {lead.method: lead for lead in leads(groups, field)}
    if found:
        saved = (
            signed(found[method].demos.saved, "+.3g") if method in found else "–"
            for method in groups
        )
        sums.append(("Demos saved", *saved))
    headings = [
        f"{style.method_name(method)} ({style.seeds(len(group))})"
        for method, group in groups.items()
    ]
    config = first[0].config
    quantity = "return" if field == "return" else "multi-task success"
    return Table(
        title=f"{config['suite']} {config['setting']}: {quantity}, "
        "mean [90 % bootstrap interval over seeds]",
        columns=("Round", *headings),
        rows=(*body, *sums),
        labels="right",
        totals=len(sums),
        notes=tuple(map(sentence, found.values())),
    )
