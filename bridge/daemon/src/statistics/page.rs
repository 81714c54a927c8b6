//! The page that Prometheus asks for, on a port of the loopback.
//!
//! Model: each connection is one question, `GET /metrics`, and one answer, after which it is closed. That is
//! all of HTTP that is needed, so it is here: a server of it would be the largest dependency of the bridge, for
//! one page without parameters, bodies or state.
//! Invariants: PAGE-1. Nothing of the question is kept or comes back. PAGE-2. Who names another host than the loopback
//! is refused, so no page of the web can ask through a browser.
//! Limits: [`CONNECTIONS_MAX`] at once, further ones wait to be accepted; [`REQUEST_LEN_MAX`] octets and
//! [`TIME_MAX`] for one, then it is closed.
//! Spec: RFC 9112 §2, 3, 9.6; RFC 9110 §15

use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::{sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::Statistics;

/// What is answered to a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Status {
    Ok,
    BadRequest,
    Forbidden,
    NotFound,
    NotAllowed,
}

/// Serves the page until `stop`. A port that cannot be had is told in the log, and nothing else ends.
pub(crate) async fn serve(
    address: SocketAddr,
    statistics: Statistics,
    tasks: TaskTracker,
    stop: CancellationToken,
) {
    let listener = match TcpListener::bind(address).await {
        Ok(listener) => listener,
        Err(error) => {
            return tracing::warn!(%address, %error, "no page for Prometheus: the port cannot be had");
        }
    };
    tokio::select! {
        () = accept(&listener, &statistics, &tasks, &stop) => {}
        () = stop.cancelled() => {}
    }
}

async fn accept(
    listener: &TcpListener,
    statistics: &Statistics,
    tasks: &TaskTracker,
    stop: &CancellationToken,
) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    // The semaphore is never closed.
    while let Ok(place) = Arc::clone(&places).acquire_owned().await {
        match listener.accept().await {
            Ok((stream, _)) => {
                let (statistics, stop) = (statistics.clone(), stop.clone());
                tasks.spawn(async move {
                    let _place = place;
                    tokio::select! {
                        // Who is too slow or goes is nobody to tell.
                        _ = timeout(TIME_MAX, answer(stream, &statistics)) => {}
                        () = stop.cancelled() => {}
                    }
                });
            }
            Err(error) => {
                tracing::warn!(%error, "a connection for the counters could not be accepted");
                sleep(ACCEPT_RETRY).await;
            }
        }
    }
}

async fn answer(mut stream: TcpStream, statistics: &Statistics) -> io::Result<()> {
    let status = match read_request(&mut stream).await? {
        Some(request) => judge(&request),
        None => Status::BadRequest,
    };
    let body = match status {
        Status::Ok => statistics.page().await,
        other => format!("{}\n", other.line()),
    };
    let head = format!(
        "HTTP/1.1 {}\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n",
        status.line(),
        body.len()
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(body.as_bytes()).await?;
    stream.shutdown().await
}

/// The head of a request; `None` where it has no end within its bound.
async fn read_request(stream: &mut TcpStream) -> io::Result<Option<Vec<u8>>> {
    let mut request = Vec::new();
    let mut octets = [0; 1024];
    while request.len() < REQUEST_LEN_MAX {
        let len = stream.read(&mut octets).await?;
        if len == 0 {
            return Ok(None);
        }
        request.extend_from_slice(&octets[..len]);
        if request.windows(4).any(|part| part == b"\r\n\r\n") {
            return Ok(Some(request));
        }
    }
    Ok(None)
}

/// What a request is answered with.
fn judge(request: &[u8]) -> Status {
    let Ok(text) = std::str::from_utf8(request) else {
        return Status::BadRequest;
    };
    let mut lines = text.split("\r\n");
    let words: Vec<&str> = lines.next().unwrap_or_default().split(' ').collect();
    let [method, target, version] = words[..] else {
        return Status::BadRequest;
    };
    if !version.starts_with("HTTP/1.") {
        return Status::BadRequest;
    }
    let is_host = |name: &str| name.eq_ignore_ascii_case("host");
    let mut fields = lines.filter_map(|line| line.split_once(':'));
    let host = fields.find(|(name, _)| is_host(name));
    if host.is_some_and(|(_, host)| !is_loopback(host.trim())) {
        return Status::Forbidden;
    }
    match (method, target.split('?').next().unwrap_or_default()) {
        ("GET", "/metrics") => Status::Ok,
        ("GET", _) => Status::NotFound,
        _ => Status::NotAllowed,
    }
}

/// Whether a `Host` means this machine itself.
fn is_loopback(host: &str) -> bool {
    if let Ok(address) = host.parse::<SocketAddr>() {
        return address.ip().is_loopback();
    }
    let name = host.split_once(':').map_or(host, |(name, _)| name);
    let address = host.trim_start_matches('[').trim_end_matches(']');
    name.eq_ignore_ascii_case("localhost")
        || [name, address].iter().any(|text| {
            text.parse()
                .is_ok_and(|address: IpAddr| address.is_loopback())
        })
}

impl Status {
    fn line(self) -> &'static str {
        match self {
            Self::Ok => "200 OK",
            Self::BadRequest => "400 Bad Request",
            Self::Forbidden => "403 Forbidden",
            Self::NotFound => "404 Not Found",
            Self::NotAllowed => "405 Method Not Allowed",
        }
    }
}

/// One who asks is usual.
const CONNECTIONS_MAX: usize = 4;
/// Far more than a scraper says.
const REQUEST_LEN_MAX: usize = 8 << 10;
/// For question and answer together.
const TIME_MAX: Duration = Duration::from_secs(5);
/// After a failure such as no free descriptors.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(first: &str, host: &str) -> Status {
        judge(format!("{first}\r\nAccept: */*\r\nHost: {host}\r\n\r\n").as_bytes())
    }

    #[test]
    fn only_the_one_page_is_there() {
        let get = "GET /metrics HTTP/1.1";
        for host in [
            "localhost:9567",
            "127.0.0.1:9567",
            "127.0.0.1",
            "[::1]:9567",
            "[::1]",
        ] {
            assert_eq!(ask(get, host), Status::Ok, "{host}");
        }
        assert_eq!(judge(b"GET /metrics?x=1 HTTP/1.0\r\n\r\n"), Status::Ok);
        for host in [
            "evil.example:9567",
            "10.0.0.1:9567",
            "",
            "localhost.evil.example",
        ] {
            assert_eq!(ask(get, host), Status::Forbidden, "{host}");
        }
        assert_eq!(ask("GET / HTTP/1.1", "localhost"), Status::NotFound);
        assert_eq!(
            ask("POST /metrics HTTP/1.1", "localhost"),
            Status::NotAllowed
        );
        for request in [
            "",
            "GET /metrics",
            "GET  /metrics HTTP/1.1",
            "GET /metrics SMTP",
        ] {
            assert_eq!(ask(request, "localhost"), Status::BadRequest, "{request}");
        }
        assert_eq!(judge(b"\xff\r\n\r\n"), Status::BadRequest);
    }
}
