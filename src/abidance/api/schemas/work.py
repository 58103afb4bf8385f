"""Long work on the wire: searches for parameters, verdicts, downloads."""

from typing import Annotated, Any, Literal

from pydantic import Field

from abidance.api.schemas.wire import DAY, METRIC, RANGE, WORD, Moment, Schema, Share

Config = Annotated[
    dict[str, Any],
    Field(
        max_length=64,
        examples=[{"instruments": ["BTC/USDT@BINANCE"], "strategies": [{"strategy": "EmaCross"}]}],
    ),
]
Word = Annotated[str, Field(min_length=1, max_length=100, pattern=WORD)]
Metric = Annotated[str, Field(min_length=1, max_length=64, pattern=METRIC)]
Range = Annotated[str, Field(min_length=3, max_length=200, pattern=RANGE, examples=["fast=5:50:5"])]
State = Literal["queued", "running", "done", "failed", "cancelled"]
WorkKind = Literal["backtest", "search", "verdict", "download"]


class WorkOut(Schema):
    """Long work: waiting, under way, or over."""

    id: str
    label: str
    state: State
    progress: Share
    created: Moment
    finished: Moment | None
    told: Moment | None = None
    """When its process last said how it goes."""
    actor: str
    error: str = ""
    remedy: str = ""
    strategies: list[str]
    instruments: list[str]
    timerange: str


class JobOut(WorkOut):
    """Long work of any kind."""

    kind: WorkKind


class CountsOut(Schema):
    """How much long work there is of each state."""

    queued: int = 0
    running: int = 0
    done: int = 0
    failed: int = 0
    cancelled: int = 0


class TrialOut(Schema):
    """One trial of a search: its number, scores in the order of the objectives, and values by parameter."""

    number: int
    scores: list[float]
    parameters: dict[str, float | int | str | bool | None]


class BetterOut(Schema):
    """A trial that was the best so far, with its first score."""

    number: int
    score: float


class SearchIn(Schema):
    """What to search; `config` has the keys of a configuration file. What is left out is chosen by the search."""

    config: Config = Field(default_factory=dict)
    label: str = Field(default="", max_length=100)
    objectives: list[Metric] = Field(default=["sharpe"], min_length=1, max_length=3)
    requirements: list[Word] = Field(default_factory=list, max_length=8)
    spaces: list[Range] = Field(default_factory=list, max_length=32)
    sampler: Literal["tpe", "cmaes", "nsga2", "qmc", "grid", "random"] | None = None
    trials: int | None = Field(default=None, ge=1, le=100_000)
    patience: int | None = Field(default=None, ge=1, le=100_000)
    seed: int = Field(default=0, ge=0, le=2**31)
    train_until: str | None = Field(default=None, max_length=8, pattern=DAY)


class SearchOut(WorkOut):
    """A search and how it stands; `best` is null with several objectives, where `front` counts the undominated."""

    objectives: list[str]
    sampler: str | None
    train_until: str | None
    done: int = 0
    total: int = 0
    front: int = 0
    refused: int = 0
    failed: int = 0
    best: TrialOut | None = None
    improvements: list[BetterOut] = Field(default_factory=list)
    says: str = ""
    """What is done before the first trial and takes long, such as compiling, once for an installed version."""


class StudyTrialOut(Schema):
    """One trial of a study; `scores` in the order of the objectives, `reason` where it has none."""

    number: int
    state: Literal["complete", "refused", "failed", "running", "waiting"]
    scores: list[float | None]
    parameters: dict[str, float | int | str | bool | None]
    reason: str


class StudyOut(Schema):
    """A study on record and how it stands; `best` is null with several objectives, and before there is one."""

    name: str
    state: Literal["running", "resting"]
    """Whether a process is at a trial now. One that rests goes on when it is searched again."""
    is_ours: bool
    """Whether it is that of a search which was started here: `searches/{name}` has its findings."""
    begun: Moment
    """When its first trial began; of a study without one, when it was written last."""
    changed: Moment
    objectives: list[str]
    done: int
    """Trials that have ended with an answer, the refused ones among them."""
    refused: int
    failed: int
    best: StudyTrialOut | None
    problem: str
    """Why its file cannot be read, if it cannot."""


class ApplyIn(Schema):
    """Which trial to write down; null is the best."""

    trial: Annotated[int, Field(ge=0, le=2**31)] | None = None


class ApplyOut(Schema):
    """The file that was written beside the strategies, and which trial is in it."""

    file: str
    trial: int
    command: str


class JudgementIn(Schema):
    """What to judge: a configuration, or the one of a backtest that was made here (`backtest` is its id)."""

    config: Config = Field(default_factory=dict)
    backtest: str = Field(default="", max_length=64)
    label: str = Field(default="", max_length=100)
    metric: Literal["sharpe", "return", "sortino", "calmar"] = "sharpe"
    trials: int = Field(default=1, ge=1, le=1_000_000, description="How often the idea was tried in all.")
    seed: int = Field(default=1, ge=0, le=2**31)
    variants: int | None = Field(default=None, ge=0, le=1_000)
    permutations: int | None = Field(default=None, ge=0, le=10_000)
    noise: int | None = Field(default=None, ge=0, le=1_000)


class JudgementOut(WorkOut):
    """A verdict and how it goes; `mark` and `sentence` are empty before it is done."""

    backtest: str = ""
    mark: str = ""
    sentence: str = ""


class CheckOut(Schema):
    """One check: what was asked, its mark (pass, warn, fail or skip) and a sentence with the number."""

    key: str
    name: str
    mark: Literal["pass", "warn", "fail", "skip"]
    sentence: str


class ChecksOut(Schema):
    """A verdict, check by check."""

    strategy: str
    instruments: list[str]
    period: list[str]
    mark: Literal["pass", "warn", "fail", "skip"]
    sentence: str
    checks: list[CheckOut]


class DownloadIn(Schema):
    """What to bring into the store from the venues' public history."""

    instruments: list[Annotated[str, Field(min_length=3, max_length=64)]] = Field(min_length=1, max_length=50)
    timeframes: list[Annotated[str, Field(min_length=2, max_length=8)]] = Field(
        default_factory=list, max_length=10
    )
    timerange: str = Field(default="", max_length=40, examples=["20240101-20240601"])
    trades: bool = False
    funding: bool = False
    replace: bool = False


class PartOut(Schema):
    """One part of a download: how far it is, how many rows were new, and what went wrong."""

    what: str
    share: Share = 1.0
    added: int
    problem: str = ""


class DownloadOut(WorkOut):
    """A download and how it goes, part by part."""

    parts: list[PartOut] = Field(default_factory=list)


class CalendarOut(Schema):
    """How whole a stored series is, day by day (UTC): `rows` of the `wanted` of each day from `start` on."""

    instrument: str
    timeframe: str
    start: Moment
    wanted: int
    rows: list[int]
