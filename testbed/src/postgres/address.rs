//! How a PostgreSQL server is reached.

use tokio_postgres::config::Host;
use tokio_postgres::{Client, Config, NoTls};

use crate::canary::CANARY;
use crate::error::Error;
use crate::unique;

/// A server's TCP address and its superuser.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PostgresAddress {
    host: String,
    port: u16,
    superuser: String,
    password: Option<String>,
}

impl PostgresAddress {
    pub(crate) fn local(port: u16) -> Self {
        Self {
            host: "127.0.0.1".to_owned(),
            port,
            superuser: "postgres".to_owned(),
            password: None,
        }
    }

    /// Reads `postgres://superuser[:password]@host:port/database`; the database is not kept.
    ///
    /// # Errors
    /// When it is no URL of one server reached by TCP.
    pub fn from_url(url: &str) -> Result<Self, Error> {
        let config: Config = url
            .parse()
            .map_err(Error::because("the URL of PostgreSQL cannot be read"))?;
        let [Host::Tcp(host)] = config.get_hosts() else {
            return Err(Error::new(
                "the URL of PostgreSQL must name one host, reached by TCP",
            ));
        };
        let password = config
            .get_password()
            .map(|bytes| String::from_utf8_lossy(bytes).into());
        Ok(Self {
            host: host.clone(),
            port: config.get_ports().first().copied().unwrap_or(5432),
            superuser: config.get_user().unwrap_or("postgres").to_owned(),
            password,
        })
    }

    /// The host, a name or an IP address.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The TCP port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The superuser's name.
    #[must_use]
    pub fn superuser(&self) -> &str {
        &self.superuser
    }

    /// A URL for `user` and `database`; with the password only for the superuser.
    #[must_use]
    pub fn url(&self, user: &str, database: &str) -> String {
        match &self.password {
            Some(password) if user == self.superuser => {
                self.url_with_password(user, password, database)
            }
            _ => format!(
                "postgres://{}@{}:{}/{database}",
                encode(user),
                self.host,
                self.port
            ),
        }
    }

    /// A URL for the superuser and `database`, with a password that nobody may ever print; a server of this
    /// test bed does not ask for it.
    #[must_use]
    pub fn url_with_canary(&self, database: &str) -> String {
        let password = self.password.as_deref().unwrap_or(CANARY);
        self.url_with_password(&self.superuser, password, database)
    }

    /// A URL for `user` with `password`, and `database`.
    #[must_use]
    pub fn url_with_password(&self, user: &str, password: &str, database: &str) -> String {
        let (user, password) = (encode(user), encode(password));
        format!(
            "postgres://{user}:{password}@{}:{}/{database}",
            self.host, self.port
        )
    }

    /// Connects; the connection runs as a task of the current runtime and ends with the client.
    ///
    /// # Errors
    /// When the server cannot be reached or refuses.
    pub async fn connect(&self, user: &str, database: &str) -> Result<Client, Error> {
        connect_to(&self.url(user, database)).await
    }

    /// Connects as the superuser to the database `postgres`.
    ///
    /// # Errors
    /// When the server cannot be reached or refuses.
    pub async fn connect_as_superuser(&self) -> Result<Client, Error> {
        self.connect(&self.superuser, "postgres").await
    }

    /// Creates an empty database with a name that no other test uses, and returns that name.
    ///
    /// # Errors
    /// When the server cannot be reached or refuses.
    pub async fn create_database(&self) -> Result<String, Error> {
        let name = unique::name("test");
        let client = self.connect_as_superuser().await?;
        client
            .batch_execute(&format!("create database {name}"))
            .await
            .map_err(Error::because(format!("database {name} cannot be created")))?;
        Ok(name)
    }
}

pub(crate) async fn connect_to(url: &str) -> Result<Client, Error> {
    let (client, connection) = tokio_postgres::connect(url, NoTls)
        .await
        .map_err(Error::because("connect failed"))?;
    // An error of the connection reaches whoever uses the client.
    tokio::spawn(async move { drop(connection.await) });
    Ok(client)
}

/// Percent-encodes what has a meaning in a URL.
fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_taken_apart_and_put_together() {
        let address = PostgresAddress::from_url("postgres://boss:p%40ss@db:6543/x").unwrap();
        assert_eq!(
            (address.host(), address.port(), address.superuser()),
            ("db", 6543, "boss")
        );
        assert_eq!(address.url("boss", "a"), "postgres://boss:p%40ss@db:6543/a");
        assert_eq!(address.url_with_canary("a"), address.url("boss", "a"));
        assert_eq!(address.url("other", "a"), "postgres://other@db:6543/a");
        assert!(PostgresAddress::from_url("postgres:///x?host=/tmp").is_err());
    }
}
