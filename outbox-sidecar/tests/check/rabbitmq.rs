//! Faults of RabbitMQ: of the connection, of rights, and what is missing.

mod queues;

use lapin::options::{
    ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions, QueueDeleteOptions,
};
use lapin::types::{AMQPValue, FieldTable, LongString, ShortString};
use lapin::{Channel, ExchangeKind};
use testbed::{RabbitServer, ReservedPort, unique};

use super::{findings, finds, is};
use crate::scenario::Scenario;
use crate::target::Target;

/// Of each user that a test makes.
pub(super) const PASSWORD: &str = "secret";
/// As a right: to nothing at all.
pub(super) const NOTHING: &str = "^$";

/// A user of the test's own, who may not even connect yet.
pub(super) async fn new_user(rabbit: &RabbitServer) -> String {
    let user = unique::name("user");
    let adding = ["add_user", &user, PASSWORD];
    rabbit.control(&adding).await.unwrap();
    user
}

/// What the user may configure, write to and read, in this order, and nothing besides.
pub(super) async fn permit(rabbit: &RabbitServer, user: &str, rights: [&str; 3]) {
    let [configure, write, read] = rights;
    let setting = ["set_permissions", "-p", "/", user, configure, write, read];
    rabbit.control(&setting).await.unwrap();
}

/// A relay to queues that is set up.
async fn initialised(rabbit: &RabbitServer) -> Scenario {
    let postgres = testbed::shared_postgres().await.unwrap();
    let scenario = Scenario::to(postgres, Target::queue(rabbit, "quorum").await).await;
    scenario.init(&[]).await;
    scenario
}

/// The relay as another user.
fn as_user(rabbit: &RabbitServer, user: &str) -> String {
    format!("rabbitmq.url={}", rabbit.url_of(user, PASSWORD, "%2f"))
}

