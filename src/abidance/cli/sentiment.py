"""The command that brings the mood of the market into the store.

Nothing heavy is imported before it runs. Errors are left to the program's entry, which knows the exit codes.
"""

from typing import Annotated

import typer

from abidance.cli import options
from abidance.cli.data import DEFAULT_USERDIR, UserDir


def download_sentiment(
    news: Annotated[
        list[str] | None, typer.Option("--news", help="An RSS or Atom feed; may be given more than once.")
    ] = None,
    index: Annotated[bool, typer.Option("--index/--no-index", help="Fear & Greed by alternative.me.")] = True,
    headlines: Annotated[bool, typer.Option("--headlines/--no-headlines", help="The tone of news.")] = True,
    config: options.Configs = None,
    store: options.Store = "",
    userdir: UserDir = DEFAULT_USERDIR,
) -> None:
    """Bring Fear & Greed, and the tone of headlines not seen before, into the store. Run it every hour."""
    from rich.console import Console
    from rich.markup import escape

    from abidance.cli.terminal import visible
    from abidance.kernel.clock import WallClock
    from abidance.market.readings import FEAR_GREED, NEWS
    from abidance.run.sentiment import NEWS_URLS, RealWeb, SentimentDesk

    console, where = Console(highlight=False), options.store_of(userdir, store, config)
    desk = SentimentDesk(options.folder_beside(where, userdir), RealWeb(), WallClock(), where)
    if index:
        console.print(f"{FEAR_GREED}: {desk.refresh_fear_greed():,} new readings (source: alternative.me).")
    if headlines:
        count, faults = desk.refresh_news(news or NEWS_URLS)
        console.print(f"{NEWS}: {count:,} new headlines.")
        for fault in faults:
            console.print(f"[yellow]Note:[/] {escape(visible(fault))}")
