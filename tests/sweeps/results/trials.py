"""Made-up trials for tests of results."""

from sweeps.results.selection import Trial


def trial(strategy="full", rate=1e-3, score=1.0, *, status="finished", trainable=10) -> Trial:
    finished = status == "finished"
    return Trial(
        run_id=f"{strategy}-{rate}",
        trial_id="t",
        strategy=strategy,
        learning_rate=rate,
        status=status,
        score=score if finished else None,
        report_score=score if finished else None,
        trainable_parameters=trainable,
        trainable_share=0.5,
    )


def seeds(rate: float, *scores: float, strategy="full", trainable=10) -> list[Trial]:
    """The trials of a repeated point: the first has the sweep's own seed, 0."""
    return [
        Trial(
            run_id=f"{strategy}-{rate}-{seed}",
            trial_id=f"{rate}-{seed}",
            strategy=strategy,
            learning_rate=rate,
            status="finished",
            score=score,
            report_score=None,
            trainable_parameters=trainable,
            trainable_share=0.5,
            seed=seed,
            is_repeat=seed > 0,
        )
        for seed, score in enumerate(scores)
    ]


GRID = [trial(rate=rate, score=score) for rate, score in ((1e-2, 1.0), (1e-3, 3.0), (1e-4, 2.0))]
LUCKY = [*seeds(1e-3, 10.0, 2.0, 3.0), *seeds(1e-4, 6.0, 7.0, 8.0), *seeds(1e-5, 9.0)]
"""The point with the highest single score does not have the highest mean."""
