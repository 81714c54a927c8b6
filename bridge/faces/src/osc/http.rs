//! OSCQuery over HTTP and WebSocket, on one port.
//!
//! Model: a connection is served by hyper; each request for a description is a question to the face. A request that
//! wants a WebSocket becomes one: text is commands, octets are OSC both ways.
//! Invariants: HTTP-1. Only `GET` and `HEAD`. HTTP-2. A page of a browser reaches nothing here, unless it came from here:
//! a request must name this host as people do without a server of names, and the origin of a WebSocket must be the same host.
//! Limits: [`MESSAGE_LEN_MAX`] octets of a message of a WebSocket; the head of a request those of hyper; connections and
//! WebSockets are counted together in `listener`; [`PING_INTERVAL`] for a WebSocket that is gone.
//! Spec: OSCQuery proposal; RFC 6455.

use std::{convert::Infallible, net::IpAddr, sync::Arc, time::Duration};

use futures_util::{SinkExt, StreamExt};
use http_body_util::Full;
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Bytes, Incoming},
    header::{self, HeaderMap, HeaderValue},
    server::conn::http1,
    service::service_fn,
    upgrade::Upgraded,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::Value;
use tokio::{
    net::TcpStream,
    sync::{OwnedSemaphorePermit, mpsc, oneshot},
    time::{MissedTickBehavior, interval, timeout},
};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        Message, handshake::derive_accept_key, protocol::Role, protocol::WebSocketConfig,
    },
};

use super::connection::{Connections, Input, Kind, Outgoing, PACKETS_MAX, prepare};

/// A place among the connections of the face, kept until what a connection became ends.
pub(crate) type Place = Arc<OwnedSemaphorePermit>;

/// Serves a connection of HTTP until it ends. A WebSocket that it becomes goes on and keeps the place.
pub(crate) async fn serve(connections: Connections, stream: TcpStream, place: Place) {
    prepare(&stream);
    let service = service_fn(|request| {
        let (connections, place) = (connections.clone(), Arc::clone(&place));
        async move { Ok::<_, Infallible>(respond(connections, request, place).await) }
    });
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    if let Err(error) = serving.await {
        tracing::debug!(%error, "a connection of HTTP ended");
    }
}

async fn respond(
    connections: Connections,
    request: Request<Incoming>,
    place: Place,
) -> Response<Full<Bytes>> {
    if !is_for_us(request.headers()) {
        return plain(StatusCode::FORBIDDEN);
    }
    if request.method() != Method::GET && request.method() != Method::HEAD {
        return plain(StatusCode::METHOD_NOT_ALLOWED);
    }
    if request.headers().contains_key(header::SEC_WEBSOCKET_KEY) {
        return upgrade(connections, request, place);
    }
    let path = request.uri().path().to_owned();
    let attribute = request.uri().query().map(str::to_owned);
    let (reply, answer) = oneshot::channel();
    let question = Input::Question {
        path,
        attribute,
        reply,
    };
    if connections.inputs.send(question).await.is_err() {
        return plain(StatusCode::SERVICE_UNAVAILABLE);
    }
    let Ok((status, body)) = answer.await else {
        return plain(StatusCode::SERVICE_UNAVAILABLE);
    };
    let mut response = plain(StatusCode::from_u16(status).unwrap_or(StatusCode::OK));
    if let Some(body) = body {
        let json = HeaderValue::from_static("application/json");
        response.headers_mut().insert(header::CONTENT_TYPE, json);
        *response.body_mut() = Full::new(Bytes::from(body.to_string()));
    }
    response
}

fn plain(status: StatusCode) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = status;
    response
}

fn is_for_us(headers: &HeaderMap) -> bool {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let Some(host) = text(header::HOST) else {
        // Before HTTP/1.1, and no browser.
        return !headers.contains_key(header::ORIGIN);
    };
    let origin = headers.get(header::ORIGIN);
    let is_same = origin.is_none_or(|origin| {
        let origin = origin.to_str().unwrap_or_default();
        origin
            .split_once("://")
            .is_some_and(|(scheme, named)| scheme == "http" && named.eq_ignore_ascii_case(host))
    });
    is_same && is_local_name(host)
}

/// An address, `localhost`, a name of mDNS, or one without a domain: nothing that a stranger's server of names says.
fn is_local_name(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.parse::<u16>().is_ok() => name,
        _ => host,
    };
    let name = name.trim_start_matches('[').trim_end_matches(']');
    name.parse::<IpAddr>().is_ok()
        || !name.contains('.')
        || name.to_ascii_lowercase().ends_with(".local")
}

fn upgrade(
    connections: Connections,
    mut request: Request<Incoming>,
    place: Place,
) -> Response<Full<Bytes>> {
    let key = request.headers().get(header::SEC_WEBSOCKET_KEY);
    let accept = key.map(|key| derive_accept_key(key.as_bytes()));
    let Some(accept) = accept.and_then(|accept| HeaderValue::from_str(&accept).ok()) else {
        return plain(StatusCode::BAD_REQUEST);
    };
    let upgraded = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        match upgraded.await {
            Ok(upgraded) => converse(connections, upgraded).await,
            Err(error) => tracing::debug!(%error, "no WebSocket came of a request"),
        }
        drop(place);
    });
    let mut response = plain(StatusCode::SWITCHING_PROTOCOLS);
    let headers = response.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
    response
}

