//! Serves the test bed from the command line.

use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use testbed::provision::{PostgresVersion, RabbitVersion, kafka, postgres, rabbitmq};
use testbed::{
    Error, KAFKA_VARIABLE, KafkaServer, POSTGRES_VARIABLE, PostgresServer, install_kafka_tools,
};
use tokio::sync::oneshot;

const USAGE: &str = "usage: testbed provision   fetch the servers into the cache
       testbed serve       start PostgreSQL and Kafka, print their variables, hold until standard
                           input closes (Ctrl-D or Ctrl-C), or one of them ends by itself: then
                           print why
       testbed tools DIR   write Kafka's command-line tools into a folder";

/// How soon it is noticed that a server has ended by itself.
const LOOK_EVERY: Duration = Duration::from_secs(1);

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let command = std::env::args().nth(1);
    let done = match command.as_deref() {
        Some("provision") => provision(),
        Some("serve") => serve().await,
        Some("tools") => tools(std::env::args_os().nth(2)),
        _ => Err(Error::new(USAGE)),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&error.to_string());
            ExitCode::FAILURE
        }
    }
}

fn provision() -> Result<(), Error> {
    say("PostgreSQL, Kafka and RabbitMQ: what is not in the cache is fetched");
    postgres(PostgresVersion::from_environment()?)?;
    postgres(PostgresVersion::V14)?;
    kafka()?;
    rabbitmq(RabbitVersion::from_environment()?)?;
    Ok(())
}

fn tools(folder: Option<OsString>) -> Result<(), Error> {
    let folder = folder.ok_or_else(|| Error::new(USAGE))?;
    install_kafka_tools(folder.as_ref())
}

/// To people: standard output is for programs.
fn say(text: &str) {
    // Nobody may be there to read it.
    let _ = writeln!(std::io::stderr(), "{text}");
}

async fn serve() -> Result<(), Error> {
    let (postgres, kafka) = tokio::try_join!(PostgresServer::start(), KafkaServer::start())?;
    let superuser = postgres.address().superuser();
    let variables = format!(
        "{POSTGRES_VARIABLE}={}\n{KAFKA_VARIABLE}={}\n\n",
        postgres.url(superuser, "postgres"),
        kafka.bootstrap()
    );
    print(&variables)?;
    // Whoever holds the other end keeps the servers alive; however it ends, they end.
    let closed = standard_input_closed();
    tokio::select! {
        closed = closed => closed.map_err(Error::because("standard input cannot be read")),
        ended = first_to_end(&postgres, &kafka) => {
            // Who holds the other end may have to explain what else fails by it.
            print(&format!("{ended}\n"))?;
            Err(ended)
        }
    }
}

/// To programs.
fn print(text: &str) -> Result<(), Error> {
    let mut output = std::io::stdout();
    output
        .write_all(text.as_bytes())
        .and_then(|()| output.flush())
        .map_err(Error::because("standard output cannot be written"))
}

/// Ends when nobody holds the other end of standard input.
///
/// A thread of its own reads, for the runtime would wait for one of its own before it ends.
fn standard_input_closed() -> oneshot::Receiver<()> {
    let (closed, wait) = oneshot::channel();
    std::thread::spawn(move || {
        // What cannot be read is held by nobody either.
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        let _ = closed.send(());
    });
    wait
}

/// Why one of them has ended.
async fn first_to_end(postgres: &PostgresServer, kafka: &KafkaServer) -> Error {
    loop {
        if let Err(ended) = postgres.still_runs().and_then(|()| kafka.still_runs()) {
            return ended;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
