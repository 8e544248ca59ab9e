"""Transport: what carries messages between actors, agents and operators.

`api` holds the ports that everybody else sees; `nats` implements them with the safe client (`client`), the
counted publisher (`publisher`) and the standing-request puller (`puller`). `streams` is the topology as data,
`embedded` runs a nats-server as a child, `endpoints` answers requests in the NATS micro protocol. On top of
the ports stands the actor runtime: `service` says what a service declares, `actor` runs it.
"""
