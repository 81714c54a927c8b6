//! The names by which DNS tells of peers (`mesh.peers`, `srv:`), looked up as the bridge does.

use futures_util::future::join_all;
use zocp_srv::{LookupError, Records, SrvName, look_up};

use super::finding::Finding;

/// What there is to say of each name.
pub(super) async fn findings(names: &[SrvName]) -> Vec<Finding> {
    let lookups = names
        .iter()
        .map(async |name| finding(name, look_up(name.domain()).await));
    join_all(lookups).await
}

fn finding(name: &SrvName, answer: Result<Records, LookupError>) -> Finding {
    match answer {
        Ok(found) => {
            let hosts = found.records.iter();
            let hosts: Vec<String> = hosts
                .map(|it| format!("{}:{}", it.target.trim_end_matches('.'), it.port))
                .collect();
            Finding::good(CHECK, format!("{name} names {}", hosts.join(", ")))
        }
        Err(LookupError::Missing) => {
            let found = format!("{name} names nobody: DNS has no SRV records of this name");
            let advice = format!(
                "see whether the name in `mesh.peers` is right; `dig SRV {}` shows the records",
                name.domain()
            );
            Finding::warning(CHECK, found).advice(advice)
        }
        Err(error) => {
            let found = format!("{name} cannot be looked up: {error}");
            let advice = "the bridge asks systemd-resolved where it runs, else the name servers of /etc/resolv.conf: see \
                          whether these answer";
            Finding::problem(CHECK, found).advice(advice)
        }
    }
}

const CHECK: &str = "peers by DNS";

#[cfg(test)]
mod tests {
    use super::{super::finding::Verdict, *};

    #[test]
    fn a_name_without_records_is_warned_of_and_one_that_nobody_answers_is_a_problem() {
        let name: SrvName = "srv:_zocp._tcp.venue.example".parse().unwrap();
        let verdict = |answer| finding(&name, answer).verdict;
        assert_eq!(verdict(Ok(Records::default())), Verdict::Good);
        assert_eq!(verdict(Err(LookupError::Missing)), Verdict::Warning);
        let dead = Err(LookupError::Failed("no answer".to_owned()));
        assert_eq!(verdict(dead), Verdict::Problem);
    }
}
