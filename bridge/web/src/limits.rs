//! Every bound of the server, and what happens at it.

use std::time::Duration;

/// Connections at once; a further one waits until another ends. A browser opens six, and one a tab.
pub(crate) const CONNECTIONS_MAX: usize = 128;
/// A TLS handshake, and the header of a request; the connection ends.
pub(crate) const HEADER_TIME_MAX: Duration = Duration::from_secs(10);
/// Octets of a login; more is refused.
pub(crate) const LOGIN_LEN_MAX: usize = 4096;
/// Sessions; with one more the oldest of the same role ends, without one the oldest.
pub(crate) const SESSIONS_MAX: usize = 64;
/// How long a session lasts after its last request; an open tab counts as one.
pub(crate) const SESSION_TIME: Duration = Duration::from_secs(12 * 3600);
/// Logins that are being checked; a further one is refused with 429. One with a wrong secret counts for [`GUESS_TIME`],
/// also when its client is gone.
pub(crate) const GUESSES_MAX: usize = 4;
/// How long a wrong secret waits for its answer.
pub(crate) const GUESS_TIME: Duration = Duration::from_secs(1);
/// Tabs; a further one is refused.
pub(crate) const TABS_MAX: usize = 64;
/// Octets of what a tab sends in one message; the tab is closed.
pub(crate) const REQUEST_LEN_MAX: usize = 64 << 10;
/// Requests of a tab that are under way; a further one is refused.
pub(crate) const REQUESTS_MAX: usize = 32;
/// A tab is told what changed at most so often: 30 times a second.
pub(crate) const UPDATE_TIME: Duration = Duration::from_millis(34);
/// How long a tab may take nothing of what it is sent, or say nothing when it is pinged; it is closed.
pub(crate) const SILENCE_MAX: Duration = Duration::from_secs(30);
/// How often a tab is pinged.
pub(crate) const PING_TIME: Duration = Duration::from_secs(10);
/// How long the program that does scenes and the doctor may take; it is ended.
pub(crate) const TOOL_TIME_MAX: Duration = Duration::from_secs(60);
/// Such programs at once; further ones wait.
pub(crate) const TOOLS_MAX: usize = 2;
/// Octets that such a program may say; it is ended.
pub(crate) const TOOL_LEN_MAX: usize = 4 << 20;
