use super::Look;
use crate::control::{MadeFor, Waiting, read_set_up, relay_names};
use crate::count::counted;

impl Look<'_> {
    pub(super) async fn set_up(&mut self) {
        let settings = self.settings;
        match read_set_up(self.client, &settings.schema, &settings.relay).await {
            Err(failure) => {
                self.findings
                    .error("set-up", failure.message, "outbox-sidecar init");
            }
            Ok(None) => {
                let others = relay_names(self.client, &settings.schema).await;
                let (found, fix) = if others.is_empty() {
                    (String::new(), "outbox-sidecar init")
                } else {
                    let fix = "look at relay.name; for one that is new: outbox-sidecar init";
                    (format!("; set up are: {}", others.join(", ")), fix)
                };
                let relay = &settings.relay;
                self.findings.error(
                    "set-up",
                    format!("relay {relay} was never set up{found}"),
                    fix,
                );
            }
            Ok(Some(set_up)) => {
                self.seen.genesis_written = set_up.row.genesis_written;
                self.seen
                    .publication_accepted
                    .clone_from(&set_up.row.publication_accepted);
                if let Some((exit_code, reason)) = &set_up.row.held {
                    self.findings.error(
                        "set-up",
                        format!("held since an earlier run (exit {exit_code}): {reason}"),
                        "follow docs/runbooks/the-database-is-not-the-one.md",
                    );
                }
                let differs = set_up.made_for.differs(&MadeFor::configured(settings));
                if !set_up.row.genesis_written {
                    self.findings.error(
                        "set-up",
                        "init did not come to its end",
                        "outbox-sidecar init",
                    );
                } else if let Some(differs) = differs {
                    self.findings
                        .error("set-up", differs, "put the configuration back");
                } else {
                    self.findings.ok("set-up", settings.relay.clone());
                }
            }
        }
    }

    /// A table that is missing is said elsewhere: the schema is older.
    pub(super) async fn set_aside(&mut self) {
        let (schema, relay) = (&self.settings.schema, &self.settings.relay);
        let Ok(waiting) = Waiting::read(self.client, schema, relay).await else {
            return;
        };
        match waiting.count() {
            0 => self.findings.ok("set aside", "no message waits"),
            count => self.findings.warning(
                "set aside",
                format!(
                    "waiting: {}; not done: {}",
                    counted(count, "message"),
                    counted(waiting.requests, "request")
                ),
                "outbox-sidecar stuck list; then replay or skip them",
            ),
        }
    }
}
