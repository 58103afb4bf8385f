"""Who is meant to be let in where: written down apart from the routes, which are compared with it.

Each line is a method, a path, the least role, what a token must be good for (`-`: no token may), and how grave it is:
`confirmed` asks for a proof of the last minutes, `steers` is about one run alone, so that the demo may do it, and
`or_nobody` answers whoever shows nothing too, with nothing.
"""

WANTED = """
GET    /api/v1/alerts                                     viewer   read
GET    /api/v1/audit                                      admin    manage
GET    /api/v1/audit/verify                               admin    manage
GET    /api/v1/backtests                                  viewer   read
POST   /api/v1/backtests                                  operator research
GET    /api/v1/backtests/compare                          viewer   read
GET    /api/v1/backtests/{id}                             viewer   read
DELETE /api/v1/backtests/{id}                             operator research
GET    /api/v1/backtests/{id}/result                      viewer   read
GET    /api/v1/backtests/{id}/why                         viewer   read
GET    /api/v1/bars                                       viewer   read
GET    /api/v1/bots                                       viewer   read
POST   /api/v1/bots                                       operator trade
POST   /api/v1/bots/{name}/start                          operator trade
POST   /api/v1/bots/{run}/stop                            operator trade
GET    /api/v1/config                                     viewer   read
GET    /api/v1/config/schema                              viewer   read
GET    /api/v1/data                                       viewer   read
GET    /api/v1/data/calendar                              viewer   read
GET    /api/v1/data/gaps                                  viewer   read
GET    /api/v1/data/quality                               viewer   read
GET    /api/v1/downloads                                  viewer   read
POST   /api/v1/downloads                                  operator research
GET    /api/v1/downloads/{id}                             viewer   read
DELETE /api/v1/downloads/{id}                             operator research
POST   /api/v1/downloads/{id}/again                       operator research
GET    /api/v1/exports/logs                               admin    manage
GET    /api/v1/jobs                                       viewer   read
GET    /api/v1/jobs/counts                                viewer   read
GET    /api/v1/keys                                       admin    manage
POST   /api/v1/keys                                       admin    -        confirmed
PUT    /api/v1/keys                                       admin    -        confirmed
POST   /api/v1/keys/{venue}/{account}/check               admin    -        confirmed
POST   /api/v1/keys/{venue}/{account}/remove              admin    -        confirmed
GET    /api/v1/logs                                       admin    manage
GET    /api/v1/runs                                       viewer   read
GET    /api/v1/runs/{run}                                 viewer   read
GET    /api/v1/runs/{run}/balances                        viewer   read
GET    /api/v1/runs/{run}/bars                            viewer   read
GET    /api/v1/runs/{run}/book                            viewer   read
GET    /api/v1/runs/{run}/config                          viewer   read
GET    /api/v1/runs/{run}/contribution                    viewer   read
POST   /api/v1/runs/{run}/control                         operator trade
GET    /api/v1/runs/{run}/correlation                     viewer   read
GET    /api/v1/runs/{run}/equity                          viewer   read
GET    /api/v1/runs/{run}/exports/fills                   viewer   read
GET    /api/v1/runs/{run}/exports/ledger                  viewer   read
GET    /api/v1/runs/{run}/exports/logs                    viewer   read
GET    /api/v1/runs/{run}/exports/orders                  viewer   read
GET    /api/v1/runs/{run}/exports/round-trips             viewer   read
GET    /api/v1/runs/{run}/fills                           viewer   read
GET    /api/v1/runs/{run}/indicators                      viewer   read
GET    /api/v1/runs/{run}/instruments                     viewer   read
GET    /api/v1/runs/{run}/ledger                          viewer   read
GET    /api/v1/runs/{run}/logs                            viewer   read
GET    /api/v1/runs/{run}/notices                         viewer   read
GET    /api/v1/runs/{run}/orders                          viewer   read
POST   /api/v1/runs/{run}/orders                          operator trade
GET    /api/v1/runs/{run}/orders/levels                   viewer   read
GET    /api/v1/runs/{run}/orders/{order_id}               viewer   read
PATCH  /api/v1/runs/{run}/orders/{order_id}               operator trade
DELETE /api/v1/runs/{run}/orders/{order_id}               operator trade
GET    /api/v1/runs/{run}/positions                       viewer   read
GET    /api/v1/runs/{run}/refusals                        viewer   read
GET    /api/v1/runs/{run}/risk                            viewer   read
PATCH  /api/v1/runs/{run}/risk/breakers                   admin    -        confirmed steers
POST   /api/v1/runs/{run}/risk/circuits/reset             admin    -        confirmed steers
PATCH  /api/v1/runs/{run}/risk/limits                     admin    -        confirmed steers
GET    /api/v1/runs/{run}/round-trips                     viewer   read
GET    /api/v1/runs/{run}/round-trips/open                viewer   read
PUT    /api/v1/runs/{run}/round-trips/{number}/note       operator trade
GET    /api/v1/runs/{run}/strategies                      viewer   read
PATCH  /api/v1/runs/{run}/strategies/{name}               operator trade
GET    /api/v1/runs/{run}/strategies/{name}/performance   viewer   read
GET    /api/v1/runs/{run}/strategies/{name}/schema        viewer   read
GET    /api/v1/runs/{run}/why                             viewer   read
GET    /api/v1/searches                                   viewer   read
POST   /api/v1/searches                                   operator research
GET    /api/v1/searches/{id}                              viewer   read
DELETE /api/v1/searches/{id}                              operator research
POST   /api/v1/searches/{id}/apply                        operator research
GET    /api/v1/searches/{id}/page                         viewer   read
GET    /api/v1/searches/{id}/result                       viewer   read
GET    /api/v1/session                                    viewer   read     or_nobody
POST   /api/v1/session                                    anybody  -
DELETE /api/v1/session                                    viewer   read
POST   /api/v1/session/confirm                            viewer   read
PUT    /api/v1/session/password                           viewer   read
POST   /api/v1/session/totp                               viewer   read
PUT    /api/v1/session/totp                               viewer   read
DELETE /api/v1/session/totp                               viewer   read
GET    /api/v1/sessions                                   viewer   read
DELETE /api/v1/sessions/{id}                              viewer   -
GET    /api/v1/setup                                      anybody  -
POST   /api/v1/setup                                      anybody  -
GET    /api/v1/strategies                                 viewer   read
WS     /api/v1/stream                                     viewer   read
GET    /api/v1/studies                                    viewer   read
GET    /api/v1/studies/{name}                             viewer   read
GET    /api/v1/studies/{name}/trials                      viewer   read
GET    /api/v1/tokens                                     viewer   read
POST   /api/v1/tokens                                     viewer   read
DELETE /api/v1/tokens/{id}                                viewer   -
GET    /api/v1/unreadable-runs                            viewer   read
GET    /api/v1/users                                      admin    manage
POST   /api/v1/users                                      admin    -        confirmed
PATCH  /api/v1/users/{name}                               admin    -        confirmed
DELETE /api/v1/users/{name}                               admin    -        confirmed
GET    /api/v1/venues                                     viewer   read
GET    /api/v1/verdicts                                   viewer   read
POST   /api/v1/verdicts                                   operator research
GET    /api/v1/verdicts/{id}                              viewer   read
DELETE /api/v1/verdicts/{id}                              operator research
GET    /api/v1/verdicts/{id}/page                         viewer   read
GET    /api/v1/verdicts/{id}/result                       viewer   read
GET    /health                                            anybody  -
GET    /metrics                                           viewer   metrics
GET    /ready                                             anybody  -
"""


def wanted() -> set[tuple[str, str, str, str, str]]:
    """Return the table's lines: method, path, role, scope, how grave."""
    lines = [line.split(maxsplit=4) for line in WANTED.strip().splitlines()]
    return {(method, path, role, scope, "".join(grave)) for method, path, role, scope, *grave in lines}
