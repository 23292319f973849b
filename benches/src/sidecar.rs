//! The relay as users run it: `outbox-sidecar init`, then `outbox-sidecar run`.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use outbox_core::Lsn;
use serde_json::Value;
use testbed::{Program, ReservedPort, Spawn, beside_this_executable, unique};

use crate::backlog::{Backlog, Shape};
use crate::ceiling::Ceiling;
use crate::http;
use crate::measure::{Usage, usage};
use crate::servers::{Place, Servers};

const INIT_MAX: Duration = Duration::from_secs(120);
const RUN_MAX: Duration = Duration::from_secs(600);
/// Above the relay's own limit for a drain.
const STOP_MAX: Duration = Duration::from_secs(40);
/// How often the relay's status is asked for: the resolution of what is timed by it.
const POLL: Duration = Duration::from_millis(10);

/// A relay that is set up for a database of its own.
#[derive(Debug)]
pub struct Sidecar {
    command: Spawn,
    port: ReservedPort,
    name: String,
    publication: String,
    program: Option<Program>,
}

/// What a drained backlog took.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Drained {
    /// From the start of the process until the checkpoint covers the backlog.
    pub elapsed: Duration,
    /// How much of it passed until the relay was active.
    pub start_up: Duration,
    /// How much of it passed until the checkpoint moved: the first rows are published.
    pub first_rows: Duration,
    /// Of the process, start-up included.
    pub usage: Usage,
    /// Messages of a batch, on average.
    pub batch_messages_mean: f64,
    /// How many batches there were.
    pub batches: f64,
}

impl Sidecar {
    /// Makes a database, a topic and the relay's slot, then a backlog that both slots carry.
    ///
    /// # Errors
    /// When a server or `init` refuses.
    pub async fn with_backlog(
        servers: &Servers,
        shape: Shape,
        rows: u64,
    ) -> anyhow::Result<(Self, Ceiling, Backlog)> {
        let place = servers.make_place().await?;
        let sidecar = Self::set_up(servers, &place).await?;
        let ceiling = Ceiling::make(servers, &place.database, &sidecar.publication).await?;
        let backlog = Backlog::write(servers, place, shape, rows).await?;
        Ok((sidecar, ceiling, backlog))
    }

    /// Writes the configuration and runs `init`.
    pub(crate) async fn set_up(servers: &Servers, place: &Place) -> anyhow::Result<Self> {
        let name = unique::name("bench");
        let port = ReservedPort::find()?;
        // Its directory is the one of the server, and gone with that, however we end.
        let configuration = servers
            .postgres()
            .socket_directory()
            .join(format!("{name}.toml"));
        let url = servers.url(&place.database);
        std::fs::write(&configuration, toml(servers, &name, &url, port.number()))
            .with_context(|| format!("{} cannot be written", configuration.display()))?;
        let command = Spawn::new(beside_this_executable("outbox-sidecar")?.to_string_lossy())
            .arg("-c")
            .arg(configuration.to_string_lossy());
        let init = Program::start("init", command.clone().arg("init"))?;
        let exit = init.exited(INIT_MAX).await?;
        if !exit.success() {
            bail!(
                "`outbox-sidecar init` failed: {exit}\n{}{}",
                init.stdout()?,
                init.stderr()?
            );
        }
        Ok(Self {
            command,
            port,
            publication: format!("outbox_{name}"),
            name,
            program: None,
        })
    }

