//! Real redis-servers that belong together: nodes of a cluster whose slots move, and a Sentinel that is taken for one.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]
#![allow(clippy::print_stderr, reason = "a skip must be seen")]

#[path = "support/beats.rs"]
mod beats;
#[path = "support/log.rs"]
mod log;
#[path = "support/redis.rs"]
mod server;

use std::time::{Duration, Instant};

use beats::{look, plain, source};
use server::{RedisServer, free_port};
use verdict::evidence::Listing;
use verdict::words::Failure;
use worker_exporter::config::{self, Secret};

/// Nodes that know each other. The first has the lower half of the slots, the second the upper.
struct Cluster {
    nodes: Vec<RedisServer>,
    _folders: Vec<tempfile::TempDir>,
}

impl Cluster {
    /// Two masters, and as many that have no slots.
    async fn start(more: usize) -> Option<Self> {
        let mut cluster = Self { nodes: Vec::new(), _folders: Vec::new() };
        let mut buses = Vec::new();
        for _ in 0..2 + more {
            let (folder, bus) = (tempfile::tempdir().unwrap(), free_port().to_string());
            let place = folder.path().display().to_string();
            let node = ["--cluster-enabled", "yes", "--cluster-port", &bus, "--dir", &place];
            cluster.nodes.push(RedisServer::start(&[&node[..], &["--repl-diskless-sync-delay", "0"]].concat())?);
            cluster._folders.push(folder);
            buses.push(bus);
        }
        for (node, range) in cluster.nodes.iter().zip([["0", "8191"], ["8192", "16383"]]) {
            node.run::<(), _>("CLUSTER", &[&["ADDSLOTSRANGE"], &range[..]].concat());
        }
        let first = &cluster.nodes[0];
        for (node, bus) in cluster.nodes.iter().zip(&buses).skip(1) {
            first.run::<(), _>("CLUSTER", &["MEET", "127.0.0.1", &node.port.to_string(), bus]);
        }
        let all = format!("cluster_known_nodes:{}", 2 + more);
        let ready = |node: &RedisServer| {
            let info: String = node.run("CLUSTER", &["INFO"]);
            info.contains("cluster_state:ok") && info.contains(&all) && info.contains("cluster_size:2")
        };
        wait("the cluster to be up", || cluster.nodes.iter().all(ready)).await;
        Some(cluster)
    }

    fn slot_of(&self, id: &str) -> u32 {
        self.nodes[0].run("CLUSTER", &["KEYSLOT", &key(id)])
    }

    fn id(&self, node: usize) -> String {
        self.nodes[node].run("CLUSTER", &["MYID"])
    }

    /// The slot begins to move from the first node to the second, with no key on its way yet.
    fn begin(&self, slot: &str) {
        self.nodes[1].run::<(), _>("CLUSTER", &["SETSLOT", slot, "IMPORTING", &self.id(0)]);
        self.nodes[0].run::<(), _>("CLUSTER", &["SETSLOT", slot, "MIGRATING", &self.id(1)]);
    }

    fn migrate(&self, key: &str) {
        let port = self.nodes[1].port.to_string();
        self.nodes[0].run::<(), _>("MIGRATE", &["127.0.0.1", &port, key, "0", "5000"]);
    }

    /// The second node has it.
    fn end(&self, slot: &str) {
        for node in [1, 0] {
            self.nodes[node].run::<(), _>("CLUSTER", &["SETSLOT", slot, "NODE", &self.id(1)]);
        }
    }
}

