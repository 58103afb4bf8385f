"""The whole live program in one process under virtual time, while everything goes wrong; one seed decides it all.

A bot trades at a local exchange through a network, on a machine and a disk that fail as a seed says; a checker that
shares no code with it judges from outside. `campaign.play(seed)` plays one world.
"""
