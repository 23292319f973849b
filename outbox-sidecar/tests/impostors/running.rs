//! A relay at work whose servers are replaced by impostors, one after the other, and then are back.

use std::io::Write;

use testbed::impostor::amqp::{self, frame, nested_tables, read_frame, read_header, start, tune};
use testbed::impostor::kafka::{announced, read_request};
use testbed::impostor::postgres::{
    authentication, continue_scram, let_in, message, read_message, read_startup, row, scram,
};
use testbed::impostor::{Impostor, Misdeed};
use testbed::proxy::TcpProxy;
use testbed::{KafkaServer, Program, wait};

use crate::scenario::memory::allocated_kibibytes_max;
use crate::scenario::{DEADLINE, Scenario};
use crate::target::Target;

/// The most that a relay holds before impostors, in KiB; a relay to RabbitMQ holds some 20 MiB anyway.
const KIBIBYTES_MAX: u64 = 128 * 1024;
/// The most connections that a relay tries before each impostor while the test waits for some: it waits
/// between them.
const VISITS_MAX: usize = 400;
/// So that nobody waits for half a minute once a server is back.
const IMPATIENT: [&str; 2] = ["retry.delay_ms_min=100", "retry.delay_ms_max=1000"];

/// An impostor, and how many visits of the relay's are waited for.
type Suffered = (&'static str, Impostor, usize);

fn that(
    name: &'static str,
    visits: usize,
    prelude: impl Fn(&mut std::net::TcpStream) -> std::io::Result<()> + Send + Sync + 'static,
    misdeed: Misdeed,
) -> Suffered {
    let serve = move |mut stream: std::net::TcpStream| {
        prelude(&mut stream)?;
        misdeed.commit(stream)
    };
    (name, Impostor::start(serve).unwrap(), visits)
}

async fn proxy() -> TcpProxy {
    let starting = tokio::task::spawn_blocking(TcpProxy::start_without_upstream);
    starting.await.unwrap().unwrap()
}

/// Has a relay that publishes through this proxy suffer these, and publish again.
async fn outlives(
    scenario: &Scenario,
    relay: &Program,
    proxy: &TcpProxy,
    real: &str,
    side: &str,
    impostors: Vec<Suffered>,
) {
    scenario.phase("active").await;
    let client = scenario.client().await;
    scenario.enqueue(&client, 0..10).await;
    scenario.drained(&client).await;
    for (name, impostor, visits) in impostors {
        proxy.set_upstream(&format!("127.0.0.1:{}", impostor.port()));
        proxy.cut();
        scenario.enqueue(&client, 10..11).await;
        let visited = || async { impostor.visits() >= visits };
        wait::until(&format!("visits to {name}"), DEADLINE, visited)
            .await
            .unwrap();
        let status = scenario
            .status_where(name, |status| status[side]["error"].is_string())
            .await;
        println!("{name}: {}: {}", impostor.visits(), status[side]["error"]);
        assert!(impostor.visits() < VISITS_MAX, "{name}");
        assert_eq!(relay.exit().unwrap(), None, "{name}");
    }
    let pid = relay.pid().unwrap();
    let kibibytes = allocated_kibibytes_max(pid);
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let name = |thread: std::io::Result<std::fs::DirEntry>| {
        std::fs::read_to_string(thread.ok()?.path().join("comm")).ok()
    };
    let threads: Vec<_> = threads.filter_map(name).collect();
    println!("{kibibytes} KiB, {} threads", threads.len());
    assert!(kibibytes < KIBIBYTES_MAX, "{kibibytes} KiB");
    let of_lapin = |name: &&String| name.starts_with("lapin");
    assert!(threads.iter().filter(of_lapin).count() < 4, "{threads:?}");
    proxy.set_upstream(real);
    proxy.cut();
    scenario.drained(&client).await;
    let seen = scenario.records().await;
    assert!(seen.len() > 10, "{}", seen.len());
    relay.terminate().unwrap();
    assert_eq!(relay.exited(DEADLINE).await.unwrap().code(), Some(0));
    assert!(!relay.stderr().unwrap().contains("panicked"));
}

#[tokio::test]
async fn a_relay_outlives_impostors_of_its_database_and_goes_on() {
    use Misdeed::{Repeat, Say, SayAndClose, Silence};
    let postgres = testbed::shared_postgres().await.unwrap();
    let kafka = testbed::shared_kafka().await.unwrap();
    let scenario = Scenario::new(postgres, kafka).await;
    scenario.init(&[]).await;
    let real = format!("{}:{}", postgres.host(), postgres.port());
    let proxy = proxy().await;
    proxy.set_upstream(&real);
    let through = scenario.database_url.replace(&real, &proxy.address());
    let through = through.replacen('@', ":guess@", 1);
    let through = format!("{through}?connect_timeout=1");
    let configuration = scenario.configuration();
    scenario.configure(&configuration.replace(&scenario.database_url, &through));
    let relay = scenario.start_with(&IMPATIENT);
    let first = |_: &mut std::net::TcpStream| Ok(());
    let introduced = |stream: &mut std::net::TcpStream| read_startup(stream).map(drop);
    let asked = |stream: &mut std::net::TcpStream| {
        read_startup(stream)?;
        stream.write_all(&let_in())?;
        read_message(stream).map(drop)
    };
    let bomb = |stream: &mut std::net::TcpStream| {
        read_startup(stream)?;
        stream.write_all(&scram())?;
        continue_scram(stream, "2147483648")
    };
    let notice = message(b'N', b"SNOTICE\0C00000\0Mhm\0\0");
    let stuffed = [&b"S"[..], &authentication(0, &[])].concat();
    let cases = vec![
        that("silence", 3, first, Silence),
        that(
            "TLS, then garbage",
            6,
            first,
            SayAndClose(b"S\x15garbage".to_vec()),
        ),
        that("TLS, then what is not encrypted", 6, first, Say(stuffed)),
        that("close", 6, introduced, SayAndClose(vec![])),
        that("endless notices", 6, introduced, Repeat(notice)),
        that("an iteration too many", 6, bomb, Silence),
        that(
            "endless rows",
            4,
            asked,
            Repeat(row(&["7123456789012345678", "1", "0/1"])),
        ),
    ];
    outlives(&scenario, &relay, &proxy, &real, "source", cases).await;
}

#[tokio::test]
async fn a_relay_outlives_impostors_of_its_broker_of_queues_and_goes_on() {
    use Misdeed::{Repeat, Say, SayAndClose, Silence};
    let postgres = testbed::shared_postgres().await.unwrap();
    let rabbit = testbed::shared_rabbitmq().await.unwrap();
    let scenario = Scenario::to(postgres, Target::queue(rabbit, "classic").await).await;
    scenario.init(&[]).await;
    let url = rabbit.address().url();
    let (_, place) = url.split_once('@').unwrap();
    let real = place.split('/').next().unwrap().to_owned();
    let proxy = proxy().await;
    proxy.set_upstream(&real);
    let configuration = scenario.configuration();
    assert!(configuration.contains(&real), "{configuration}");
    scenario.configure(&configuration.replace(&real, &proxy.address()));
    let relay = scenario.start_with(&IMPATIENT);
    let greeted = |stream: &mut std::net::TcpStream| read_header(stream);
    let proven = |stream: &mut std::net::TcpStream| {
        read_header(stream)?;
        stream.write_all(&start(&[]))?;
        read_frame(stream).map(drop)
    };
    // In, with frames of 4 GiB, and no more than a sign of life.
    let open = move |stream: &mut std::net::TcpStream| {
        proven(stream)?;
        stream.write_all(&tune(0, u32::MAX, 1))?;
        read_frame(stream)?;
        read_frame(stream)?;
        stream.write_all(&amqp::method(0, 10, 41, &[0]))
    };
    let beat = frame(8, 0, &[]);
    let cases = vec![
        that("close", 3, greeted, SayAndClose(vec![])),
        that(
            "tables in tables",
            3,
            greeted,
            Say(start(&nested_tables(15_000))),
        ),
        that("silence with frames of 4 GiB", 2, open, Silence),
        that("endless heartbeats", 3, open, Repeat(beat)),
    ];
    outlives(&scenario, &relay, &proxy, &real, "sink", cases).await;
}

#[tokio::test]
async fn a_relay_outlives_impostors_of_kafka_and_goes_on() {
    use Misdeed::{Repeat, SayAndClose, SayAndRepeat, Silence};
    let proxy = proxy().await;
    let options = KafkaServer::options().proxied_as(proxy.port());
    let kafka = options.start().await.unwrap();
    let real = kafka.proxied_upstream();
    proxy.set_upstream(&real);
    let postgres = testbed::shared_postgres().await.unwrap();
    let scenario = Scenario::new(postgres, kafka.address()).await;
    let direct = format!("\"{}\"\n", kafka.bootstrap());
    let through = format!("\"{}\"\n", proxy.address());
    let configuration = scenario.configuration().replace(&direct, &through);
    scenario.configure(&configuration);
    scenario.init(&[]).await;
    let relay = scenario.start_with(&IMPATIENT);
    let asked = |stream: &mut std::net::TcpStream| read_request(stream).map(drop);
    let huge = SayAndRepeat(announced(31_000_000, 77, &[]), vec![1; 64 * 1024]);
    let cases = vec![
        that("close", 4, asked, SayAndClose(vec![])),
        that("garbage", 4, asked, Repeat(b"garbage".to_vec())),
        that("31 MB to no request", 4, asked, huge),
        that("silence", 2, asked, Silence),
    ];
    outlives(&scenario, &relay, &proxy, &real, "sink", cases).await;
}
