//! A server of the future: fields and values that no message of today has, on the wire. The server here is a FAKE, because
//! there is no such server; see `support/temporal_fake.rs`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, deprecated, reason = "a test fails by panicking")]

#[path = "support/log.rs"]
mod log;
#[path = "support/temporal_fake.rs"]
#[allow(dead_code, reason = "each test file uses its part")]
mod temporal_fake;
#[path = "support/temporal_source.rs"]
mod temporal_source;

use std::time::Duration;

use prost_wkt_types::Timestamp;
use temporal_fake::{FakeTemporal, Reply, Script, namespace};
use temporal_source::source;
use temporalio_protos::temporal::api::namespace::v1::namespace_info::Capabilities;
use temporalio_protos::temporal::api::taskqueue::v1::{PollerInfo, TaskQueueStats};
use temporalio_protos::temporal::api::worker::v1::{WorkerHeartbeat, WorkerSlotsInfo};
use temporalio_protos::temporal::api::workflowservice::v1::{DescribeTaskQueueResponse, GetSystemInfoResponse};
use tonic_prost::prost::Message;
use tonic_prost::prost::encoding::{WireType, encode_key, encode_varint};
use verdict::evidence::{QueueKey, Report, Scope};
use verdict::words::TaskType;
use worker_exporter::config;
use worker_exporter::observe::Observe;

/// Whether a server sends what is not known today.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Server {
    Today,
    Future,
}

impl Server {
    /// Fields of every kind with numbers that nobody uses: a number, a text, a message, four bytes, eight, and a group.
    fn strange(self) -> Vec<u8> {
        let mut bytes = Vec::new();
        if self == Self::Today {
            return bytes;
        }
        encode_key(1000, WireType::Varint, &mut bytes);
        encode_varint(u64::MAX, &mut bytes);
        bytes.extend(field(1001, &[0xff, 0x00, 0xfe]));
        bytes.extend(field(1002, &field(1, &field(1, b"deep"))));
        encode_key(1003, WireType::ThirtyTwoBit, &mut bytes);
        bytes.extend([0xff; 4]);
        encode_key(1004, WireType::SixtyFourBit, &mut bytes);
        bytes.extend([0xff; 8]);
        encode_key(1005, WireType::StartGroup, &mut bytes);
        bytes.extend(field(1, b"within a group"));
        encode_key(1005, WireType::EndGroup, &mut bytes);
        encode_key(536_870_911, WireType::Varint, &mut bytes);
        encode_varint(0, &mut bytes);
        bytes
    }

    /// The message, with strange fields in it, and in the message under each of these numbers: parts of one field are one
    /// message to whoever reads them.
    fn with(self, message: &impl Message, nested: &[u32]) -> Vec<u8> {
        let mut bytes = self.strange();
        bytes.extend(message.encode_to_vec());
        if self == Self::Future {
            nested.iter().for_each(|number| bytes.extend(field(*number, &self.strange())));
        }
        bytes.extend(self.strange());
        bytes
    }

    /// An enum.
    fn value(self) -> i32 {
        match self {
            Self::Today => 1,
            Self::Future => 99,
        }
    }

    fn script(self) -> Script {
        let described = namespace(Capabilities { worker_heartbeats: true, ..<_>::default() });
        let capabilities = field(7, &self.strange());
        let namespace = [self.with(&described, &[1, 2]), field(1, &capabilities)].concat();
        let system = GetSystemInfoResponse { server_version: "1.32.0".into(), ..<_>::default() };
        let system = self.with(&system, &[2]);
        let workers = ["a", "b"].map(|key| field(1, &[field(1, &self.heartbeat(key)), self.strange()].concat()));
        let list = [self.strange(), workers.concat(), self.strange()].concat();
        let queue = self.queue();
        Script::default()
            .namespace(move |_| Reply::Bytes(namespace.clone()))
            .system(move |_| Reply::Bytes(system.clone()))
            .list(move |_| Reply::Bytes(list.clone()))
            .queue(move |_| Reply::Bytes(queue.clone()))
    }

    fn heartbeat(self, key: &str) -> Vec<u8> {
        let slots = || Some(WorkerSlotsInfo { current_available_slots: 4, total_processed_tasks: 7, ..<_>::default() });
        let beat = WorkerHeartbeat {
            worker_instance_key: key.into(),
            worker_identity: format!("w-{key}"),
            task_queue: "orders".into(),
            status: self.value(),
            sdk_name: "temporal-python".into(),
            start_time: Some(stamp(-60)),
            heartbeat_time: Some(stamp(0)),
            workflow_task_slots_info: slots(),
            activity_task_slots_info: slots(),
            ..<_>::default()
        };
        // Host, start, beat, slots.
        self.with(&beat, &[3, 9, 10, 12, 13])
    }

    fn queue(self) -> Vec<u8> {
        let poller = PollerInfo { identity: "w-a".into(), last_access_time: Some(stamp(0)), ..<_>::default() };
        let mut mode = Vec::new();
        // Its options, which have an enum.
        encode_key(3, WireType::Varint, &mut mode);
        encode_varint(u64::from(self.value().unsigned_abs()), &mut mode);
        let poller = [self.with(&poller, &[1]), field(5, &[self.strange(), mode].concat())].concat();
        let stats = TaskQueueStats { approximate_backlog_count: 3, tasks_add_rate: 0.5, ..<_>::default() };
        let answer = DescribeTaskQueueResponse { stats: Some(stats), ..<_>::default() };
        // Statistics, and what limits the rate.
        [field(1, &poller), self.with(&answer, &[5, 7])].concat()
    }
}

fn stamp(second: i64) -> Timestamp {
    Timestamp { seconds: 1_700_000_000 + second, nanos: 0 }
}

fn field(number: u32, bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    encode_key(number, WireType::LengthDelimited, &mut out);
    encode_varint(bytes.len() as u64, &mut out);
    out.extend(bytes);
    out
}

#[tokio::test]
async fn fields_and_values_that_are_not_known_today_change_nothing_in_what_is_read_wherever_they_stand() {
    let log = log::Log::default();
    let _guard = log.listen();
    let mut read = Vec::new();
    for server in [Server::Today, Server::Future] {
        let fake = FakeTemporal::start(server.script()).await;
        let settings = config::TemporalSource {
            address: fake.address.to_string(),
            namespace: "orders-prod".into(),
            api_key: None,
            tls: None,
            metadata: Vec::new(),
            task_queues: Vec::new(),
            requests_per_second: 100.0,
            timed_out_workflows: false,
        };
        let source = source(&settings, Duration::from_secs(10));
        let Report::Listing(listing) = source.look(&Scope::Listing).await.unwrap() else { panic!("no listing") };
        let records: Vec<_> = listing.records.iter().map(|record| &*record.record).collect();
        assert_eq!((records, listing.heartbeats), (vec!["a", "b"], true));
        assert!(listing.unreadable.is_empty(), "{:?}", listing.unreadable);
        assert!(listing.records.iter().all(|record| record.types.len() == 2 && !record.says.goodbye));
        let key = QueueKey {
            source: "temporal".into(),
            namespace: "orders-prod".into(),
            task_queue: "orders".into(),
            task_type: TaskType::Activity,
        };
        let Report::Queue(queue) = source.look(&Scope::Queue(key)).await.unwrap() else { panic!("no queue") };
        assert_eq!((queue.backlog, queue.pollers.len(), queue.rate_limited), (Some(3), 1, Some(false)));
        read.push(format!("{listing:#?}{queue:#?}"));
    }
    assert_eq!(read[0], read[1], "the same, field for field");
    assert!(!log.text().contains("WARN"), "{}", log.text());
}
