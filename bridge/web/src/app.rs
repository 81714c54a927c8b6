//! What all requests share: who may come in, and what is followed and done for them.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::http::{HeaderMap, HeaderName, header};
use tokio::{sync::Semaphore, time::Instant};
use zocp_client::{Actions, Followed};

use crate::{
    access::{Access, Granted, Hosts, is_same_origin},
    guess::Guesses,
    tools::Tools,
};

/// What all requests share.
pub(crate) struct App {
    /// Locked because each request has a task of its own, and all of them log in and out.
    pub(crate) access: Mutex<Access>,
    pub(crate) hosts: Hosts,
    pub(crate) scheme: &'static str,
    pub(crate) cookie: String,
    pub(crate) tabs: Arc<Semaphore>,
    pub(crate) guesses: Guesses,
    pub(crate) followed: Followed,
    pub(crate) actions: Actions,
    pub(crate) tools: Tools,
}

impl App {
    pub(crate) fn access(&self) -> MutexGuard<'_, Access> {
        self.access.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the session of a request allows.
    pub(crate) fn granted(&self, headers: &HeaderMap) -> Option<Granted> {
        let cookies = text(headers, &header::COOKIE);
        self.access().granted(cookies, &self.cookie, Instant::now())
    }

    /// Whether a request is of the page itself.
    pub(crate) fn is_own(&self, headers: &HeaderMap) -> bool {
        let site = text(headers, &SEC_FETCH_SITE);
        let (origin, host) = (text(headers, &header::ORIGIN), text(headers, &header::HOST));
        is_same_origin(origin, self.scheme, host) && matches!(site, "" | "same-origin")
    }

    pub(crate) fn set_cookie(&self, id: &str, more: &str) -> String {
        let secure = if self.scheme == "https" {
            "; Secure"
        } else {
            ""
        };
        format!(
            "{}={id}; Path=/; HttpOnly; SameSite=Strict{secure}{more}",
            self.cookie
        )
    }
}

/// A header as text; empty where there is none.
pub(crate) fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> &'a str {
    headers
        .get(name)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default()
}

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
