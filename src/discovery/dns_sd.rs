//! Workers by DNS: A and AAAA records with a port, SRV records with theirs.
//!
//! The worker is the address (of SRV the name) and the port. Its URL holds the very address that was checked here, so
//! that a name that changes its mind between the check and the look leads nowhere else.
//!
//! An address that a name has lost is no worker that has left: Kubernetes takes a pod out of DNS for as long as it is
//! not ready. It stays in the list for as long as it accepts connections, and is judged like any other.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use hickory_resolver::TokioResolver;
use hickory_resolver::config::{NameServerConfig, ResolverConfig};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::{RData, RecordType};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;
use url::Url;

use super::{Report, Told};
use crate::config::{Access, DnsRecord, DnsSd, HttpTarget, Network, Targets, refused_to_lists};

/// One name, with all that it leads to.
const DEADLINE: Duration = Duration::from_secs(10);
/// More addresses than these under one name are not workers.
const MOST: usize = 1000;
/// An address that has vanished is tried this often,
const LINGER: Duration = Duration::from_secs(5);
/// and has this long to accept.
const ACCEPT: Duration = Duration::from_secs(2);

/// Where a worker is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    /// `address:port`, of SRV `name:port`.
    id: String,
    socket: SocketAddr,
    /// Its name, for TLS.
    name: Option<String>,
}

/// What a name led to: places, and what was refused.
type Answer = (Vec<Place>, BTreeSet<String>);

/// Asks again and again, and reports each full list.
pub(super) async fn run(source: Targets, sd: DnsSd, report: Report, cancel: CancellationToken) {
    let looked = async {
        let mut told = Told::default();
        let mut good: BTreeMap<String, Vec<Place>> = BTreeMap::new();
        let mut lingering: BTreeSet<Place> = BTreeSet::new();
        loop {
            let before: BTreeSet<Place> = good.values().flatten().cloned().collect();
            let mut outcome = BTreeSet::new();
            for name in &sd.names {
                match tokio::time::timeout(DEADLINE, ask(name, &sd, &source.access.allowed)).await {
                    Ok(Ok((places, refused))) => {
                        outcome.extend(refused);
                        good.insert(name.clone(), places);
                    }
                    Ok(Err(why)) => {
                        outcome.insert(format!("{name:?}: {why}; what it last led to stays in force"));
                    }
                    Err(_elapsed) => {
                        let why = "no answer in time; what it last led to stays in force";
                        outcome.insert(format!("{name:?}: {why}"));
                    }
                }
            }
            told.say(&report.source, "DNS", outcome.into_iter().collect::<Vec<_>>().join("; "));
            let now: BTreeSet<Place> = good.values().flatten().cloned().collect();
            lingering.extend(before);
            let again = tokio::time::Instant::now() + sd.refresh;
            loop {
                lingering = who_accepts(lingering.difference(&now).cloned().collect()).await;
                // A name that has never been resolved is no empty list.
                if good.len() == sd.names.len() || !now.is_empty() {
                    let all = now.iter().chain(&lingering).filter_map(|place| target(place, &source, &report.fleet));
                    if !report.send(all.collect()).await {
                        return;
                    }
                }
                let until = if lingering.is_empty() { again } else { again.min(tokio::time::Instant::now() + LINGER) };
                tokio::time::sleep_until(until).await;
                if until == again {
                    break;
                }
            }
        }
    };
    let _ = cancel.run_until_cancelled(looked).await;
}

/// Those at which something accepts a connection.
async fn who_accepts(places: BTreeSet<Place>) -> BTreeSet<Place> {
    let tried = places.into_iter().map(|place| async {
        let accepted = tokio::time::timeout(ACCEPT, TcpStream::connect(place.socket)).await;
        matches!(accepted, Ok(Ok(_))).then_some(place)
    });
    join_all(tried).await.into_iter().flatten().collect()
}

fn target(place: &Place, source: &Targets, fleet: &Arc<str>) -> Option<HttpTarget> {
    let scheme = if source.https { "https" } else { "http" };
    let url = Url::parse(&format!("{scheme}://{}{}", place.socket, source.path)).ok()?;
    let access = place.name.as_ref().filter(|_| source.https && source.access.tls.server_name.is_none()).map(|name| {
        let mut access = Access::clone(&source.access);
        access.tls.server_name = Some(name.clone());
        Arc::new(access)
    });
    Some(HttpTarget { id: Arc::from(place.id.as_str()), fleet: Arc::clone(fleet), url, access })
}

