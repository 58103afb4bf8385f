"""Research: search ideas widely, and say plainly whether what was found is more than luck."""
