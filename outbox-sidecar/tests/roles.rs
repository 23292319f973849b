//! The roles that `init` makes: each does its work, and can do nothing more.

mod held;
mod reach;
mod refused;
mod silent;
mod work;

use testbed::PostgresServer;
use tokio_postgres::Client;

use crate::scenario::{Scenario, connect};
use crate::target::Target;

/// A relay whose configuration has the relay's role, as `init` made it.
struct Roles {
    scenario: Scenario,
    /// The administrator's.
    admin_url: String,
    relay: String,
    app: String,
}

impl Roles {
    /// On the servers that all tests share.
    async fn to(target: Target) -> Self {
        let postgres = testbed::shared_postgres().await.unwrap();
        Self::of(Scenario::to(postgres, target).await).await
    }

    /// On a server of its own, where nobody else changes roles and rights.
    async fn on(postgres: &PostgresServer) -> Self {
        let kafka = testbed::shared_kafka().await.unwrap();
        Self::of(Scenario::new(postgres.address(), kafka).await).await
    }

    async fn of(scenario: Scenario) -> Self {
        let roles = Self {
            admin_url: scenario.database_url.clone(),
            relay: format!("{}_role", scenario.relay),
            app: format!("{}_app", scenario.relay),
            scenario,
        };
        let made = [
            ["--admin-url", &roles.admin_url],
            ["--relay-role", &roles.relay],
            ["--app-role", &roles.app],
        ];
        let said = roles.scenario.init(&made.concat()).await;
        for role in [&roles.relay, &roles.app] {
            assert!(
                said.contains(&format!("role {role} has its rights")),
                "{said}"
            );
        }
        let configuration = roles.scenario.configuration();
        let url = roles.url(&roles.relay);
        roles
            .scenario
            .configure(&configuration.replace(&roles.admin_url, &url));
        roles
    }

    /// The database, as this role.
    fn url(&self, role: &str) -> String {
        let (scheme, rest) = self.admin_url.split_once("://").unwrap();
        let (_, host) = rest.split_once('@').unwrap();
        format!("{scheme}://{role}@{host}")
    }

    async fn admin(&self) -> Client {
        connect(&self.admin_url).await
    }

    async fn as_relay(&self) -> Client {
        connect(&self.url(&self.relay)).await
    }

    async fn as_app(&self) -> Client {
        connect(&self.url(&self.app)).await
    }
}
