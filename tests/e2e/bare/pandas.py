"""Stands before pandas on the path of programs under test: the tests have it installed, Abidance does not need it."""

raise ModuleNotFoundError("pandas is no part of what Abidance installs", name="pandas")