async fn converse(connections: Connections, upgraded: Upgraded) {
    let mut config = WebSocketConfig::default();
    config.max_message_size = Some(MESSAGE_LEN_MAX);
    config.max_frame_size = Some(MESSAGE_LEN_MAX);
    let io = TokioIo::new(upgraded);
    let mut socket = WebSocketStream::from_raw_socket(io, Role::Server, Some(config)).await;
    let id = connections.number();
    let (outlet, mut outgoing) = mpsc::channel(PACKETS_MAX);
    let opened = Input::Opened {
        id,
        outlet,
        kind: Kind::WebSocket,
    };
    if connections.inputs.send(opened).await.is_err() {
        return;
    }
    let mut pings = interval(PING_INTERVAL);
    pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // Whether something came since the last ping.
    let mut is_answered = true;
    loop {
        tokio::select! {
            message = socket.next() => {
                let Some(Ok(message)) = message else { break };
                is_answered = true;
                let Some(input) = input_of(id, message) else { continue };
                if connections.inputs.send(input).await.is_err() {
                    break;
                }
            }
            out = outgoing.recv() => {
                let message = match out {
                    Some(Outgoing::Packet(packet)) => Message::binary(packet),
                    Some(Outgoing::Text(text)) => Message::text(text),
                    None => break,
                };
                let sent = timeout(SEND_TIMEOUT, socket.send(message));
                if !matches!(sent.await, Ok(Ok(()))) {
                    break;
                }
            }
            _ = pings.tick() => {
                let sent = timeout(SEND_TIMEOUT, socket.send(Message::Ping(Bytes::new())));
                if !is_answered || !matches!(sent.await, Ok(Ok(()))) {
                    break;
                }
                is_answered = false;
            }
        }
    }
    let _ = connections.inputs.send(Input::Closed { id }).await;
}

fn input_of(id: u64, message: Message) -> Option<Input> {
    match message {
        Message::Binary(octets) => Some(Input::Packet {
            id,
            octets: octets.to_vec(),
        }),
        Message::Text(text) => {
            let command: Value = serde_json::from_str(&text).ok()?;
            let listens = match command.get("COMMAND")?.as_str()? {
                "LISTEN" => true,
                "IGNORE" => false,
                _ => return None,
            };
            Some(Input::Listen {
                id,
                address: command.get("DATA")?.as_str()?.to_owned(),
                listens,
            })
        }
        _ => None,
    }
}

/// Octets of a message of a WebSocket; a longer one ends it.
pub(crate) const MESSAGE_LEN_MAX: usize = 65_536;
/// Between two pings of a WebSocket; one from which nothing came in that time is closed.
const PING_INTERVAL: Duration = Duration::from_secs(15);
/// A WebSocket that takes nothing for so long is closed.
const SEND_TIMEOUT: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(host: &str, origin: Option<&str>) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, host.parse().unwrap());
        if let Some(origin) = origin {
            headers.insert(header::ORIGIN, origin.parse().unwrap());
        }
        headers
    }

    #[test]
    fn pages_of_others_are_turned_away() {
        for host in [
            "10.0.0.1:8080",
            "localhost:8080",
            "[::1]:8080",
            "stage.local",
            "stage:80",
        ] {
            assert!(is_for_us(&headers(host, None)), "{host}");
        }
        assert!(is_for_us(&headers(
            "10.0.0.1:8080",
            Some("http://10.0.0.1:8080")
        )));
        assert!(!is_for_us(&headers(
            "10.0.0.1:8080",
            Some("http://example.org")
        )));
        assert!(!is_for_us(&headers("10.0.0.1:8080", Some("null"))));
        assert!(!is_for_us(&headers("rebound.example.org:8080", None)));
    }

    #[test]
    fn commands_are_understood_and_others_mean_nothing() {
        let listen = Message::text(r#"{"COMMAND": "LISTEN", "DATA": "/a"}"#);
        assert!(matches!(
            input_of(1, listen),
            Some(Input::Listen { listens: true, .. })
        ));
        let ignore = Message::text(r#"{"COMMAND": "IGNORE", "DATA": "/a"}"#);
        assert!(matches!(
            input_of(1, ignore),
            Some(Input::Listen { listens: false, .. })
        ));
        for odd in [
            "",
            "[]",
            "{}",
            r#"{"COMMAND": 5}"#,
            r#"{"COMMAND": "LISTEN"}"#,
            r#"{"COMMAND": "X", "DATA": "/"}"#,
        ] {
            assert!(input_of(1, Message::text(odd)).is_none(), "{odd}");
        }
        let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
        assert!(input_of(1, Message::text(deep)).is_none());
    }
}
