//! Who may do what: hosts, origins, roles, secrets, sessions.
//!
//! Model: a *secret*, the token that is printed at the start or a password, is good for a [`Role`]. Who shows one gets a
//! session, a cookie that scripts cannot read and that other sites cannot send.
//! Invariants: ACCESS-1. a `Host` is a literal address or a name on the list: a name that somebody else's DNS points here is
//! neither, which ends DNS rebinding. ACCESS-2. secrets are compared in a time that does not depend on where they differ.
//! ACCESS-3. when a session ends, so do its tabs.
//! Limits: [`SESSIONS_MAX`] sessions; with one more the oldest of the same role ends, without one the oldest. A session ends
//! [`SESSION_TIME`] after its last request.

use std::{collections::VecDeque, fmt, net::IpAddr, str::FromStr};

use ring::digest::{SHA256, digest};
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::limits::{SESSION_TIME, SESSIONS_MAX};

/// What somebody may do; each may do what those before it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// See everything.
    Look,
    /// Set values and call methods.
    Play,
    /// Make and remove wires, save and load scenes.
    Patch,
}

/// A text that is good for a role.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret {
    role: Role,
    digest: [u8; 32],
}

/// Why a file of passwords is none. Fault of whoever wrote it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// A line has another form.
    #[error("line {0}: neither a comment nor ROLE PASSWORD, the role look, play or patch")]
    Form(usize),
    /// A password that is guessed too soon.
    #[error("line {0}: the password has fewer than {PASSWORD_LEN_MIN} characters")]
    Short(usize),
    /// Nobody could come in.
    #[error("there is no password in it")]
    Empty,
}

/// A session. Its tabs end when it is dropped.
#[derive(Debug)]
struct Session {
    id: String,
    role: Role,
    /// When it was used last.
    used: Instant,
    end: CancellationToken,
    _ends: DropGuard,
}

/// What a session allows, to who showed its cookie.
#[derive(Debug, Clone)]
pub(crate) struct Granted {
    pub(crate) role: Role,
    /// Cancelled when the session ends.
    pub(crate) end: CancellationToken,
}

/// Sessions, and the names by which the server may be called.
#[derive(Debug, Default)]
pub(crate) struct Access {
    secrets: Vec<Secret>,
    sessions: VecDeque<Session>,
}

/// The names by which the server may be called.
#[derive(Debug, Clone)]
pub(crate) struct Hosts {
    names: Vec<String>,
    is_loopback: bool,
}

impl Role {
    /// The word for it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Look => "look",
            Self::Play => "play",
            Self::Patch => "patch",
        }
    }
}

impl FromStr for Role {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let all = [Self::Look, Self::Play, Self::Patch];
        all.into_iter().find(|role| role.word() == text).ok_or(())
    }
}

impl Secret {
    /// A text for a role.
    #[must_use]
    pub fn new(role: Role, text: &str) -> Self {
        let mut octets = [0; 32];
        octets.copy_from_slice(digest(&SHA256, text.as_bytes()).as_ref());
        Self {
            role,
            digest: octets,
        }
    }

    fn is(&self, other: &Self) -> bool {
        let octets = self.digest.iter().zip(other.digest);
        octets.fold(0, |differs, (one, other)| differs | (one ^ other)) == 0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret({})", self.role.word())
    }
}

/// The passwords of a file: a line `ROLE PASSWORD` for each, and comments.
///
/// # Errors
/// When a line is something else, or a password is too short.
pub fn secrets(file: &str) -> Result<Vec<Secret>, SecretError> {
    let mut secrets = Vec::new();
    for (number, line) in file.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let form = SecretError::Form(number + 1);
        let (role, password) = line
            .split_once(char::is_whitespace)
            .ok_or_else(|| form.clone())?;
        let role = role.parse().map_err(|()| form)?;
        let password = password.trim();
        if password.chars().count() < PASSWORD_LEN_MIN {
            return Err(SecretError::Short(number + 1));
        }
        secrets.push(Secret::new(role, password));
    }
    match secrets.is_empty() {
        true => Err(SecretError::Empty),
        false => Ok(secrets),
    }
}

impl Access {
    pub(crate) fn new(secrets: Vec<Secret>) -> Self {
        Self {
            secrets,
            sessions: VecDeque::new(),
        }
    }

    /// Makes a session, with this id, for who knows a secret.
    pub(crate) fn open(&mut self, secret: &str, id: String, now: Instant) -> Option<Role> {
        let shown = Secret::new(Role::Look, secret);
        let known = self.secrets.iter().filter(|known| known.is(&shown));
        let role = known.map(|known| known.role).max()?;
        self.expire(now);
        if self.sessions.len() >= SESSIONS_MAX {
            // Who has a password for looking alone ends no session of those who do more.
            let oldest = self.sessions.iter().position(|it| it.role == role);
            self.sessions.remove(oldest.unwrap_or(0));
        }
        let end = CancellationToken::new();
        self.sessions.push_back(Session {
            id,
            role,
            used: now,
            _ends: end.clone().drop_guard(),
            end,
        });
        Some(role)
    }

    /// What the session allows that one of the cookies names.
    pub(crate) fn granted(&mut self, cookies: &str, name: &str, now: Instant) -> Option<Granted> {
        self.expire(now);
        let id = cookie(cookies, name)?;
        let shown = Secret::new(Role::Look, id);
        let mut known = self.sessions.iter_mut();
        let session = known.find(|it| Secret::new(Role::Look, &it.id).is(&shown))?;
        session.used = now;
        Some(Granted {
            role: session.role,
            end: session.end.clone(),
        })
    }

    fn expire(&mut self, now: Instant) {
        self.sessions
            .retain(|session| session.used + SESSION_TIME > now);
    }

