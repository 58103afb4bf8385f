"""How the next setting is proposed: Optuna's samplers behind names, each trial's draws a function of seed and number.

Processes that share a study thus never draw the same numbers, and a study of one worker repeats.
"""

import warnings
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from typing import Any

import numpy as np
import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial, TrialState

from abidance.model.errors import UsageError
from abidance.research.space import Dimension, Space, Values, unknown
from abidance.strategy.parameters import Value

Key = tuple[tuple[str, Value], ...]
SAMPLERS = {
    "tpe": "learns where good settings lie; the best choice for most",
    "cmaes": "follows the slope; for many numbers on a smooth objective",
    "nsga2": "breeds settings; for several objectives",
    "qmc": "spreads settings evenly over the space",
    "grid": "tries every combination",
    "random": "tries settings at random",
}
"""Every sampler by name, with what it is for."""


def key_of(values: Values) -> Key:
    """Return a setting as something to compare and look up."""
    return tuple(sorted(values.items()))


def distribution(dimension: Dimension) -> BaseDistribution:
    """Return a dimension as Optuna knows it."""
    if dimension.choices:
        return CategoricalDistribution(dimension.choices)
    if dimension.is_whole:
        return IntDistribution(int(dimension.low), int(dimension.high), step=int(dimension.step or 1))
    step = None if dimension.step is None else float(dimension.step)
    return FloatDistribution(float(dimension.low), float(dimension.high), step=step)


def check_sampler(name: str, space: Space, objectives: int, requirements: int = 0) -> None:
    """Raise UsageError unless the sampler is there and can do what is asked of it."""
    if name not in SAMPLERS:
        raise unknown("sampler", name, list(SAMPLERS))
    if name == "cmaes":
        if objectives > 1:
            raise UsageError("cmaes knows one objective only.", "Take --sampler nsga2 or tpe.")
        if requirements:
            raise UsageError("cmaes minds no requirements.", "Take --sampler tpe, or leave out --require.")
        words = [each.name for each in space.dimensions.values() if each.choices]
        if words or len(space.dimensions) < 2:
            raise UsageError(
                f"cmaes needs at least two ranges and no choices ({', '.join(words) or space}).",
                "Take --sampler tpe, or write ranges with --space.",
            )
    if name == "grid":
        space.grid()
    needed = {"cmaes": "cmaes", "qmc": "scipy"}.get(name)
    if needed and find_spec(needed) is None:
        raise UsageError(
            f"--sampler {name} needs the package {needed}.", "Install it: pip install 'abidance[optimise]'"
        )


def sampler_named(name: str, seed: int, space: Space, taken: Callable[[], set[Key]]) -> BaseSampler:
    """Return a sampler; `taken` returns the settings that some trial has."""
    if name == "grid":
        return _Grid(space, seed, taken)
    if name == "qmc":
        return _quietly(lambda: optuna.samplers.QMCSampler(seed=seed, scramble=True))
    return _Seeded(_MAKERS[name], seed)


def _quietly(make: Callable[[], BaseSampler]) -> BaseSampler:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return make()


_MAKERS: dict[str, Callable[[int], BaseSampler]] = {
    "tpe": lambda seed: optuna.samplers.TPESampler(seed=seed, constant_liar=True),
    "cmaes": lambda seed: optuna.samplers.CmaEsSampler(
        seed=seed, with_margin=True, warn_independent_sampling=False
    ),
    "nsga2": lambda seed: optuna.samplers.NSGAIISampler(seed=seed, population_size=20),
    "random": lambda seed: optuna.samplers.RandomSampler(seed=seed),
}


class _Seeded(BaseSampler):
    """A sampler made anew for each trial, seeded by the trial's number; what it learnt is in the study."""

    def __init__(self, make: Callable[[int], BaseSampler], seed: int) -> None:
        self._make = make
        self._seed = seed
        self._inner = _quietly(lambda: make(seed))

    def before_trial(self, study: optuna.Study, trial: FrozenTrial) -> None:
        """Begin a trial."""
        seed = int(np.random.SeedSequence((self._seed, trial.number)).generate_state(1)[0])
        self._inner = _quietly(lambda: self._make(seed))
        self._inner.before_trial(study, trial)

    def infer_relative_search_space(
        self, study: optuna.Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """Return what is drawn together."""
        return self._inner.infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Draw what is drawn together."""
        return self._inner.sample_relative(study, trial, search_space)

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """Draw one value."""
        return self._inner.sample_independent(study, trial, param_name, param_distribution)

    def after_trial(
        self, study: optuna.Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None
    ) -> None:
        """Learn from a trial."""
        self._inner.after_trial(study, trial, state, values)


class _Grid(optuna.samplers.RandomSampler):
    """Every point once, in an order drawn by the seed, whoever takes part."""

    def __init__(self, space: Space, seed: int, taken: Callable[[], set[Key]]) -> None:
        super().__init__(seed)
        points = space.grid()
        order = np.random.default_rng(seed).permutation(len(points))
        self._points = [points[place] for place in order]
        self._taken = taken
        self._next = 0

    def before_trial(self, study: optuna.Study, trial: FrozenTrial) -> None:
        """Choose the first point that nobody has."""
        del study
        if "fixed_params" in trial.system_attrs:
            return
        taken = self._taken()
        while self._next < len(self._points) - 1 and key_of(self._points[self._next]) in taken:
            self._next += 1

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """Return the point's value."""
        del study, trial, param_distribution
        return self._points[self._next][param_name]
