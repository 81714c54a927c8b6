//! CURVE of ours and of libzmq at two ends of a TCP connection, in both roles.
#![allow(clippy::expect_used, reason = "a test's helpers fail like the test")]

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use zocp_testkit::{CurvePeer, Lab, in_time, isolated};
use zocp_zmtp::{Connection, Entropy, Error, Event, Forged, KeyPair, Limits, Message, PublicKey};

#[test]
fn libzmq_lets_us_in_as_client_and_answers() {
    isolated(async |_: Lab| {
        let mut theirs = CurvePeer::start_here(&pair(1).secret_text()).await;
        let ours = pair(2).public().to_string();
        theirs.command(json!({"allow": [ours]})).await;
        let mut end = dial(&theirs, &pair(2), pair(1).public()).await;
        end.ready().await.expect("it knows our key");
        let long = vec![7; 100_000];
        end.send(&[b"", b"two", &long]).await;
        let got = theirs.message("router").await;
        assert_eq!(got[..3], ["6f757273", "", "74776f"]);
        assert_eq!(got[3].len(), 200_000);
        theirs
            .command(json!({"reply": ["6f757273", "62", "61636b"]}))
            .await;
        assert_eq!(end.message().await, [&b"b"[..], b"ack"]);
        // PINGs come in between, sealed, and are answered: else libzmq would hang up.
        end.outlives_pings(&mut theirs).await;
    });
}

#[test]
fn we_let_libzmq_in_as_server() {
    isolated(async |_: Lab| {
        let mut theirs = CurvePeer::start_here(&pair(1).secret_text()).await;
        let (mut end, key) = accept(&mut theirs, &pair(2), pair(2).public()).await;
        assert_eq!(key, pair(1).public());
        assert!(end.codec.accept());
        end.ready().await.expect("it knows our key");
        let long = "07".repeat(100_000);
        theirs.command(json!({"send": ["", "74776f", long]})).await;
        assert_eq!(end.message().await, [&b""[..], b"two", &[7; 100_000]]);
        end.send(&[b"back"]).await;
        assert_eq!(theirs.message("dealer").await, ["6261636b"]);
        let known = theirs
            .event("handshake", |event| event["at"] == "dealer")
            .await;
        assert_eq!(known["what"], "SUCCEEDED");
    });
}

#[test]
fn libzmq_does_not_let_us_in_with_a_key_that_it_does_not_know() {
    isolated(async |_: Lab| {
        let mut theirs = CurvePeer::start_here(&pair(1).secret_text()).await;
        theirs
            .command(json!({"allow": [pair(3).public().to_string()]}))
            .await;
        let mut end = dial(&theirs, &pair(2), pair(1).public()).await;
        let reason = "400".to_owned();
        assert_eq!(end.ready().await, Err(Error::Refused { reason }));
    });
}

#[test]
fn libzmq_takes_our_refusal_as_one_and_does_not_come_back() {
    isolated(async |_: Lab| {
        let mut theirs = CurvePeer::start_here(&pair(1).secret_text()).await;
        let (mut end, _) = accept(&mut theirs, &pair(2), pair(2).public()).await;
        assert!(end.codec.refuse());
        end.write().await;
        let refused = theirs
            .event("handshake", |event| event["at"] == "dealer")
            .await;
        assert_eq!(refused["what"], "FAILED_AUTH");
    });
}

#[test]
fn a_libzmq_that_knows_another_key_of_ours_gets_no_answer() {
    isolated(async |_: Lab| {
        let mut theirs = CurvePeer::start_here(&pair(1).secret_text()).await;
        let mut end = accepted(&mut theirs, &pair(2), pair(9).public()).await;
        assert_eq!(end.until_event().await, Err(Forged::Hello.into()));
    });
}

#[test]
fn a_libzmq_with_another_key_than_the_one_we_know_gets_nothing_from_us() {
    isolated(async |_: Lab| {
        let theirs = CurvePeer::start_here(&pair(1).secret_text()).await;
        let mut end = dial(&theirs, &pair(2), pair(9).public()).await;
        // It cannot open our HELLO, and hangs up.
        assert_eq!(end.until_closed().await, 0);
        assert!(!end.codec.is_ready());
    });
}

