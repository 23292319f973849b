//! What is where messages are to go, seen without changing anything that lasts.

use std::collections::BTreeMap;
use std::time::Duration;

use lapin::BasicProperties;
use lapin::options::{
    BasicPublishOptions, ConfirmSelectOptions, ExchangeDeclareOptions, QueueDeclareOptions,
};
use lapin::types::{AMQPValue, FieldTable, LongString, ShortString};
use outbox_core::sink::AcquireError;
use tokio::runtime::{Builder, Runtime};

use super::errors::Refused;
use super::session::{Link, Session, answer_of};
use super::settings::{RabbitSettings, RabbitSettingsError};

/// A queue of this name does not exist.
const NOT_FOUND: u16 = 404;
/// The request lacks a right.
const ACCESS_REFUSED: u16 = 403;
/// Another connection has it for itself.
const RESOURCE_LOCKED: u16 = 405;
/// A queue of this name exists and differs; or a message says of itself what cannot be.
const PRECONDITION_FAILED: u16 = 406;
/// What a refusal says that concerns routing keys, and one that concerns everybody.
const REFUSED_TOPIC: &str = "access to topic '";
const REFUSED_INTERNAL: &str = "internal exchange";
/// A time until a message expires that is none.
const NO_EXPIRATION: &str = "never";
/// How many arguments of a queue are asked for, one after the other.
const ARGUMENTS_MAX: usize = 20;

/// A connection that looks at exchanges and queues.
pub struct RabbitInspection {
    link: Link,
    runtime: Runtime,
}

/// The longest a broker may take to say goodbye.
const GOODBYE_MAX: Duration = Duration::from_secs(1);

/// Says goodbye, so that the broker does not note a connection that broke.
impl Drop for RabbitInspection {
    fn drop(&mut self) {
        let closing = self.link.connection.close(200, "looked".into());
        let _ = self
            .runtime
            .block_on(async { tokio::time::timeout(GOODBYE_MAX, closing).await });
    }
}

/// What is known of a queue.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QueueFacts {
    /// Its messages that no consumer has taken.
    pub messages: u32,
    /// Its consumers.
    pub consumers: u32,
    /// Whether it survives a restart of its node; unknown without the right to declare queues.
    pub durable: Option<bool>,
    /// The arguments it was declared with, such as `x-queue-type`; of policies nothing is known.
    pub arguments: BTreeMap<String, String>,
}

/// What the broker says against something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Objects {
    /// The user lacks a right.
    ToUser(String),
    /// It would say so to anyone.
    ToAnyone(String),
    /// Nothing: it does not answer.
    NoAnswer(String),
}

impl From<Refused> for Objects {
    fn from(refused: Refused) -> Self {
        match refused.code {
            Some(ACCESS_REFUSED) => Self::ToUser(refused.text),
            Some(_) => Self::ToAnyone(refused.text),
            None => Self::NoAnswer(refused.text),
        }
    }
}

/// What stands where the relay's guard will be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GuardPlace {
    /// Nothing.
    Free,
    /// The guard of a relay at work.
    Guarded,
    /// A queue that is no guard: no relay can have its own.
    Taken,
}

impl RabbitInspection {
    /// Connects to the first broker that answers, as the relay would.
    ///
    /// # Errors
    /// See [`AcquireError`].
    pub fn connect(settings: &RabbitSettings) -> Result<Self, AcquireError> {
        let unusable = |error: RabbitSettingsError| AcquireError::Fatal(error.to_string());
        let brokers = settings.brokers().map_err(unusable)?;
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .map_err(|error| AcquireError::Fatal(error.to_string()))?;
        let link = runtime.block_on(Session::connect(settings, &brokers))?;
        Ok(Self { link, runtime })
    }

    /// Whether the relay may have its guard: a queue of its own, which is made for a moment under
    /// a name beside it.
    ///
    /// # Errors
    /// What the broker says against it.
    pub fn try_guard(&self, settings: &RabbitSettings) -> Result<(), Objects> {
        let options = QueueDeclareOptions {
            exclusive: true,
            auto_delete: true,
            ..QueueDeclareOptions::default()
        };
        let name = format!("{}-check", settings.guard());
        self.declare(&name, options, FieldTable::default())
            .map(|_| ())
            .map_err(Objects::from)
    }

