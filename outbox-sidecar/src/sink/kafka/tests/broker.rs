//! Real brokers: one that all tests of this process share, and ones of their own for those that
//! break it.

use std::future::Future;
use std::sync::OnceLock;

use testbed::proxy::KafkaProxy;
use testbed::proxy::kafka::{Injected, Progress, Stage};
use testbed::{KafkaAddress, KafkaServer};
use tokio::runtime::{Builder, Runtime};

use super::support::SOON;

/// A broker; one of its own ends with it.
pub(super) struct Broker {
    address: KafkaAddress,
    server: Option<KafkaServer>,
}

/// The broker for tests that leave it in peace.
pub(super) fn shared() -> Broker {
    Broker {
        address: wait(testbed::shared_kafka()).clone(),
        server: None,
    }
}

/// A broker that the test may break.
pub(super) fn own() -> Broker {
    let server = wait(KafkaServer::start());
    Broker {
        address: server.address().clone(),
        server: Some(server),
    }
}

/// A broker of its own that can take rights away.
pub(super) fn with_rights() -> Broker {
    let server = wait(KafkaServer::options().authorizer().start());
    Broker {
        address: server.address().clone(),
        server: Some(server),
    }
}

/// A broker of its own that is reached directly, and one's way to it through a proxy.
pub(super) fn behind_proxy() -> (Broker, KafkaProxy) {
    let proxy = KafkaProxy::start_without_upstream().unwrap();
    let server = wait(KafkaServer::options().proxied_as(proxy.port()).start());
    proxy.set_upstream(&server.proxied_upstream());
    let broker = Broker {
        address: server.address().clone(),
        server: Some(server),
    };
    (broker, proxy)
}

/// Waits until the broker has answered what a fault held back.
pub(super) fn settled(fault: &Injected) -> Progress {
    wait(fault.reached(Stage::Settled, SOON))
}

impl Broker {
    pub(super) fn bootstrap(&self) -> String {
        self.address.bootstrap().to_owned()
    }

    /// From now on nothing answers, and no connection ends.
    pub(super) fn freeze(&self) {
        self.server().freeze().unwrap();
    }

    pub(super) fn thaw(&self) {
        self.server().thaw().unwrap();
    }

    /// Nobody may write to the topic any more.
    pub(super) fn forbid_writes(&self, topic: &str) {
        wait(self.server().forbid_writes(topic));
    }

    pub(super) fn kill(&self) {
        wait(self.server().kill());
    }

    pub(super) fn restart(&self) {
        wait(self.server().restart());
    }

    fn server(&self) -> &KafkaServer {
        self.server
            .as_ref()
            .expect("the shared broker is left in peace")
    }
}

/// The sink blocks, the test bed does not: its futures run on a runtime of their own.
pub(super) fn wait<T>(future: impl Future<Output = Result<T, testbed::Error>>) -> T {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    let runtime = RUNTIME.get_or_init(|| Builder::new_multi_thread().enable_all().build().unwrap());
    runtime.block_on(future).unwrap()
}
