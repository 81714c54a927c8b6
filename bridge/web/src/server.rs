//! The routes: the page, the login, the WebSocket of each tab.
//!
//! Model: [`Server`] listens; [`App`] is what all requests share. A request passes the *guard* first, which looks at
//! `Host` and adds the headers that tell a browser what the page may do.
//! Invariants: ROUTE-1. nothing of the mesh is in an answer but on a WebSocket, and that wants a session. ROUTE-2. what changes
//! something wants the origin of the page itself.

use std::{
    io,
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    body::Bytes,
    extract::{DefaultBodyLimit, Request, State, WebSocketUpgrade},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header},
    middleware::{Next, from_fn_with_state},
    response::{IntoResponse, Response},
    routing::{any, get, post},
};
use serde_json::{Value, json};
use tokio::{net::TcpListener, sync::Semaphore, time::Instant};

use crate::{
    access::{Access, Hosts, Role, Secret},
    app::{App, text},
    assets::asset,
    guess::Guesses,
    limits::{LOGIN_LEN_MAX, REQUEST_LEN_MAX, TABS_MAX},
    listen, tab,
    tls::{Place, Tls},
    tools::Tools,
};
use zocp_client::{Actions, Followed};

/// How to serve.
#[derive(Debug)]
pub struct Options {
    /// Where to listen.
    pub listen: SocketAddr,
    /// Names by which the server may be called, besides `localhost` and addresses.
    pub hosts: Vec<String>,
    /// The role of who has the token that is printed.
    pub role: Role,
    /// Passwords; beyond this machine there has to be one.
    pub passwords: Vec<Secret>,
    /// The user's certificate and key.
    pub certificate: Option<(PathBuf, PathBuf)>,
    /// Where a certificate is kept that is made here.
    pub state: PathBuf,
}

/// Why the server does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Others could come in.
    #[error("listening at {0} lets other machines in: set a password")]
    Open(SocketAddr),
    /// The address cannot be listened at.
    #[error("cannot listen at {0}: {1}")]
    Listen(SocketAddr, #[source] io::Error),
    /// The certificate cannot be read or made.
    #[error("no certificate: {0}")]
    Certificate(#[source] io::Error),
    /// The system has no random octets.
    #[error("no random octets: {0}")]
    Random(io::Error),
}

/// A server that listens.
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    tls: Option<Tls>,
    token: String,
    access: Access,
    hosts: Hosts,
}

impl Server {
    /// Listens, and has a token and, beyond this machine, a certificate ready.
    ///
    /// # Errors
    /// When others could come in without a password, and when the address or the certificate is not to be had.
    pub async fn start(options: Options) -> Result<Self, StartError> {
        let is_loopback = options.listen.ip().is_loopback();
        if !is_loopback && options.passwords.is_empty() {
            return Err(StartError::Open(options.listen));
        }
        let place = match (options.certificate, is_loopback) {
            (Some((certificate, key)), _) => Some(Place::Given(certificate, key)),
            (None, true) => None,
            (None, false) => {
                let names = options.hosts.iter().cloned();
                let names = names.chain(["localhost".to_owned(), options.listen.ip().to_string()]);
                Some(Place::Made(options.state.join("web.pem"), names.collect()))
            }
        };
        let tls = place
            .map(|place| place.open())
            .transpose()
            .map_err(StartError::Certificate)?;
        let failed = |error| StartError::Listen(options.listen, error);
        let listener = TcpListener::bind(options.listen).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let token = random()?;
        let mut secrets = options.passwords;
        secrets.push(Secret::new(options.role, &token));
        Ok(Self {
            listener,
            address,
            tls,
            token,
            access: Access::new(secrets),
            hosts: Hosts::new(options.hosts, is_loopback),
        })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The address of the page for a browser, with the token behind `#`, where no server sees it.
    #[must_use]
    pub fn url(&self, host: &str) -> String {
        format!(
            "{}://{host}:{}/#token={}",
            self.scheme(),
            self.address.port(),
            self.token
        )
    }

    /// The fingerprint of the certificate, where connections are encrypted.
    #[must_use]
    pub fn fingerprint(&self) -> Option<&str> {
        self.tls.as_ref().map(|tls| tls.fingerprint.as_str())
    }

    /// Serves until it is dropped.
    ///
    /// # Errors
    /// None that it would not go on after, as of now.
    pub async fn run(self, followed: Followed, actions: Actions, tools: Tools) -> io::Result<()> {
        let app = Arc::new(App {
            scheme: self.scheme(),
            // Cookies are sent to every port of a host: two servers would take each other's.
            cookie: format!("zocp-{}", self.address.port()),
            access: Mutex::new(self.access),
            hosts: self.hosts,
            tabs: Arc::new(Semaphore::new(TABS_MAX)),
            guesses: Guesses::new(),
            followed,
            actions,
            tools,
        });
        let router = Router::new()
            .route("/login", post(login))
            .route("/logout", post(logout))
            .route("/session", get(session))
            .route("/socket", any(socket))
            .fallback(get(page))
            .layer(DefaultBodyLimit::max(LOGIN_LEN_MAX))
            .layer(from_fn_with_state(Arc::clone(&app), guard))
            .with_state(app);
        listen::serve(self.listener, self.tls.map(|tls| tls.acceptor), router).await
    }

    fn scheme(&self) -> &'static str {
        match self.tls {
            Some(_) => "https",
            None => "http",
        }
    }
}