    /// Ends the session that one of the cookies names.
    pub(crate) fn close(&mut self, cookies: &str, name: &str) {
        if let Some(id) = cookie(cookies, name) {
            self.sessions.retain(|session| session.id != id);
        }
    }
}

fn cookie<'a>(cookies: &'a str, name: &str) -> Option<&'a str> {
    let mut cookies = cookies
        .split(';')
        .filter_map(|cookie| cookie.trim().split_once('='));
    cookies.find(|(known, _)| *known == name).map(|(_, id)| id)
}

impl Hosts {
    /// `is_loopback` is whether nobody but this machine reaches the server.
    pub(crate) fn new(names: impl IntoIterator<Item = String>, is_loopback: bool) -> Self {
        let names = names.into_iter().map(|name| name.to_ascii_lowercase());
        Self {
            names: names.chain(["localhost".to_owned()]).collect(),
            is_loopback,
        }
    }

    /// Whether a `Host` header names this server. The port is not looked at: a forwarded one is another.
    pub(crate) fn allow(&self, host: &str) -> bool {
        let name = without_port(host).to_ascii_lowercase();
        let address = name
            .trim_start_matches('[')
            .trim_end_matches(']')
            .parse::<IpAddr>();
        match address {
            Ok(address) => address.is_loopback() || !self.is_loopback,
            Err(_) => self.names.contains(&name),
        }
    }
}

/// Whether an `Origin` header is of the very server that a `Host` header names.
pub(crate) fn is_same_origin(origin: &str, scheme: &str, host: &str) -> bool {
    let named = origin.split_once("://");
    named.is_some_and(|(kind, name)| kind == scheme && name.eq_ignore_ascii_case(host))
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|it| it.is_ascii_digit()) && !name.is_empty() => {
            name
        }
        _ => host,
    }
}

/// At four guesses a second, eight random letters take longer than a lifetime; a word does not.
const PASSWORD_LEN_MIN: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_are_not_on_the_list_are_refused() {
        let hosts = Hosts::new(["Stage.local".to_owned()], true);
        for host in [
            "localhost",
            "localhost:8080",
            "127.0.0.1:1",
            "[::1]:8080",
            "stage.LOCAL:80",
        ] {
            assert!(hosts.allow(host), "{host}");
        }
        for host in [
            "evil.example",
            "localhost.evil.example:8080",
            "10.0.0.7:80",
            "",
            "127.0.0.1.evil.example",
        ] {
            assert!(!hosts.allow(host), "{host}");
        }
        assert!(Hosts::new([], false).allow("10.0.0.7:8080"));
    }

    #[test]
    fn another_origin_is_none() {
        assert!(is_same_origin(
            "http://localhost:8080",
            "http",
            "localhost:8080"
        ));
        for origin in [
            "null",
            "https://localhost:8080",
            "http://localhost:81",
            "http://evil.example",
            "",
        ] {
            assert!(
                !is_same_origin(origin, "http", "localhost:8080"),
                "{origin}"
            );
        }
    }

    #[test]
    fn a_secret_opens_a_session_of_its_role() {
        let secrets = secrets("# show\nlook lookonly1\npatch  front of house\n").unwrap();
        let mut access = Access::new(secrets);
        let now = Instant::now();
        let open = |access: &mut Access, secret, id: &str| access.open(secret, id.into(), now);
        assert_eq!(open(&mut access, "wrong word", "1"), None);
        assert_eq!(open(&mut access, "lookonly1", "2"), Some(Role::Look));
        assert_eq!(open(&mut access, "front of house", "3"), Some(Role::Patch));
        let granted = access.granted("a=b; zocp=3", "zocp", now).unwrap();
        assert_eq!(granted.role, Role::Patch);
        assert!(access.granted("zocp=4", "zocp", now).is_none());
        access.close("zocp=3", "zocp");
        assert!(access.granted("zocp=3", "zocp", now).is_none());
        assert!(granted.end.is_cancelled(), "its tabs end");
    }

    #[test]
    fn a_session_that_is_not_used_ends() {
        let (mut access, now) = (
            Access::new(vec![Secret::new(Role::Play, "token")]),
            Instant::now(),
        );
        access.open("token", "1".into(), now);
        let used = now + SESSION_TIME / 2;
        let granted = access.granted("c=1", "c", used).unwrap();
        assert!(access.granted("c=1", "c", now + SESSION_TIME).is_some());
        let over = now + SESSION_TIME * 2;
        assert!(access.granted("c=1", "c", over).is_none());
        assert!(granted.end.is_cancelled());
    }

    #[test]
    fn with_too_many_sessions_the_oldest_of_the_role_ends() {
        let secrets = [
            Secret::new(Role::Patch, "wires"),
            Secret::new(Role::Look, "token"),
        ];
        let (mut access, now) = (Access::new(secrets.to_vec()), Instant::now());
        access.open("wires", "first".into(), now);
        for number in 0..SESSIONS_MAX {
            access.open("token", number.to_string(), now);
        }
        let mut role = |id: &str| {
            access
                .granted(&format!("c={id}"), "c", now)
                .map(|it| it.role)
        };
        assert_eq!(role("first"), Some(Role::Patch));
        assert_eq!(role("0"), None);
        assert_eq!(role("1"), Some(Role::Look));
    }

    #[test]
    fn a_file_of_passwords_is_refused_with_its_line() {
        assert_eq!(secrets("look\n"), Err(SecretError::Form(1)));
        assert_eq!(secrets("\nall password1"), Err(SecretError::Form(2)));
        assert_eq!(secrets("look short"), Err(SecretError::Short(1)));
        assert_eq!(secrets("# nothing"), Err(SecretError::Empty));
    }
}
