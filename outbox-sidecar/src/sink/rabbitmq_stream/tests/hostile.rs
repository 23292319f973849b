//! Servers that do not speak the protocol, or speak it to do harm.

use crate::sink::at_least_once::Publisher as _;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use outbox_core::sink::{AcquireError, Outcome};

use super::support::{SOON, batch_of, seed};
use crate::sink::rabbitmq_stream::{StreamPublisher, StreamSettings};

fn settings_to(port: u16) -> StreamSettings {
    StreamSettings {
        relay: "hostile".into(),
        url_file: None,
        urls: vec![format!("rabbitmq-stream://127.0.0.1:{port}")],
        unconfirmed_max: 100,
        checkpoint_stream: "c".into(),
        create_streams: false,
        heartbeat: Duration::from_secs(1),
        message_bytes_max: 1024 * 1024,
        phantoms_accepted: false,
    }
}

/// A server for one connection.
fn serve(act: impl FnOnce(TcpStream) + Send + 'static) -> StreamPublisher {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        stream.set_read_timeout(Some(SOON)).unwrap();
        act(stream);
    });
    StreamPublisher::new(settings_to(port)).unwrap()
}

fn frame(content: &[u8]) -> Vec<u8> {
    let length = u32::try_from(content.len()).unwrap();
    [&length.to_be_bytes(), content].concat()
}

/// The key and the correlation of the next frame.
fn next(stream: &mut TcpStream) -> (u16, [u8; 4]) {
    let mut length = [0; 4];
    stream.read_exact(&mut length).unwrap();
    let mut content = vec![0; u32::from_be_bytes(length) as usize];
    stream.read_exact(&mut content).unwrap();
    let key = u16::from_be_bytes([content[0] & 0x7f, content[1]]);
    (key, content[4..8].try_into().unwrap_or_default())
}

/// Answers a request with this body.
fn answer(stream: &mut TcpStream, body: &[u8]) {
    let (key, correlation) = next(stream);
    let head = (0x8000 | key).to_be_bytes();
    let content = [&head[..], &[0, 1], &correlation, body].concat();
    stream.write_all(&frame(&content)).unwrap();
}

/// Lets a client in.
fn welcome(stream: &mut TcpStream) {
    for _ in 0..3 {
        answer(stream, &[0, 1, 0, 0, 0, 0]);
    }
    stream
        .write_all(&frame(&[0, 20, 0, 1, 0, 16, 0, 0, 0, 0, 0, 60]))
        .unwrap();
    let _tune = next(stream);
    answer(stream, &[0, 1, 0, 0, 0, 0]);
}

/// What METADATA says of a stream: it is there.
fn present(stream: &mut TcpStream, name: u8) {
    let broker = [0, 0, 0, 1, 0, 0, 0, 1, b'h', 0, 0, 0, 1];
    let found = [0, 0, 0, 1, 0, 1, name, 0, 1, 0, 0, 0, 0, 0, 0];
    let (_, correlation) = next(stream);
    let content = [&[0x80, 15, 0, 1][..], &correlation, &broker, &found].concat();
    stream.write_all(&frame(&content)).unwrap();
}

/// Lets a client acquire the right to publish.
fn admit(stream: &mut TcpStream) {
    welcome(stream);
    present(stream, b'c');
    // Reads, writes, and writes no more.
    answer(stream, &[0, 1, 0, 0, 0, 0, 0, 0, 0, 0]);
    answer(stream, &[0, 1]);
    answer(stream, &[0, 1]);
}

/// Lets a client publish: the two publishers of the copies, stream, last id, publisher.
fn let_publish(stream: &mut TcpStream) {
    admit(stream);
    answer(stream, &[0, 1]);
    answer(stream, &[0, 1]);
    present(stream, b's');
    present(stream, b's');
    answer(stream, &[0, 1, 0, 0, 0, 0, 0, 0, 0, 0]);
    answer(stream, &[0, 1]);
    assert_eq!(next(stream).0, 2);
}