async fn wait(what: &str, is: impl Fn() -> bool) {
    let give_up = Instant::now() + Duration::from_secs(30);
    while !is() {
        assert!(Instant::now() < give_up, "waited in vain for {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn key(id: &str) -> String {
    format!("worker:{id}:heartbeat")
}

/// An id whose key has its slot in the half of this node, within these braces.
fn of_node(cluster: &Cluster, node: u32, braces: &str) -> String {
    let (open, close) = braces.split_at(braces.len() / 2);
    (0..).map(|n| format!("{open}w{n}{close}")).find(|id| cluster.slot_of(id) / 8192 == node).unwrap()
}

fn ids(listing: &Listing) -> Vec<String> {
    let mut ids: Vec<_> = listing.records.iter().map(|record| record.slot.key.worker.to_string()).collect();
    ids.sort();
    ids
}

fn moved(listing: &Listing) -> Vec<String> {
    let mut moved: Vec<_> = listing.moved.iter().map(ToString::to_string).collect();
    moved.sort();
    moved
}

fn lines(log: &log::Log, of: &str) -> Vec<String> {
    log.text().lines().filter(|line| line.contains(of) && !line.contains("DEBUG")).map(str::to_owned).collect()
}

#[tokio::test]
async fn a_heartbeat_whose_slot_moves_is_seen_at_one_node_or_the_other_and_is_nowhere_said_to_be_gone() {
    let Some(cluster) = Cluster::start(0).await else { return };
    let (here, there) = (of_node(&cluster, 0, ""), of_node(&cluster, 1, ""));
    // Braces keep them in one slot.
    let [first, second] = ["1", "2"].map(|n| format!("{}{n}", of_node(&cluster, 0, "{}")));
    let slot = cluster.slot_of(&first).to_string();
    for (node, id) in [(0, &here), (0, &first), (0, &second), (1, &there)] {
        cluster.nodes[node].set(key(id), "1", &["EX", "60"]);
    }
    let log = log::Log::default();
    let _guard = log.listen();
    let sources = [0, 1].map(|n| source(plain(cluster.nodes[n].url(0))));
    let both = async || {
        let (old, new) = (look(&sources[0]).await.unwrap(), look(&sources[1]).await.unwrap());
        assert!(!old.reset && !new.reset && old.unreadable.is_empty() && new.unreadable.is_empty());
        assert!(old.records.iter().chain(&new.records).all(|record| record.expires_in.is_some()));
        [(ids(&old), moved(&old)), (ids(&new), moved(&new))]
    };
    let before = [(vec![here.clone(), first.clone(), second.clone()], vec![]), (vec![there.clone()], vec![])];
    let sorted = |mut sides: [(Vec<String>, Vec<String>); 2]| {
        sides.iter_mut().for_each(|(ids, _)| ids.sort());
        sides
    };
    assert_eq!(both().await, sorted(before.clone()));

    cluster.begin(&slot);
    assert_eq!(both().await, sorted(before), "nothing has moved yet");
    cluster.migrate(&key(&first));
    let half_way =
        [(vec![here.clone(), second.clone()], vec![key(&first)]), (vec![there.clone(), first.clone()], vec![])];
    assert_eq!(both().await, sorted(half_way), "one is on its way: ASK here, MOVED there");
    cluster.migrate(&key(&second));
    cluster.end(&slot);
    let after =
        [(vec![here.clone()], vec![key(&second)]), (vec![there.clone(), first.clone(), second.clone()], vec![])];
    assert_eq!(both().await, sorted(after), "MOVED here");

    // A worker of a slot that is still here leaves like any other.
    cluster.nodes[0].run::<i64, _>("DEL", &[key(&here)]);
    let [old, _] = both().await;
    assert_eq!(old, (vec![], vec![]), "deleted, and not moved");

    assert_eq!(lines(&log, "could not be read"), Vec::<String>::new());
    let told = lines(&log, "this is one node of a cluster");
    assert_eq!(told.len(), 2, "each source once: {told:#?}");
    let told = lines(&log, "heartbeats moved to another node");
    assert!(matches!(&told[..], [line] if line.contains("source=\"beats\"")), "{told:#?}");
}

#[tokio::test]
async fn what_comes_may_be_read_only_once_it_is_there_where_asking_is_not_allowed() {
    let Some(cluster) = Cluster::start(0).await else { return };
    let here = of_node(&cluster, 0, "");
    let slot = cluster.slot_of(&here).to_string();
    cluster.nodes[0].set(key(&here), "1", &[]);
    let few = ["SETUSER", "few", "on", ">pw", "~worker:*", "+scan", "+getrange", "+pttl", "+info"];
    cluster.nodes[1].run::<(), _>("ACL", &few);
    let new = source(with_password("few", plain(cluster.nodes[1].url(0))));
    look(&new).await.unwrap();
    cluster.begin(&slot);
    cluster.migrate(&key(&here));
    assert_eq!(look(&new).await.unwrap_err(), Failure::ClusterDown, "all that it lists is not served here");
    let there = of_node(&cluster, 1, "");
    cluster.nodes[1].set(key(&there), "1", &[]);
    assert_eq!(ids(&look(&new).await.unwrap()).join(" "), there, "one spoils no other");
    cluster.end(&slot);
    let mut both = [here, there];
    both.sort();
    assert_eq!(ids(&look(&new).await.unwrap()), both);
}

#[tokio::test]
async fn a_replica_in_a_cluster_is_read_like_its_master_and_is_no_empty_list_where_it_may_not() {
    let Some(cluster) = Cluster::start(1).await else { return };
    let here = of_node(&cluster, 0, "");
    cluster.nodes[0].set(key(&here), "1", &[]);
    let replica = &cluster.nodes[2];
    replica.run::<(), _>("CLUSTER", &["REPLICATE", &cluster.id(0)]);
    let linked = || replica.run::<String, _>("INFO", &["replication"]).contains("master_link_status:up");
    wait("the replica to follow", linked).await;
    let allowed = source(plain(replica.url(0)));
    for _ in 0..2 {
        assert_eq!(ids(&look(&allowed).await.unwrap()).join(" "), here);
    }
    let few = ["SETUSER", "few", "on", ">pw", "~worker:*", "+scan", "+getrange", "+pttl", "+info", "+cluster|info"];
    replica.run::<(), _>("ACL", &few);
    let refused = source(with_password("few", plain(replica.url(0))));
    assert_eq!(look(&refused).await.unwrap_err(), Failure::ClusterDown);
}

fn with_password(username: &str, server: config::RedisServer) -> config::RedisServer {
    config::RedisServer { username: Some(username.to_owned()), password: Some(Secret::held("pw")), ..server }
}

#[tokio::test]
async fn a_sentinel_that_is_taken_for_a_server_says_what_address_to_give_instead() {
    let Some(master) = RedisServer::start(&[]) else { return };
    master.set(key("a"), "1", &[]);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("sentinel.conf");
    std::fs::write(&file, format!("sentinel monitor jobs 127.0.0.1 {} 1\n", master.port)).unwrap();
    let Some(sentinel) = RedisServer::start_with(Some(file.to_str().unwrap()), &["--sentinel"]) else { return };
    let well = source(plain(master.url(0)));
    // As it is, for another database, and with the password of the servers that it watches: it has none of its own.
    let password = config::RedisServer { password: Some(Secret::held("s3cret")), ..plain(sentinel.url(0)) };
    for server in [plain(sentinel.url(0)), plain(sentinel.url(2)), password] {
        let log = log::Log::default();
        let _guard = log.listen();
        let mistaken = source(server);
        for _ in 0..3 {
            assert_eq!(look(&mistaken).await.unwrap_err(), Failure::Unimplemented);
            assert_eq!(ids(&look(&well).await.unwrap()), ["a"]);
        }
        let told = lines(&log, "Redis could not be read");
        assert_eq!(told.len(), 1, "{told:#?}");
        for part in ["WARN", "reason=\"unimplemented\"", "this is a Sentinel", "give the address of the master"] {
            assert!(told[0].contains(part), "{part}: {told:#?}");
        }
        assert!(!log.text().contains("s3cret"), "{}", log.text());
    }
}
