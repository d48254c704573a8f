//! `http_sd`, `dns_sd` and the addresses that may be asked.

use std::net::IpAddr;
use std::sync::Arc;

use url::{Host, Url};

use super::network::{Network, refused};
use super::reader::Reader;
use super::section::Section;
use super::settings::{DnsRecord, DnsSd, HttpSd};

impl Reader<'_> {
    /// An address that is no worker's must be meant.
    pub(super) fn reachable(&mut self, target: &Section, owner: &str, url: &Url, allowed: &[Network]) {
        let ip = match url.host() {
            Some(Host::Ipv4(ip)) => IpAddr::V4(ip),
            Some(Host::Ipv6(ip)) => IpAddr::V6(ip),
            Some(Host::Domain(_)) | None => return,
        };
        if let Some(why) = refused(ip, allowed) {
            let hint = format!("add `allowed_networks: [\"{ip}\"]` to {owner} if it is meant");
            self.say(target.at("url"), format!("no worker is asked at {ip}: {why}"), hint);
        }
    }

    pub(super) fn http_sd(&mut self, section: &Section) -> Option<HttpSd> {
        let access = self.access(section);
        let url = section.find_url("url")?.clone();
        self.reachable(section, "`http_sd`", &url, &access.allowed);
        Some(HttpSd {
            url,
            refresh: section.span("refresh_interval"),
            most: usize::try_from(section.whole("max_targets")).unwrap_or(usize::MAX),
            access: Arc::new(access),
        })
    }

    pub(super) fn dns_sd(&mut self, section: &Section) -> Option<DnsSd> {
        let record = match section.text("type") {
            "SRV" => DnsRecord::Srv,
            "AAAA" => DnsRecord::Aaaa,
            _ => DnsRecord::A,
        };
        if section.has("names") && section.list("names").is_empty() {
            self.say(section.at("names"), "there are no names, so nobody would be found", "add a name");
        }
        let faulty = |name: &str| section.faulty.iter().any(|faulty| faulty == name);
        match (record, section.find_whole("port")) {
            (DnsRecord::Srv, Some(_)) => {
                let hint = "remove it: records of type SRV say the port of each worker";
                self.say(section.at("port"), "\"port\" with records of type SRV", hint);
            }
            (DnsRecord::A | DnsRecord::Aaaa, None) if !faulty("port") && !faulty("type") => {
                let hint = "add `port:`; only records of type SRV say it themselves";
                self.say(section.place.clone(), "`dns_sd` needs the key \"port\"", hint);
            }
            _ => {}
        }
        let server = section.find_text("server").and_then(|text| {
            let parsed = text.parse().ok();
            if parsed.is_none() {
                let hint = "write an address and a port, such as 127.0.0.1:8600";
                self.say(section.at("server"), "\"server\" is not an address with a port", hint);
            }
            parsed
        });
        Some(DnsSd {
            names: section.texts("names").map(str::to_owned).collect(),
            record,
            port: section.find_whole("port").and_then(|port| u16::try_from(port).ok()).unwrap_or_default(),
            refresh: section.span("refresh_interval"),
            server,
        })
    }
}

pub(super) fn networks(section: &Section) -> Vec<Network> {
    section.texts("allowed_networks").filter_map(|text| text.parse().ok()).collect()
}
