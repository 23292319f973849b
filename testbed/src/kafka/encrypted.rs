//! Listeners with TLS: for everybody, for clients with a certificate, for clients with a password.

use std::fs;
use std::path::{Path, PathBuf};

use crate::certificates::Certificate;
use crate::error::Error;

/// The mechanisms of the listener for passwords.
const MECHANISMS: [&str; 3] = ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"];

/// What a broker's encrypted listeners are told.
#[derive(Debug, Clone)]
pub struct KafkaEncryption {
    certificate_pem: String,
    key_pem: String,
    clients_pem: String,
    users: Vec<(String, String)>,
}

impl KafkaEncryption {
    /// The broker's certificate, and the authority (as PEM) that has signed those of its clients.
    #[must_use]
    pub fn new(certificate: &Certificate, clients_pem: &str) -> Self {
        Self {
            certificate_pem: certificate.pem.clone(),
            key_pem: certificate.key_pem.clone(),
            clients_pem: clients_pem.to_owned(),
            users: Vec::new(),
        }
    }

    /// A user who may log in by any mechanism.
    #[must_use]
    pub fn user(mut self, name: &str, password: &str) -> Self {
        self.users.push((name.to_owned(), password.to_owned()));
        self
    }

    /// The users as the tool that formats a node wants them.
    pub(super) fn scram_users(&self) -> Vec<String> {
        let scram = MECHANISMS.iter().filter(|name| name.starts_with("SCRAM"));
        scram
            .flat_map(|mechanism| {
                self.users.iter().map(move |(name, password)| {
                    format!("{mechanism}=[name={name},password={password}]")
                })
            })
            .collect()
    }
}

/// The ports of the encrypted listeners.
#[derive(Debug, Clone, Copy)]
pub(super) struct EncryptedPorts {
    pub(super) tls: u16,
    pub(super) mutual: u16,
    pub(super) login: u16,
}

impl EncryptedPorts {
    pub(super) fn listeners(self) -> String {
        self.at("127.0.0.1")
    }

    pub(super) fn advertised(self) -> String {
        self.at("localhost")
    }

    fn at(self, host: &str) -> String {
        let Self { tls, mutual, login } = self;
        format!(",TLS://{host}:{tls},MUTUAL://{host}:{mutual},LOGIN://{host}:{login}")
    }
}

/// The files of a node that its encrypted listeners read.
#[derive(Debug)]
pub(super) struct EncryptionFiles {
    key_store: PathBuf,
    trust_store: PathBuf,
}

impl EncryptionFiles {
    pub(super) fn of(directory: &Path) -> Self {
        Self {
            key_store: directory.join("key_store.pem"),
            trust_store: directory.join("trust_store.pem"),
        }
    }

    pub(super) fn write(&self, encryption: &KafkaEncryption) -> Result<(), Error> {
        let key_store = format!("{}{}", encryption.key_pem, encryption.certificate_pem);
        let files = [
            (&self.key_store, &key_store),
            (&self.trust_store, &encryption.clients_pem),
        ];
        for (path, text) in files {
            fs::write(path, text).map_err(Error::because(format!(
                "{} cannot be written",
                path.display()
            )))?;
        }
        Ok(())
    }

    /// Lines of server.properties.
    pub(super) fn settings(&self, encryption: &KafkaEncryption) -> Vec<(String, String)> {
        let plain_users: Vec<_> = encryption
            .users
            .iter()
            .map(|(name, password)| format!(" user_{name}=\"{password}\""))
            .collect();
        let mut settings = vec![
            ("ssl.keystore.type".to_owned(), "PEM".to_owned()),
            ("ssl.truststore.type".to_owned(), "PEM".to_owned()),
            (
                "ssl.keystore.location".to_owned(),
                self.key_store.display().to_string(),
            ),
            (
                "ssl.truststore.location".to_owned(),
                self.trust_store.display().to_string(),
            ),
            (
                "listener.name.mutual.ssl.client.auth".to_owned(),
                "required".to_owned(),
            ),
            ("sasl.enabled.mechanisms".to_owned(), MECHANISMS.join(",")),
        ];
        for mechanism in MECHANISMS {
            let module = match mechanism {
                "PLAIN" => format!("plain.PlainLoginModule required{}", plain_users.concat()),
                _ => "scram.ScramLoginModule required".to_owned(),
            };
            settings.push((
                format!(
                    "listener.name.login.{}.sasl.jaas.config",
                    mechanism.to_lowercase()
                ),
                format!("org.apache.kafka.common.security.{module};"),
            ));
        }
        settings
    }
}
