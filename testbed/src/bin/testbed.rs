//! Serves the test bed from the command line.

use std::io::Write;
use std::process::ExitCode;

use testbed::provision::{PostgresVersion, RabbitVersion, kafka, postgres, rabbitmq};
use testbed::{Error, KAFKA_VARIABLE, KafkaServer, POSTGRES_VARIABLE, PostgresServer};

const USAGE: &str = "usage: testbed provision   fetch the servers into the cache
       testbed serve       start PostgreSQL and Kafka, print their variables, hold until standard
                           input closes";

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let command = std::env::args().nth(1);
    let done = match command.as_deref() {
        Some("provision") => provision(),
        Some("serve") => serve().await,
        _ => Err(Error::new(USAGE)),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "{error}");
            ExitCode::FAILURE
        }
    }
}

fn provision() -> Result<(), Error> {
    postgres(PostgresVersion::from_environment()?)?;
    kafka()?;
    rabbitmq(RabbitVersion::from_environment()?)?;
    Ok(())
}

async fn serve() -> Result<(), Error> {
    let (postgres, kafka) = tokio::try_join!(PostgresServer::start(), KafkaServer::start())?;
    let superuser = postgres.address().superuser();
    let variables = format!(
        "{POSTGRES_VARIABLE}={}\n{KAFKA_VARIABLE}={}\n\n",
        postgres.url(superuser, "postgres"),
        kafka.bootstrap()
    );
    let mut output = std::io::stdout();
    output
        .write_all(variables.as_bytes())
        .and_then(|()| output.flush())
        .map_err(Error::because("the variables cannot be printed"))?;
    // Whoever holds the other end keeps the servers alive; however it ends, they end.
    std::io::copy(&mut std::io::stdin(), &mut std::io::sink())
        .map_err(Error::because("standard input cannot be read"))?;
    Ok(())
}