fn linger(mut stream: TcpStream) {
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest);
}

#[test]
fn garbage_instead_of_a_greeting_is_an_error() {
    let texts: [&'static [u8]; 6] = [
        b"AMQP\0\0\x09\x01",
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"\xff\xff\xff\xff\xff\xff",
        b"\0\0\0\0",
        b"\0\0\0\x02\x80\x11",
        b"\0\0\0\x0c\x80\x63\0\x01\0\0\0\x01\0\x01\0\0",
    ];
    for text in texts {
        let mut publisher = serve(move |mut stream| {
            let _ = next(&mut stream);
            stream.write_all(text).unwrap();
            linger(stream);
        });
        let error = publisher.acquire().unwrap_err();
        assert!(matches!(error, AcquireError::Unavailable(_)), "{error}");
    }
}

#[test]
fn a_server_that_says_nothing_is_left() {
    let mut publisher = serve(linger);
    let began = Instant::now();
    let error = publisher.acquire().unwrap_err();
    assert!(matches!(error, AcquireError::Unavailable(_)), "{error}");
    assert!(began.elapsed() < SOON);
}

#[test]
fn tuning_to_frames_of_no_use_is_an_error() {
    let mut publisher = serve(|mut stream| {
        for _ in 0..3 {
            answer(&mut stream, &[0, 1, 0, 0, 0, 0]);
        }
        let tune = [0, 20, 0, 1, 0, 0, 0, 16, 0, 0, 0, 60];
        stream.write_all(&frame(&tune)).unwrap();
        linger(stream);
    });
    let error = publisher.acquire().unwrap_err().to_string();
    assert!(error.contains("16 bytes"), "{error}");
}

/// Frames are put together in memory, theirs and ours.
#[test]
fn tuning_to_frames_without_end_comes_to_one() {
    let (tell, told) = std::sync::mpsc::channel();
    let mut publisher = serve(move |mut stream| {
        for _ in 0..3 {
            answer(&mut stream, &[0, 1, 0, 0, 0, 0]);
        }
        let tune = [0, 20, 0, 1, 255, 255, 255, 255, 0, 0, 0, 60];
        stream.write_all(&frame(&tune)).unwrap();
        let (_, frame_bytes_max) = next(&mut stream);
        tell.send(u32::from_be_bytes(frame_bytes_max)).unwrap();
    });
    let _ = publisher.acquire().unwrap_err();
    assert_eq!(told.recv_timeout(SOON), Ok(65 * 1024 * 1024));
}

#[test]
fn nonsense_while_publishing_ends_the_connection() {
    let confirm = |publisher: u8, count: u8, ids: &[u64]| {
        let ids: Vec<u8> = ids.iter().flat_map(|id| id.to_be_bytes()).collect();
        frame(&[&[0, 3, 0, 1, publisher, 0, 0, 0, count][..], &ids].concat())
    };
    let (first, unknown) = ((1_000_000 / 8) << 20, 7);
    let cases = [
        confirm(9, 1, &[first]),
        confirm(0, 1, &[unknown]),
        confirm(0, 2, &[first, first]),
        confirm(0, 200, &[first]),
        frame(&[0, 4, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 7, 0, 18]),
        frame(&[0, 16, 0, 1, 0, 4, 255, 0, b's']),
        frame(&[0, 16, 0, 1, 0, 6, 0, 1, b's']),
        frame(&[0, 8, 0, 1, 1, 2, 3]),
        frame(&[0, 23, 0, 9]),
        frame(&[0, 20, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1]),
        frame(&[0, 22, 0, 1, 0, 0, 0, 9, 0, 14, 0, 3, b'b', b'y', b'e']),
        vec![0x7f, 255, 255, 255, 0],
        vec![0, 0, 0, 9, 0],
    ];
    for (number, case) in cases.into_iter().enumerate() {
        let mut publisher = serve(move |mut stream| {
            let_publish(&mut stream);
            stream.write_all(&case).unwrap();
            let _ = stream.shutdown(std::net::Shutdown::Write);
            linger(stream);
        });
        publisher.acquire().unwrap();
        let outcome = publisher.publish(&batch_of(1, "s", 2));
        let Outcome::Indefinite { reason } = outcome else {
            panic!("case {number}: {outcome:?}");
        };
        assert!(!reason.is_empty());
        if number == 10 {
            assert!(
                reason.contains("bye") && reason.contains("too large"),
                "{reason}"
            );
        }
    }
}