    /// What stands under the guard's own name.
    ///
    /// # Errors
    /// The broker does not answer.
    pub fn guard_place(&self, settings: &RabbitSettings) -> Result<GuardPlace, String> {
        let passive = QueueDeclareOptions {
            passive: true,
            ..QueueDeclareOptions::default()
        };
        match self.declare(&settings.guard(), passive, FieldTable::default()) {
            Ok(_) => Ok(GuardPlace::Taken),
            Err(refused) => match refused.code {
                Some(NOT_FOUND) => Ok(GuardPlace::Free),
                Some(RESOURCE_LOCKED) => Ok(GuardPlace::Guarded),
                _ => Err(refused.text),
            },
        }
    }

    /// Whether messages may be written to an exchange, of any routing key; the empty name is the default one.
    ///
    /// A message that the broker must not take is sent to it: it looks at the right first, then at what the
    /// message says of itself, and routes nothing
    /// (<https://www.rabbitmq.com/docs/ttl#per-message-ttl-in-publishers>).
    ///
    /// # Errors
    /// What the broker says against it. One with an alarm lets a connection that publishes wait: it answers
    /// nothing more.
    pub fn try_to_write(&self, exchange: &str) -> Result<(), Objects> {
        let doing = format!("asking for the right to write to exchange {exchange:?}");
        let properties = BasicProperties::default().with_expiration(NO_EXPIRATION.into());
        let answer = self.runtime.block_on(async {
            let channel =
                answer_of("opening a channel", self.link.connection.create_channel()).await?;
            let confirming = channel.confirm_select(ConfirmSelectOptions::default());
            answer_of(&doing, confirming).await?;
            let publishing = channel.basic_publish(
                exchange.into(),
                ShortString::default(),
                BasicPublishOptions::default(),
                &[],
                properties,
            );
            let confirmed = answer_of(&doing, publishing).await?;
            answer_of(&doing, confirmed).await
        });
        match answer {
            Err(refused) if refused.code == Some(PRECONDITION_FAILED) => Ok(()),
            // The exchange was passed; which routing keys there will be is not known.
            Err(refused) if refused.text.contains(REFUSED_TOPIC) => Ok(()),
            Err(refused) if refused.text.contains(REFUSED_INTERNAL) => {
                Err(Objects::ToAnyone(refused.text))
            }
            Err(refused) if self.link.connection.status().blocked() => {
                let text = format!("{}: it has a memory or disk alarm", refused.text);
                Err(Objects::NoAnswer(text))
            }
            Err(refused) => Err(refused.into()),
            Ok(_) => Err(Objects::ToAnyone(format!(
                "{doing}: the broker took a message that it must not"
            ))),
        }
    }

    /// Whether an exchange of this name exists.
    ///
    /// # Errors
    /// The broker does not answer, or does not let us look.
    pub fn exchange_exists(&self, name: &str) -> Result<bool, Objects> {
        let options = ExchangeDeclareOptions {
            passive: true,
            ..ExchangeDeclareOptions::default()
        };
        let doing = format!("looking for exchange {name:?}");
        let answer = self.runtime.block_on(async {
            let channel =
                answer_of("opening a channel", self.link.connection.create_channel()).await?;
            let asking = channel.exchange_declare(
                ShortString::from(name),
                lapin::ExchangeKind::Direct,
                options,
                FieldTable::default(),
            );
            answer_of(&doing, asking).await
        });
        found(answer).map(|found| found.is_some())
    }

    /// What is known of the queue of this name; `None` when there is none.
    ///
    /// # Errors
    /// The broker does not answer, or does not let us look.
    pub fn queue(&self, name: &str) -> Result<Option<QueueFacts>, Objects> {
        let passive = QueueDeclareOptions {
            passive: true,
            ..QueueDeclareOptions::default()
        };
        let Some(queue) = found(self.declare(name, passive, FieldTable::default()))? else {
            return Ok(None);
        };
        let mut facts = QueueFacts {
            messages: queue.message_count(),
            consumers: queue.consumer_count(),
            ..QueueFacts::default()
        };
        self.learn(name, &mut facts);
        Ok(Some(facts))
    }

