"""The support package of *A History of Fine-Tuning*: one subject per module.

Start with `runtime` (what a run is), then `assets` (where bytes come from), `data` (the reviews and
their splits), `training` (the loop), `methods` (a file per era) and `grid` (all eras on the same
task). Modules import only from earlier ones; the README has the whole order.
"""

import logging
import os
from pathlib import Path

from helpers import notebooks, session
from helpers.runtime import ROOT, Run, make_run

__all__ = ["setup"]
__version__ = "0.1.0"

# Threads that spin while they wait slow each other down beside any other busy process. OpenMP reads
# this when torch is imported, which this package does only on demand.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

# Where it is installed, peft loads it, and it would ask everyone for faster kernels.
logging.getLogger("bitsandbytes").setLevel(logging.ERROR)

HOUSE_STYLE = Path(__file__).parent / "plots" / "house.mplstyle"


def setup(notebook: int | str, seed: int = 0) -> Run:
    """Make a run reproducible and say in three lines what it will use and cost.

    Args:
        notebook: the number in the file's name, or `"bonus/slug"`, or `"solutions/3"`.
        seed: for Python, NumPy and torch; loops over seeds set their own.

    Returns:
        The `Run`, with the profile that `COURSE_PROFILE` names; without it `gpu` when CUDA offers
        14 GB, else `cpu`.

    Raises:
        ValueError: if `COURSE_PROFILE` or the notebook is unknown; the message lists what there is.
    """
    import matplotlib.style

    [path] = notebooks.resolve([str(notebook)])
    name = path.relative_to(ROOT / "notebooks").with_suffix("").as_posix()
    run = make_run(name, notebooks.revision_of(notebooks.peek(path)), seed)
    session.begin(run)
    matplotlib.style.use(HOUSE_STYLE)
    where = f"{run.device_name}, {run.precision}"
    print(f"{name} · profile {run.profile.name} · {where} · seed {seed}")
    print(" · ".join(f"{package} {version}" for package, version in run.versions.items()))
    if "COURSE_VERDICTS" not in os.environ:  # a timed run would print the previous run's cost
        print(notebooks.expected_cost(path))
    return run
