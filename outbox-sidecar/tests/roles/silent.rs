//! A holder that has fallen silent, and that the server would keep for a minute.

use testbed::PostgresServer;

use super::Roles;
use crate::scenario::observation::lines;
use crate::scenario::slot::reading;

/// Every relay has its own walsender dropped after 4 s; whoever else reads the slot has the server's 60 s.
#[tokio::test]
async fn a_silent_holder_is_ended_by_the_relays_role() {
    let postgres = PostgresServer::start().await.unwrap();
    let roles = Roles::on(&postgres).await;
    let scenario = &roles.scenario;
    let holder = reading(&roles.url(&roles.relay), &scenario.slot()).await;
    holder.freeze().unwrap();
    let relay = scenario.start();
    scenario.phase("active").await;
    let message = "the slot's holder has fallen silent: ending its walsender";
    assert_eq!(lines(&relay, message).len(), 1);
    let app = roles.as_app().await;
    scenario.enqueue(&app, 0..10).await;
    scenario.drained(&roles.admin().await).await;
    assert_eq!(scenario.numbers().await, (0..10).collect::<Vec<_>>());
    holder.kill().await.unwrap();
}
