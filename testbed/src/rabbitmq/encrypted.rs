//! Listeners with TLS, for AMQP and streams.

use std::path::Path;

use crate::certificates::Certificate;

const CERTIFICATE: &str = "server.pem";
const KEY: &str = "server.key";
const CLIENTS: &str = "clients.pem";

/// What a node's encrypted listeners are told.
#[derive(Debug, Clone)]
pub struct RabbitEncryption {
    certificate_pem: String,
    key_pem: String,
    clients_pem: String,
    demands_certificates: bool,
}

impl RabbitEncryption {
    /// The node's certificate, and the authority (as PEM) that has signed those of its clients, who
    /// may log in by them: their common name is their user's.
    #[must_use]
    pub fn new(certificate: &Certificate, clients_pem: &str) -> Self {
        Self {
            certificate_pem: certificate.pem.clone(),
            key_pem: certificate.key_pem.clone(),
            clients_pem: clients_pem.to_owned(),
            demands_certificates: false,
        }
    }

    /// Lets nobody in without a certificate, however they log in.
    #[must_use]
    pub fn demanding_certificates(mut self) -> Self {
        self.demands_certificates = true;
        self
    }

    pub(super) fn files(&self) -> [(&'static str, &str); 3] {
        [
            (CERTIFICATE, &self.certificate_pem),
            (KEY, &self.key_pem),
            (CLIENTS, &self.clients_pem),
        ]
    }

    /// Lines of rabbitmq.conf.
    pub(super) fn settings(&self, home: &Path, amqps: u16, streams: u16) -> String {
        let path = |name| home.join(name).display().to_string();
        format!(
            "listeners.ssl.1 = 127.0.0.1:{amqps}\n\
             stream.listeners.ssl.1 = 127.0.0.1:{streams}\n\
             ssl_options.certfile = {}\n\
             ssl_options.keyfile = {}\n\
             ssl_options.cacertfile = {}\n\
             ssl_options.verify = verify_peer\n\
             ssl_options.fail_if_no_peer_cert = {}\n\
             ssl_options.versions.1 = tlsv1.3\n\
             ssl_options.versions.2 = tlsv1.2\n\
             auth_mechanisms.1 = PLAIN\n\
             auth_mechanisms.2 = EXTERNAL\n\
             ssl_cert_login_from = common_name\n",
            path(CERTIFICATE),
            path(KEY),
            path(CLIENTS),
            self.demands_certificates
        )
    }
}