    /// Lets so many keys of the backlog's destination wait behind a message that was set aside.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn block_keys(
        &self,
        servers: &Servers,
        backlog: &Backlog,
        count: u32,
    ) -> anyhow::Result<()> {
        if count == 0 {
            // So that a relay of before the table can be measured by the same program.
            return Ok(());
        }
        let sql = "insert into outbox.parked
                       (relay, system_id, timeline, commit_lsn, index, xid, commit_time, id,
                        destination, key, type, content_type, headers, created_at, reason, error,
                        attempts, blocks_key)
                   select $1, (select system_identifier::text from pg_control_system()), 1, '0/1', n, 1,
                          now(), gen_random_uuid(), $2, 'blocked-' || n, 'T', 'c', '{}', now(),
                          'too-large', '', 1, true
                   from generate_series(1, $3::int8) as n";
        let client = servers.client(&backlog.place.database).await?;
        let destination = backlog.place.topic.as_str();
        let values: [&(dyn tokio_postgres::types::ToSql + Sync); 3] =
            [&self.name, &destination, &i64::from(count)];
        client.execute(sql, &values).await?;
        Ok(())
    }

    /// Starts the relay and waits until its checkpoint covers the backlog, then stops it.
    ///
    /// # Errors
    /// When the relay ends by itself, or is not done within ten minutes.
    pub async fn drain(&mut self, backlog: &Backlog) -> anyhow::Result<Drained> {
        let started = Instant::now();
        self.start()?;
        let mut before = None;
        let active = self
            .reached(|status| {
                before = frontier(status);
                is_active(status)
            })
            .await?;
        let first = self.reached(|status| frontier(status) > before).await?;
        let done = self
            .reached(|status| is_active(status) && frontier(status) > Some(backlog.end))
            .await?;
        let usage = self.usage()?;
        let metrics = self.get("/metrics").await?;
        self.stop().await?;
        let batches = sample(&metrics, "outbox_batch_messages_count");
        let messages = sample(&metrics, "outbox_batch_messages_sum");
        let (batches, messages) = batches.zip(messages).context("no batches in /metrics")?;
        Ok(Drained {
            elapsed: done.duration_since(started),
            start_up: active.duration_since(started),
            first_rows: first.duration_since(started),
            usage,
            batch_messages_mean: messages / batches,
            batches,
        })
    }

    /// Starts the relay and waits until it is active.
    pub(crate) async fn activate(&mut self) -> anyhow::Result<()> {
        self.start()?;
        self.reached(is_active).await.map(drop)
    }

    /// What the running relay has used so far.
    pub(crate) fn usage(&self) -> anyhow::Result<Usage> {
        usage(self.program()?.pid()?)
    }

    /// SIGTERM; the relay must end in order.
    pub(crate) async fn stop(&mut self) -> anyhow::Result<()> {
        let program = self.program.take().context("the relay does not run")?;
        program.terminate()?;
        let exit = program.exited(STOP_MAX).await?;
        if !exit.success() {
            bail!(
                "the relay did not stop in order: {exit}\n{}",
                program.stderr()?
            );
        }
        Ok(())
    }

    fn start(&mut self) -> anyhow::Result<()> {
        self.program = Some(Program::start("relay", self.command.clone().arg("run"))?);
        Ok(())
    }

    fn program(&self) -> anyhow::Result<&Program> {
        self.program.as_ref().context("the relay does not run")
    }

    /// Asks for the status until `condition` holds of it, and says when that was.
    async fn reached(&self, mut condition: impl FnMut(&Value) -> bool) -> anyhow::Result<Instant> {
        let deadline = Instant::now() + RUN_MAX;
        let program = self.program()?;
        let mut last = Value::Null;
        loop {
            // Until it listens, nobody answers.
            if let Ok(text) = self.get("/status").await {
                let now = Instant::now();
                last = serde_json::from_str(&text).context("/status is no JSON")?;
                if condition(&last) {
                    return Ok(now);
                }
            }
            if let Some(exit) = program.exit()? {
                bail!("the relay ended by itself: {exit}\n{}", program.stderr()?);
            }
            if Instant::now() >= deadline {
                bail!(
                    "not there within {RUN_MAX:?}: {last}\n{}",
                    program.stderr()?
                );
            }
            tokio::time::sleep(POLL).await;
        }
    }

    async fn get(&self, path: &str) -> anyhow::Result<String> {
        http::get(SocketAddr::from(([127, 0, 0, 1], self.port.number())), path).await
    }
}

fn is_active(status: &Value) -> bool {
    status.get("phase").and_then(Value::as_str) == Some("active")
}

/// The LSN of the durable frontier, which is printed as `LSN:index`.
fn frontier(status: &Value) -> Option<Lsn> {
    let (lsn, _) = status.get("frontier")?.as_str()?.rsplit_once(':')?;
    lsn.parse().ok()
}

/// The value of a metric without labels.
fn sample(metrics: &str, name: &str) -> Option<f64> {
    let line = metrics
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))?;
    line.trim().parse().ok()
}

fn toml(servers: &Servers, name: &str, url: &str, port: u16) -> String {
    format!(
        r#"[relay]
name = "{name}"

[postgres]
url = "{url}?sslmode=disable"

{}
[http]
listen = "127.0.0.1:{port}"
"#,
        servers.outlet().section(name),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_and_metrics_are_understood() {
        let status = serde_json::json!({ "phase": "active", "frontier": "0/1A2B3C4D:7" });
        assert!(is_active(&status));
        assert_eq!(frontier(&status), "0/1A2B3C4D".parse().ok());
        assert_eq!(frontier(&Value::Null), None);
        let metrics = "# TYPE outbox_batch_messages summary\n\
                       outbox_batch_messages{quantile=\"0.5\"} 3\n\
                       outbox_batch_messages_sum 1200\noutbox_batch_messages_count 4\n";
        assert_eq!(sample(metrics, "outbox_batch_messages_sum"), Some(1200.0));
        assert_eq!(sample(metrics, "outbox_batch_messages"), None);
    }
}