type Argument = (&'static str, AMQPValue);

async fn declare(
    channel: &Channel,
    name: &str,
    options: QueueDeclareOptions,
    arguments: &[Argument],
) {
    let mut table = FieldTable::default();
    for (argument, value) in arguments {
        table.insert(ShortString::from(*argument), value.clone());
    }
    let declaring = channel.queue_declare(name.into(), options, table);
    declaring.await.unwrap();
}

const DURABLE: QueueDeclareOptions = QueueDeclareOptions {
    passive: false,
    durable: true,
    exclusive: false,
    auto_delete: false,
    nowait: false,
};

/// A queue of which there is nothing to say.
fn good() -> [Argument; 2] {
    let text = |value: &str| AMQPValue::LongString(LongString::from(value));
    [
        ("x-queue-type", text("quorum")),
        ("x-dead-letter-exchange", text("dead")),
    ]
}

#[tokio::test]
async fn a_password_that_crosses_the_network_in_clear_is_warned_of() {
    let rabbit = testbed::shared_rabbitmq().await.unwrap();
    let postgres = testbed::shared_postgres().await.unwrap();
    // Nobody has such a name: it is warned of before it is looked up.
    for (target, url) in [
        (
            Target::queue(rabbit, "quorum").await,
            "rabbitmq.url=amqp://relay:secret@mq.invalid/%2f",
        ),
        (
            Target::stream(rabbit).await,
            "rabbitmq_stream.url=rabbitmq-stream://relay:secret@mq.invalid/%2f",
        ),
    ] {
        let scenario = Scenario::to(postgres, target).await;
        let (subject, _) = url.split_once(".url").unwrap();
        let says = "without TLS: whoever listens on the way reads the password";
        finds(&scenario, &[url], ("warning", subject), says).await;
        // On this machine nobody does.
        let (found, _) = findings(&scenario, &[]).await;
        let warned = |finding: &serde_json::Value| {
            let message = finding["message"].as_str();
            message.is_some_and(|message| message.contains("without TLS"))
        };
        assert!(!found.iter().any(warned), "{found:#?}");
    }
}

#[tokio::test]
async fn addresses_that_do_not_take_us_are_each_named_unless_another_does() {
    let rabbit = testbed::shared_rabbitmq().await.unwrap();
    let postgres = testbed::shared_postgres().await.unwrap();
    let port = ReservedPort::find().unwrap();
    let nobody = format!("127.0.0.1:{}", port.number());
    for (target, subject, taken, [mistyped, elsewhere, away, taking]) in [
        (
            Target::queue(rabbit, "quorum").await,
            "rabbitmq",
            "connected",
            [
                rabbit.url_of("guest", "mistyped", "%2f"),
                rabbit.url_of("guest", "guest", "elsewhere"),
                format!("amqp://guest:guest@{nobody}/%2f"),
                rabbit.url(),
            ],
        ),
        (
            Target::stream(rabbit).await,
            "rabbitmq_stream",
            "RabbitMQ ",
            [
                rabbit.stream_url_of("guest", "mistyped", "%2f"),
                rabbit.stream_url_of("guest", "guest", "elsewhere"),
                format!("rabbitmq-stream://guest:guest@{nobody}/%2f"),
                rabbit.stream_url(),
            ],
        ),
    ] {
        let scenario = Scenario::to(postgres, target).await;
        let none = format!("{subject}.urls={mistyped},{elsewhere},{away}");
        let refused = ["check user and password", "check the vhost"];
        for says in refused.into_iter().chain([nobody.as_str()]) {
            finds(&scenario, &[&none], ("error", subject), says).await;
        }
        let some = format!("{subject}.urls={mistyped},{elsewhere},{away},{taking}");
        finds(&scenario, &[&some], ("ok", subject), taken).await;
    }
}

#[tokio::test]
async fn a_guard_that_the_user_may_not_have_is_named_with_the_right_that_gives_it() {
    let rabbit = testbed::shared_rabbitmq().await.unwrap();
    let scenario = initialised(rabbit).await;
    let user = new_user(rabbit).await;
    permit(rabbit, &user, [NOTHING; 3]).await;
    let url = as_user(rabbit, &user);
    let guard = format!("outbox-{}", scenario.relay);
    let line = ("error", "guard");
    let refused = format!("refused for user '{user}'");
    finds(&scenario, &[&url], line, &refused).await;
    let (found, _) = findings(&scenario, &[&url]).await;
    let finding = found.iter().find(|finding| is(finding, line, &refused));
    let finding = finding.unwrap_or_else(|| panic!("{found:#?}"));
    assert!(is(finding, line, &format!("{guard}-check")), "{finding:#}");
    // What the fix says is enough.
    let right = format!("^{guard}(-check)?$");
    let fix = finding["fix"].as_str().unwrap();
    assert!(fix.contains(&format!("configure '{right}'")), "{fix}");
    permit(rabbit, &user, [&right, NOTHING, NOTHING]).await;
    finds(&scenario, &[&url], ("ok", "guard"), &guard).await;
}

#[tokio::test]
async fn a_queue_in_the_guards_place_is_named_until_it_is_gone() {
    let rabbit = testbed::shared_rabbitmq().await.unwrap();
    let scenario = initialised(rabbit).await;
    let guard = format!("outbox-{}", scenario.relay);
    let channel = rabbit.address().channel().await.unwrap();
    declare(&channel, &guard, DURABLE, &good()).await;
    let says = format!("{guard} is a queue that is no guard");
    finds(&scenario, &[], ("error", "guard"), &says).await;
    let deleting = channel.queue_delete(guard.as_str().into(), QueueDeleteOptions::default());
    deleting.await.unwrap();
    finds(&scenario, &[], ("ok", "guard"), &guard).await;
    // A relay at work has it.
    let _relay = scenario.start_active().await;
    finds(&scenario, &[], ("ok", "guard"), &guard).await;
}

#[tokio::test]
async fn an_exchange_that_may_not_be_written_to_is_named_until_it_may() {
    let rabbit = testbed::shared_rabbitmq().await.unwrap();
    let scenario = initialised(rabbit).await;
    let channel = rabbit.address().channel().await.unwrap();
    let (exchange, queue) = (unique::name("fan"), unique::name("bound"));
    let name = || ShortString::from(exchange.as_str());
    let (options, table) = (ExchangeDeclareOptions::default(), FieldTable::default());
    let making = channel.exchange_declare(name(), ExchangeKind::Fanout, options, table);
    making.await.unwrap();
    declare(&channel, &queue, DURABLE, &good()).await;
    let (options, table) = (QueueBindOptions::default(), FieldTable::default());
    let bound = ShortString::from(queue.as_str());
    let binding = channel.queue_bind(bound, name(), ShortString::default(), options, table);
    binding.await.unwrap();

    let user = new_user(rabbit).await;
    permit(rabbit, &user, [".*", NOTHING, NOTHING]).await;
    let url = as_user(rabbit, &user);
    let route = [
        "destination=policy-*".to_owned(),
        format!("exchange={exchange}"),
        "routing_key={type}".to_owned(),
    ]
    .map(|field| format!("rabbitmq.routes.0.{field}"));
    let named = format!("relay.destinations=policy-1,{queue}");
    let mut settings: Vec<&str> = route.iter().map(String::as_str).collect();
    settings.extend([url.as_str(), named.as_str()]);
    let line = ("error", "right to write");
    let says = format!("{exchange} may not be written to: its messages would be set aside");
    finds(&scenario, &settings, line, &says).await;
    let says = "queues, by the default exchange may not be written to";
    finds(&scenario, &settings, line, says).await;

    let rights = format!("^(amq\\.default|{exchange})$");
    permit(rabbit, &user, [".*", &rights, NOTHING]).await;
    for says in [exchange.as_str(), "queues, by the default exchange"] {
        finds(&scenario, &settings, ("ok", "right to write"), says).await;
    }
    let says = format!("{queue}: 0 messages, 0 consumers");
    finds(&scenario, &settings, ("ok", "queue"), &says).await;

    // For what a pattern will meet there may be routes.
    permit(rabbit, &user, [".*", &format!("^{exchange}$"), NOTHING]).await;
    let settings = [&settings[..4], &["relay.destinations=policy-*,*"]].concat();
    let line = ("warning", "right to write");
    let says = "queues, by the default exchange may not be written to";
    finds(&scenario, &settings, line, says).await;

    // Nobody may, whatever rights there are.
    let internal = ExchangeDeclareOptions {
        internal: true,
        ..ExchangeDeclareOptions::default()
    };
    let name = unique::name("internal");
    let (short, kind) = (ShortString::from(name.as_str()), ExchangeKind::Fanout);
    let making = channel.exchange_declare(short, kind, internal, FieldTable::default());
    making.await.unwrap();
    let route = format!("rabbitmq.routes.0.exchange={name}");
    let settings = [settings[0], &route, settings[2]];
    let line = ("error", "right to write");
    finds(
        &scenario,
        &settings,
        line,
        "cannot publish to internal exchange",
    )
    .await;
}

/// The default exchange is a route's like any other.
#[tokio::test]
async fn a_route_to_queues_needs_the_right_to_the_default_exchange() {
    let rabbit = testbed::shared_rabbitmq().await.unwrap();
    let scenario = initialised(rabbit).await;
    let user = new_user(rabbit).await;
    permit(rabbit, &user, [".*", NOTHING, NOTHING]).await;
    let url = as_user(rabbit, &user);
    let settings = [
        "rabbitmq.routes.0.destination=*",
        "rabbitmq.routes.0.exchange=",
        "rabbitmq.routes.0.routing_key={type}",
        &url,
    ];
    let says = "queues, by the default exchange may not be written to";
    finds(&scenario, &settings, ("error", "right to write"), says).await;
}

#[tokio::test]
async fn what_is_missing_is_named_until_it_is_made() {
    let rabbit = testbed::shared_rabbitmq().await.unwrap();
    let scenario = initialised(rabbit).await;
    let channel = rabbit.address().channel().await.unwrap();
    let queue = unique::name("missing");
    let named = format!("relay.destinations={queue}");
    let says = format!("{queue} does not exist: its first message is refused");
    finds(&scenario, &[&named], ("error", "queue"), &says).await;
    let makes = "rabbitmq.create_queues=true";
    let says = format!("{queue} will be made with its first message");
    finds(&scenario, &[&named, makes], ("ok", "queue"), &says).await;
    declare(&channel, &queue, DURABLE, &good()).await;
    let says = format!("{queue}: 0 messages, 0 consumers");
    finds(&scenario, &[&named], ("ok", "queue"), &says).await;

    let exchange = unique::name("missing");
    let route = [
        "destination=policy-*".to_owned(),
        format!("exchange={exchange}"),
        "routing_key={type}".to_owned(),
    ]
    .map(|field| format!("rabbitmq.routes.0.{field}"));
    let route = route.each_ref().map(String::as_str);
    let says = format!("{exchange} does not exist: the first message to it is refused");
    finds(&scenario, &route, ("error", "exchange"), &says).await;
    let making = channel.exchange_declare(
        exchange.as_str().into(),
        ExchangeKind::Topic,
        ExchangeDeclareOptions::default(),
        FieldTable::default(),
    );
    making.await.unwrap();
    finds(&scenario, &route, ("ok", "exchange"), &exchange).await;
}

#[tokio::test]
async fn a_queue_that_cannot_be_looked_at_is_named_until_it_can() {
    let rabbit = testbed::shared_rabbitmq().await.unwrap();
    let scenario = initialised(rabbit).await;
    let channel = rabbit.address().channel().await.unwrap();
    let queue = unique::name("closed");
    declare(&channel, &queue, DURABLE, &good()).await;
    let user = new_user(rabbit).await;
    permit(rabbit, &user, [NOTHING; 3]).await;
    let named = format!("relay.destinations={queue}");
    let url = as_user(rabbit, &user);
    let settings = [named.as_str(), url.as_str()];
    let says = format!("{queue} exists; what kind it is cannot be seen");
    finds(&scenario, &settings, ("warning", "queue"), &says).await;
    let right = format!("^{queue}$");
    permit(rabbit, &user, [&right, NOTHING, NOTHING]).await;
    let says = format!("{queue}: 0 messages, 0 consumers");
    finds(&scenario, &settings, ("ok", "queue"), &says).await;

    // One that belongs to another connection, and goes with it.
    let queue = unique::name("exclusive");
    let options = QueueDeclareOptions {
        exclusive: true,
        ..QueueDeclareOptions::default()
    };
    declare(&channel, &queue, options, &[]).await;
    let named = format!("relay.destinations={queue}");
    let says = format!("cannot obtain exclusive access to locked queue '{queue}'");
    finds(&scenario, &[&named], ("warning", "queue"), &says).await;
    let deleting = channel.queue_delete(queue.as_str().into(), QueueDeleteOptions::default());
    deleting.await.unwrap();
    let says = format!("{queue} does not exist");
    finds(&scenario, &[&named], ("error", "queue"), &says).await;
}
