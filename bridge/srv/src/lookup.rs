//! Asks for the SRV records of a name.
//!
//! Model: systemd-resolved is asked where it runs, since it knows which name server is for which network; else the name
//! servers of /etc/resolv.conf, which is read again each time. The answer of either is complete or an error.
//! Limits: [`LOOKUP_MAX`] for both.
//! Spec: RFC 2782; RFC 2308 for what does not exist.

use std::time::Duration;

use hickory_resolver::{
    TokioResolver,
    net::{DnsError, NetError},
    proto::rr::{Name, RData},
};
use tokio::time::timeout;

use crate::{
    records::{LookupError, Records, SrvRecord},
    resolved,
};

/// Asks for the records of a name.
///
/// # Errors
/// There are none, or nobody answers within [`LOOKUP_MAX`].
pub async fn look_up(domain: &str) -> Result<Records, LookupError> {
    let looking = async {
        match resolved::look_up(domain).await {
            Some(answer) => answer,
            None => ask_name_servers(domain).await,
        }
    };
    in_time(looking).await
}

async fn in_time(
    looking: impl Future<Output = Result<Records, LookupError>>,
) -> Result<Records, LookupError> {
    let silent = |_| LookupError::Failed(format!("no answer within {} s", LOOKUP_MAX.as_secs()));
    timeout(LOOKUP_MAX, looking).await.map_err(silent)?
}

async fn ask_name_servers(domain: &str) -> Result<Records, LookupError> {
    let mut builder = TokioResolver::builder_tokio()
        .map_err(|error| LookupError::Failed(format!("/etc/resolv.conf: {error}")))?;
    builder.options_mut().cache_size = 0;
    let resolver = builder.build().map_err(failed)?;
    // With a dot behind it no domain of the search list is tried.
    let name = Name::from_ascii(format!("{domain}."));
    let name = name.map_err(|error| LookupError::Failed(error.to_string()))?;
    let lookup = resolver.srv_lookup(name).await.map_err(failed)?;
    let mut found = Records::default();
    for record in lookup.answers() {
        if let RData::SRV(srv) = &record.data {
            found.records.push(SrvRecord {
                priority: srv.priority,
                weight: srv.weight,
                target: srv.target.to_ascii(),
                port: srv.port,
            });
            let holds = Duration::from_secs(record.ttl.into());
            found.holds = Some(found.holds.map_or(holds, |least| least.min(holds)));
        }
    }
    match found.records.is_empty() {
        true => Err(LookupError::Missing),
        false => Ok(found),
    }
}

fn failed(error: NetError) -> LookupError {
    match error {
        NetError::Dns(DnsError::NoRecordsFound(none)) if is_negative(none.response_code) => {
            LookupError::Missing
        }
        error => LookupError::Failed(error.to_string()),
    }
}

/// Whether a name server answered that there is nothing, rather than that it cannot say.
fn is_negative(code: hickory_resolver::proto::op::ResponseCode) -> bool {
    use hickory_resolver::proto::op::ResponseCode;
    matches!(code, ResponseCode::NoError | ResponseCode::NXDomain)
}

/// For an answer, with the further attempts of the resolver.
pub const LOOKUP_MAX: Duration = Duration::from_secs(20);

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_lookup_that_takes_too_long_has_failed() {
        let failed = in_time(std::future::pending()).await;
        assert_eq!(
            failed,
            Err(LookupError::Failed("no answer within 20 s".to_owned()))
        );
        assert_eq!(
            in_time(async { Err(LookupError::Missing) }).await,
            Err(LookupError::Missing)
        );
    }
}