    /// Declares the queue as it is believed to be, and learns from each objection, until the broker
    /// agrees: that changes nothing, and needs no other interface of the broker.
    fn learn(&self, name: &str, facts: &mut QueueFacts) {
        let mut table = FieldTable::default();
        let mut options = QueueDeclareOptions {
            durable: true,
            ..QueueDeclareOptions::default()
        };
        for _ in 0..ARGUMENTS_MAX {
            match self.declare(name, options, table.clone()) {
                Ok(_) => {
                    facts.durable = Some(options.durable);
                    return;
                }
                Err(refused) if refused.code == Some(PRECONDITION_FAILED) => {
                    match Objection::read(&refused.text) {
                        Some(Objection::Flag("durable", value)) => options.durable = value,
                        Some(Objection::Flag("auto_delete", value)) => options.auto_delete = value,
                        Some(Objection::Flag("exclusive", value)) => options.exclusive = value,
                        Some(Objection::Argument(argument, value, kind)) => {
                            facts
                                .arguments
                                .insert(argument.to_owned(), value.to_owned());
                            table.insert(ShortString::from(argument), typed(value, kind));
                        }
                        _ => return,
                    }
                }
                Err(_) => return,
            }
        }
    }

    fn declare(
        &self,
        name: &str,
        options: QueueDeclareOptions,
        arguments: FieldTable,
    ) -> Result<lapin::Queue, Refused> {
        let doing = format!("looking at queue {name:?}");
        self.runtime.block_on(async {
            // A channel of its own: the broker closes the one on which it says no.
            let channel =
                answer_of("opening a channel", self.link.connection.create_channel()).await?;
            let asking = channel.queue_declare(ShortString::from(name), options, arguments);
            answer_of(&doing, asking).await
        })
    }
}

/// `None` for what does not exist.
fn found<T>(answer: Result<T, Refused>) -> Result<Option<T>, Objects> {
    match answer {
        Ok(found) => Ok(Some(found)),
        Err(refused) if refused.code == Some(NOT_FOUND) => Ok(None),
        // Somebody else's exclusive queue among them: it exists, but cannot be looked at.
        Err(refused) => Err(refused.into()),
    }
}

/// How an existing queue differs from what was declared.
#[derive(Debug, PartialEq, Eq)]
enum Objection<'a> {
    Flag(&'a str, bool),
    /// Name, value and AMQP's name of its type.
    Argument(&'a str, &'a str, &'a str),
}

impl<'a> Objection<'a> {
    /// `inequivalent arg 'x-queue-type' for queue 'q' in vhost '/': received none but current is the
    /// value 'quorum' of type 'longstr'`, and for flags `… but current is 'false'`.
    /// RabbitMQ 4 says of a queue's type `received 'classic' but current is 'quorum'`.
    fn read(text: &'a str) -> Option<Self> {
        let (_, rest) = text.split_once("inequivalent arg '")?;
        let (name, rest) = rest.split_once('\'')?;
        let (_, current) = rest.rsplit_once("but current is ")?;
        if let Some(value) = current.strip_prefix("the value '") {
            let (value, rest) = value.split_once("' of type '")?;
            let (kind, _) = rest.split_once('\'')?;
            return Some(Self::Argument(name, value, kind));
        }
        match current.trim_start_matches('\'').split('\'').next()? {
            "true" => Some(Self::Flag(name, true)),
            "false" => Some(Self::Flag(name, false)),
            value if name == "x-queue-type" => Some(Self::Argument(name, value, "longstr")),
            _ => None,
        }
    }
}

fn typed(value: &str, kind: &str) -> AMQPValue {
    match (kind, value.parse::<i64>()) {
        ("longstr", _) | (_, Err(_)) => AMQPValue::LongString(LongString::from(value)),
        (_, Ok(number)) => AMQPValue::LongLongInt(number),
    }
}

#[cfg(test)]
mod tests {
    use super::Objection;

    /// What 3.10 and 4.0 answered; the former is also what either says of other arguments.
    #[test]
    fn objections_of_every_version_are_understood() {
        let begin = "PRECONDITION_FAILED - inequivalent arg";
        for (end, expected) in [
            (
                "'x-queue-type' for queue 'q' in vhost '/': received none but current is the value \
                 'quorum' of type 'longstr'",
                Objection::Argument("x-queue-type", "quorum", "longstr"),
            ),
            (
                "'x-queue-type' for queue 'q' in vhost '/': received 'classic' but current is \
                 'quorum'",
                Objection::Argument("x-queue-type", "quorum", "longstr"),
            ),
            (
                "'durable' for queue 'q' in vhost '/': received 'true' but current is 'false'",
                Objection::Flag("durable", false),
            ),
        ] {
            let text = format!("{begin} {end}");
            assert_eq!(Objection::read(&text), Some(expected), "{text}");
        }
    }
}