/// Takes a batch, and refuses of it what has this id.
fn refuse_the_second(mut stream: TcpStream, id: [u8; 8], code: u8) {
    let_publish(&mut stream);
    let refused = [&[0, 4, 0, 1, 0, 0, 0, 0, 1][..], &id, &[0, code]].concat();
    stream.write_all(&frame(&refused)).unwrap();
    linger(stream);
}

#[test]
fn a_hole_is_never_published_over() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let id = |index: u64| ((1_000_000_u64 / 8) << 20 | index).to_be_bytes();
    let server = std::thread::spawn(move || {
        // The second of three is refused.
        let (stream, _) = listener.accept().unwrap();
        refuse_the_second(stream, id(1), 15);
        // And yet the broker has the third.
        let (mut stream, _) = listener.accept().unwrap();
        admit(&mut stream);
        answer(&mut stream, &[0, 1]);
        answer(&mut stream, &[0, 1]);
        present(&mut stream, b's');
        present(&mut stream, b's');
        answer(&mut stream, &[&[0, 1][..], &id(2)].concat());
        linger(stream);
    });
    let mut publisher = StreamPublisher::new(settings_to(port)).unwrap();
    publisher.acquire().unwrap();
    let batch = batch_of(1, "s", 3);
    let outcome = publisher.publish(&batch);
    assert!(matches!(outcome, Outcome::Indefinite { .. }), "{outcome:?}");
    publisher.acquire().unwrap();
    let outcome = publisher.publish(&batch);
    let Outcome::Diverged { reason } = outcome else {
        panic!("{outcome:?}");
    };
    for part in ["\"s\"", "0/F4240:1", "0/F4240:2", "internal error"] {
        assert!(reason.contains(part), "{part}: {reason}");
    }
    server.join().unwrap();
}

#[test]
fn a_refused_message_that_another_relay_has_published_since_holds_up_nothing() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let id = |batch: u64, index: u64| ((batch * 1_000_000 / 8) << 20 | index).to_be_bytes();
    let server = std::thread::spawn(move || {
        // The second of three is refused, and the relay loses its database with it.
        let (stream, _) = listener.accept().unwrap();
        refuse_the_second(stream, id(1, 1), 18);
        // Another one has published all three, and the checkpoint covers them.
        let (mut stream, _) = listener.accept().unwrap();
        admit(&mut stream);
        let last = |stream: &mut TcpStream, id: [u8; 8]| {
            answer(stream, &[&[0, 1][..], &id].concat());
        };
        last(&mut stream, [0; 8]);
        last(&mut stream, [0; 8]);
        answer(&mut stream, &[0, 1]);
        answer(&mut stream, &[0, 1]);
        present(&mut stream, b's');
        present(&mut stream, b's');
        last(&mut stream, id(1, 2));
        answer(&mut stream, &[0, 1]);
        assert_eq!(next(&mut stream).0, 2);
        let confirm = [&[0, 3, 0, 1, 0, 0, 0, 0, 1][..], &id(2, 0)].concat();
        stream.write_all(&frame(&confirm)).unwrap();
        linger(stream);
    });
    let mut publisher = StreamPublisher::new(settings_to(port)).unwrap();
    publisher.acquire().unwrap();
    let batch = batch_of(1, "s", 3);
    let outcome = publisher.publish(&batch);
    assert!(matches!(outcome, Outcome::Indefinite { .. }), "{outcome:?}");
    publisher.acquire().unwrap();
    publisher.settled(&batch.checkpoint);
    let outcome = publisher.publish(&batch_of(2, "s", 1));
    assert_eq!(outcome, Outcome::Durable);
    drop(publisher);
    server.join().unwrap();
}