/// Looks at `Host`, and tells the browser what the page may do.
async fn guard(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let is_allowed = app.hosts.allow(text(request.headers(), &header::HOST));
    let mut response = match is_allowed {
        true => next.run(request).await,
        false => (
            StatusCode::MISDIRECTED_REQUEST,
            "This server is not called that: see --host in `zocp web --help`.\n",
        )
            .into_response(),
    };
    let headers = response.headers_mut();
    for (name, value) in SAFETY {
        headers.insert(
            HeaderName::from_static(name),
            HeaderValue::from_static(value),
        );
    }
    response
}

async fn page(uri: Uri) -> Response {
    asset(uri.path())
}

async fn login(State(app): State<Arc<App>>, headers: HeaderMap, body: Bytes) -> Response {
    if !app.is_own(&headers) {
        return refused(StatusCode::FORBIDDEN, "another site asks for it");
    }
    let Some(guess) = app.guesses.begin() else {
        return refused(
            StatusCode::TOO_MANY_REQUESTS,
            "too many logins are being checked: try again",
        );
    };
    let secret = serde_json::from_slice::<Value>(&body).ok();
    let secret = secret
        .as_ref()
        .and_then(|it| it.get("secret")?.as_str())
        .unwrap_or_default();
    let Ok(id) = random() else {
        return refused(StatusCode::INTERNAL_SERVER_ERROR, "no random octets");
    };
    let opened = app.access().open(secret, id.clone(), Instant::now());
    match opened {
        Some(role) => {
            let cookie = app.set_cookie(&id, "");
            (
                [(header::SET_COOKIE, cookie)],
                json!({ "role": role.word() }).to_string(),
            )
                .into_response()
        }
        None => {
            guess.refuse().await;
            refused(
                StatusCode::UNAUTHORIZED,
                "this is neither the token nor a password",
            )
        }
    }
}

async fn logout(State(app): State<Arc<App>>, headers: HeaderMap) -> Response {
    if !app.is_own(&headers) {
        return refused(StatusCode::FORBIDDEN, "another site asks for it");
    }
    app.access()
        .close(text(&headers, &header::COOKIE), &app.cookie);
    (
        [(header::SET_COOKIE, app.set_cookie("", "; Max-Age=0"))],
        "{}",
    )
        .into_response()
}

async fn session(State(app): State<Arc<App>>, headers: HeaderMap) -> Response {
    match app.granted(&headers) {
        Some(granted) => json!({ "role": granted.role.word() })
            .to_string()
            .into_response(),
        None => refused(StatusCode::UNAUTHORIZED, "there is no session"),
    }
}

async fn socket(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    upgrade: WebSocketUpgrade,
) -> Response {
    if !app.is_own(&headers) {
        return refused(StatusCode::FORBIDDEN, "another site asks for it");
    }
    let Some(granted) = app.granted(&headers) else {
        return refused(StatusCode::UNAUTHORIZED, "there is no session");
    };
    let Ok(permit) = Arc::clone(&app.tabs).try_acquire_owned() else {
        return refused(StatusCode::SERVICE_UNAVAILABLE, "too many tabs");
    };
    upgrade
        .max_message_size(REQUEST_LEN_MAX)
        .on_upgrade(async move |socket| {
            tab::run(socket, app, &headers, granted).await;
            drop(permit);
        })
}

fn refused(status: StatusCode, why: &'static str) -> Response {
    (status, json!({ "error": why }).to_string()).into_response()
}

/// 128 bits as hex digits.
fn random() -> Result<String, StartError> {
    let mut octets = [0; 16];
    getrandom::fill(&mut octets).map_err(|error| StartError::Random(error.into()))?;
    Ok(octets.iter().map(|octet| format!("{octet:02x}")).collect())
}

/// Nothing but what is part of the page is loaded, run or asked, and nobody frames it.
const SAFETY: [(&str, &str); 6] = [
    (
        "content-security-policy",
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
         manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
         require-trusted-types-for 'script'",
    ),
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "no-referrer"),
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-resource-policy", "same-origin"),
    ("x-frame-options", "DENY"),
];
