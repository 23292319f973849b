-- What waits in parked, or was given up there, was never published.
update {schema}.redelivery as d
set reason = 'set-aside',
    error = 'it is set aside in outbox.parked, and was not published: see outbox-sidecar stuck show'
where d.request = $1 and d.reason is null
  and exists (
      select from {schema}.parked as p
      where p.id = d.id and p.relay = $2 and p.state <> 'replayed'
        and p.created_at = d.created_at
  )