/// Our end of a connection.
struct End {
    stream: TcpStream,
    codec: Connection,
}

impl End {
    /// Writes what waits, then reads until there is an event; an error is the codec's.
    async fn until_event(&mut self) -> Result<Event, Error> {
        in_time("an event", async {
            loop {
                self.write().await;
                if let Some(event) = self.codec.poll_event() {
                    return Ok(event);
                }
                assert_ne!(self.read().await?, 0, "libzmq hung up");
            }
        })
        .await
    }

    async fn read(&mut self) -> Result<usize, Error> {
        let mut octets = [0; 4096];
        // A reset is an end, too.
        let len = self.stream.read(&mut octets).await.unwrap_or(0);
        self.codec.handle_input(&octets[..len])?;
        Ok(len)
    }

    /// Events until libzmq hangs up.
    async fn until_closed(&mut self) -> usize {
        in_time("libzmq to hang up", async {
            self.write().await;
            while self.read().await.is_ok_and(|len| len > 0) {
                self.write().await;
            }
        })
        .await;
        std::iter::from_fn(|| self.codec.poll_event()).count()
    }

    async fn write(&mut self) {
        // What cannot be written shows in what is read.
        let _ = self.stream.write_all(self.codec.output()).await;
        self.codec.consume_output(self.codec.output_len());
    }

    async fn ready(&mut self) -> Result<(), Error> {
        match self.until_event().await? {
            Event::Ready { .. } => Ok(()),
            other => panic!("{other:?}"),
        }
    }

    async fn send(&mut self, frames: &[&[u8]]) {
        self.codec.send(frames).expect("it fits");
        self.write().await;
    }

    async fn message(&mut self) -> Vec<Vec<u8>> {
        match self.until_event().await {
            Ok(Event::Message(message)) => frames(&message),
            other => panic!("{other:?}"),
        }
    }

    /// Answers PINGs for longer than libzmq waits for an answer (100 ms), then gets a message.
    async fn outlives_pings(&mut self, theirs: &mut CurvePeer) {
        let mut pongs = 0;
        while pongs < 5 {
            in_time("a PING", self.read()).await.expect("a sealed PING");
            pongs += usize::from(self.codec.output_len() > 0);
            self.write().await;
        }
        theirs
            .command(json!({"reply": ["6f757273", "6c617374"]}))
            .await;
        assert_eq!(self.message().await, [b"last"]);
    }
}

fn frames(message: &Message) -> Vec<Vec<u8>> {
    message.frames().map(<[u8]>::to_vec).collect()
}

async fn dial(theirs: &CurvePeer, ours: &KeyPair, server: PublicKey) -> End {
    let address = theirs.endpoint().trim_start_matches("tcp://");
    let stream = TcpStream::connect(address).await.expect("it listens");
    let codec = Connection::curve_dealer(b"ours", ours, server, entropy(), Limits::default());
    End { stream, codec }
}

/// A connection that a DEALER of libzmq opens to us, for whom `known` is our key.
async fn accepted(theirs: &mut CurvePeer, ours: &KeyPair, known: PublicKey) -> End {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("it is bound").port();
    let endpoint = format!("tcp://127.0.0.1:{port}");
    let dial = json!({"dial": [endpoint, known.to_string(), "74686569"]});
    theirs.command(dial).await;
    let (stream, _) = in_time("libzmq to connect", listener.accept())
        .await
        .expect("it connects");
    let codec = Connection::curve_router(ours, entropy(), Limits::default());
    End { stream, codec }
}

/// The same, up to the moment at which the key of libzmq is known.
async fn accept(theirs: &mut CurvePeer, ours: &KeyPair, known: PublicKey) -> (End, PublicKey) {
    let mut end = accepted(theirs, ours, known).await;
    match end.until_event().await {
        Ok(Event::PeerKey { key, .. }) => (end, key),
        other => panic!("{other:?}"),
    }
}

fn pair(number: u8) -> KeyPair {
    KeyPair::from_secret(&[number; 32])
}

fn entropy() -> Entropy {
    Entropy::draw(|octets| {
        octets.fill(42);
        Ok::<_, std::convert::Infallible>(())
    })
    .expect("it cannot fail")
}
