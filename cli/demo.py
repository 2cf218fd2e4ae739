"""`lethe demo`: the whole path on the digits data set."""

from cli.options import Verbose


def demo(
    verbose: Verbose = False,
) -> None:
    """Prepare digits, train, register, forget class 3, and show what it cost.

    Run again, it says what it reuses. Everything lies under .lethe/; `make clean` removes it.

    Example: lethe demo
    """
    from cli.environment import prepare_environment
    from cli.output import note, out
    from lethe.settings import load_settings

    prepare_environment(load_settings(), verbose=verbose)
    note("Starting the local Prefect server and MLflow store (about 20 seconds the first time)")
    from cli.unlearn import show_result
    from flows.demo import CLASS, DATASET
    from flows.demo import demo as flow
    from tasks.results import Status

    result = flow()
    done = {
        f"data set {DATASET}": result.data_reused,
        f"{result.trained.version}, trained on it": result.trained.reused,
        f"{result.unlearned.successor}, which forgot class {CLASS}": (
            result.unlearned.status is Status.ALREADY_FORGOTTEN
        ),
    }
    for step, reused in done.items():
        out.print(f"{'reused' if reused else 'made  '}  {step}")
    show_result(result.unlearned)