async fn ask(name: &str, sd: &DnsSd, allowed: &[Network]) -> Result<Answer, String> {
    let resolver = resolver(sd.server).map_err(|error| format!("no resolver: {error}"))?;
    let mut answer = Answer::default();
    // Only whoever asks for this machine by its name means it.
    let bare = name.trim_end_matches('.').to_ascii_lowercase();
    let local = bare == "localhost" || bare.ends_with(".localhost");
    let mut take = |ip: IpAddr, port: u16, host: Option<&str>| match refused_to_lists(ip, allowed) {
        Some(why) if !(local && ip.is_loopback()) => {
            let hint = "allow it with `allowed_networks` if it is meant";
            answer.1.insert(format!("{name:?} leads to {ip}, which is refused: {why}; {hint}"));
            false
        }
        _ => {
            let socket = SocketAddr::new(ip, port);
            let id = host.map_or_else(|| socket.to_string(), |host| format!("{host}:{port}"));
            answer.0.push(Place { id, socket, name: host.map(str::to_owned) });
            true
        }
    };
    match sd.record {
        DnsRecord::A | DnsRecord::Aaaa => {
            let kind = if sd.record == DnsRecord::A { RecordType::A } else { RecordType::AAAA };
            for ip in addresses(&resolver, name, kind).await? {
                take(ip, sd.port, None);
            }
        }
        DnsRecord::Srv => {
            for (host, port) in services(&resolver, name).await? {
                let mut found = addresses(&resolver, &format!("{host}."), RecordType::A).await?;
                if found.is_empty() {
                    found = addresses(&resolver, &format!("{host}."), RecordType::AAAA).await?;
                }
                // In one order, so that a name with several addresses stays at the same.
                found.sort();
                for ip in found {
                    if take(ip, port, Some(&host)) {
                        break;
                    }
                }
            }
        }
    }
    if answer.0.len() > MOST {
        return Err(format!("it leads to {} addresses, more than {MOST}", answer.0.len()));
    }
    Ok(answer)
}

/// Made anew each time, since the system's configuration may have changed; and so it remembers nothing.
fn resolver(server: Option<SocketAddr>) -> Result<TokioResolver, NetError> {
    let mut builder = match server {
        Some(server) => {
            let mut config = NameServerConfig::udp_and_tcp(server.ip());
            config.connections.iter_mut().for_each(|connection| connection.port = server.port());
            let config = ResolverConfig::from_parts(None, Vec::new(), vec![config]);
            TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
        }
        None => TokioResolver::builder_tokio()?,
    };
    builder.options_mut().timeout = Duration::from_secs(3);
    builder.build()
}

/// No such name and no such record are an answer: nobody.
async fn records(resolver: &TokioResolver, name: &str, kind: RecordType) -> Result<Vec<RData>, String> {
    match resolver.lookup(name, kind).await {
        Ok(lookup) => Ok(lookup.answers().iter().map(|record| record.data.clone()).collect()),
        Err(error) if is_nobody(&error) => Ok(Vec::new()),
        Err(error) => Err(error.to_string()),
    }
}

/// A server that fails says that it found no records, too; only its code tells.
fn is_nobody(error: &NetError) -> bool {
    matches!(error, NetError::Dns(DnsError::NoRecordsFound(nothing))
        if matches!(nothing.response_code, ResponseCode::NXDomain | ResponseCode::NoError))
}

async fn addresses(resolver: &TokioResolver, name: &str, kind: RecordType) -> Result<Vec<IpAddr>, String> {
    let found = records(resolver, name, kind).await?;
    Ok(found
        .into_iter()
        .filter_map(|data| match data {
            RData::A(a) => Some(IpAddr::V4(a.0)),
            RData::AAAA(aaaa) => Some(IpAddr::V6(aaaa.0)),
            _ => None,
        })
        .collect())
}

async fn services(resolver: &TokioResolver, name: &str) -> Result<Vec<(String, u16)>, String> {
    let found = records(resolver, name, RecordType::SRV).await?;
    let service = |data| match data {
        // A target of "." says that the service is not offered.
        RData::SRV(srv) if !srv.target.is_root() => {
            Some((srv.target.to_utf8().trim_end_matches('.').to_ascii_lowercase(), srv.port))
        }
        _ => None,
    };
    Ok(found.into_iter().filter_map(service).take(MOST).collect())
}
