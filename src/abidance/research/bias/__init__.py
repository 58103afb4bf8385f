"""Is a strategy honest? It may decide by what was known at the time, always alike, wherever its history begins.

Each check asks one question of a `Subject` and answers with a `Check`. How strategies and bars are found, and how
another process is asked, is for the composition root; nothing here reads a file but the strategy's own source.
"""