#[test]
fn random_bytes_at_any_moment_are_an_error_and_nothing_else() {
    let seed = seed();
    let mut random = fastrand::Rng::with_seed(seed);
    for _ in 0..100 {
        let moment = random.u8(0..4);
        let bytes: Vec<u8> = (0..random.usize(1..200))
            .map(|place| match place % 13 {
                // Often enough, something that looks like a frame.
                0..=2 => 0,
                3 => random.u8(0..40),
                5 => random.u8(0..32),
                7 => 1,
                _ => random.u8(..),
            })
            .collect();
        let mut publisher = serve(move |mut stream| {
            match moment {
                0 => drop(next(&mut stream)),
                1 => welcome(&mut stream),
                2 => admit(&mut stream),
                _ => let_publish(&mut stream),
            }
            let _ = stream.write_all(&bytes);
            let _ = stream.shutdown(std::net::Shutdown::Write);
            linger(stream);
        });
        if publisher.acquire().is_ok() {
            let outcome = publisher.publish(&batch_of(1, "s", 2));
            assert!(
                matches!(outcome, Outcome::Indefinite { .. }),
                "{outcome:?}, seed {seed}"
            );
        }
    }
}

#[test]
fn copies_of_the_checkpoint_that_are_not_confirmed_hold_publishing() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        admit(&mut stream);
        answer(&mut stream, &[0, 1]);
        answer(&mut stream, &[0, 1]);
        present(&mut stream, b's');
        present(&mut stream, b's');
        answer(&mut stream, &[0, 1, 0, 0, 0, 0, 0, 0, 0, 0]);
        answer(&mut stream, &[0, 1]);
        let mut alive = stream.try_clone().unwrap();
        std::thread::spawn(move || {
            while alive.write_all(&frame(&[0, 23, 0, 1])).is_ok() {
                std::thread::sleep(Duration::from_millis(300));
            }
        });
        let mut length = [0; 4];
        while stream.read_exact(&mut length).is_ok() {
            let mut content = vec![0; u32::from_be_bytes(length) as usize];
            stream.read_exact(&mut content).unwrap();
            // Messages are confirmed, copies never.
            if content[1] == 2 && content[4] < 254 {
                let head = [0, 3, 0, 1, content[4], 0, 0, 0, 1];
                let confirm = [&head[..], &content[9..17]].concat();
                stream.write_all(&frame(&confirm)).unwrap();
            }
        }
    });
    let mut publisher = StreamPublisher::new(settings_to(port)).unwrap();
    publisher.acquire().unwrap();
    let mut published = 0;
    let reason = loop {
        let batch = batch_of(published + 1, "s", 1);
        match publisher.publish(&batch) {
            Outcome::Durable => publisher.settled(&batch.checkpoint),
            Outcome::Retry { reason } => break reason,
            outcome => panic!("{outcome:?}"),
        }
        published += 1;
    };
    // One of them notes the timeline.
    assert_eq!(published, 15);
    assert!(reason.contains("copies of the checkpoint"), "{reason}");
}

#[test]
fn a_broker_that_names_frames_of_4_gibibytes_may_not_send_them() {
    let mut publisher = serve(|mut stream| {
        for _ in 0..3 {
            answer(&mut stream, &[0, 1, 0, 0, 0, 0]);
        }
        let tune = [0, 20, 0, 1, 255, 255, 255, 255, 0, 0, 0, 60];
        stream.write_all(&frame(&tune)).unwrap();
        let _tune = next(&mut stream);
        answer(&mut stream, &[0, 1, 0, 0, 0, 0]);
        let _metadata = next(&mut stream);
        stream.write_all(&[0x7f, 255, 255, 255, 0]).unwrap();
        linger(stream);
    });
    let error = publisher.acquire().unwrap_err().to_string();
    assert!(error.contains("a frame of 2147483647 bytes"), "{error}");
}
