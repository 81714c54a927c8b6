//! The limits of what is announced of exported services. What exceeds them is left out, and the log says so once for each
//! crawl of a service; calls and signals of the service work all the same.

use std::time::Duration;

/// Objects of one service that are asked what they are.
pub(super) const VISITS_MAX: usize = 256;
/// Elements of the path of such an object.
pub(super) const DEPTH_MAX: usize = 16;
/// Interfaces of one service, over all its objects.
pub(super) const INTERFACES_MAX: usize = 128;
/// Properties and signals of one service.
pub(super) const MEMBERS_MAX: usize = 512;
/// Properties and signals of all services together: the tree has room for others' too.
pub(super) const ALL_MEMBERS_MAX: usize = 4096;
/// Octets of a reply that is read.
pub(super) const ANSWER_LEN_MAX: usize = 1 << 20;
/// Octets of the introspection data of one object that are announced.
pub(super) const TEXT_LEN_MAX: usize = 64 << 10;
/// The same of one service.
pub(super) const TEXTS_LEN_MAX: usize = 128 << 10;
/// The same of all services together: a tree is one message to who asks for it.
pub(super) const ALL_TEXTS_LEN_MAX: usize = 1 << 20;
/// Octets of one value, as JSON.
pub(super) const VALUE_LEN_MAX: usize = 16 << 10;
/// Signals and settings that wait; above that signals are forgotten and values read anew, and settings
/// are refused.
pub(super) const WAITING_MAX: usize = 4096;
/// Settings of one property that are under way; of further ones the newest waits.
pub(super) const SETTINGS_MAX: usize = 64;
/// Within which a service is to reply.
pub(super) const ANSWER_TIME_MAX: Duration = Duration::from_secs(5);
/// Between two readings of a service whose objects come and go.
pub(super) const CRAWL_PAUSE: Duration = Duration::from_secs(2);
/// What was read of a service longer ago is read anew for a bridge that comes to show it.
pub(super) const CRAWL_AGE_MAX: Duration = Duration::from_secs(10);
/// Between two looks at the signals of services, while no node is there that would receive them.
pub(super) const IDLE_PAUSE: Duration = Duration::from_millis(50);
