//! The pages of one listing, put together. Pure.
//!
//! Pages are no snapshot: a worker may beat, come or go between two of them, so that it stands on two pages or on none.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use temporalio_protos::temporal::api::worker::v1::{WorkerHeartbeat, WorkerListInfo};
use temporalio_protos::temporal::api::workflowservice::v1::ListWorkersResponse;
use verdict::words::Failure;

use super::read::wall;

/// No listing has more pages: at the largest page that is the registry's own limit of a million workers.
const MOST_PAGES: usize = 1000;
/// Pages in a row that bring nobody new while more are promised.
const MOST_BARREN: usize = 2;

/// What is known of one record.
#[derive(Clone, Debug)]
pub(super) enum Record {
    /// Its whole heartbeat.
    Beat(Box<WorkerHeartbeat>),
    /// Only the short record.
    Short(Box<WorkerListInfo>),
}

/// The records so far.
#[derive(Debug, Default)]
pub(super) struct Pages {
    records: BTreeMap<Arc<str>, Record>,
    /// Records without an instance key: nothing to tell them apart by.
    nameless: Vec<Arc<str>>,
    tokens: HashSet<Vec<u8>>,
    pages: usize,
    barren: usize,
}

impl Pages {
    /// Takes in a page; the token of the next one, where there is one.
    pub(super) fn add(&mut self, page: ListWorkersResponse) -> Result<Option<Vec<u8>>, Failure> {
        let before = self.records.len();
        #[expect(deprecated, reason = "the only place where a list carries heartbeats")]
        let long = page.workers_info;
        for beat in long.into_iter().filter_map(|info| info.worker_heartbeat) {
            self.beat(beat);
        }
        for short in page.workers {
            if short.worker_instance_key.is_empty() {
                self.nameless.push(Arc::from(short.worker_identity.as_str()));
            } else {
                self.records
                    .entry(Arc::from(short.worker_instance_key.as_str()))
                    .or_insert_with(|| Record::Short(Box::new(short)));
            }
        }
        self.pages += 1;
        let next = page.next_page_token;
        if next.is_empty() {
            return Ok(None);
        }
        self.barren = if self.records.len() == before { self.barren + 1 } else { 0 };
        if self.pages >= MOST_PAGES || self.barren > MOST_BARREN || !self.tokens.insert(next.clone()) {
            return Err(Failure::Paging);
        }
        Ok(Some(next))
    }

    /// Takes in a heartbeat: of one record, the newest is kept.
    pub(super) fn beat(&mut self, beat: WorkerHeartbeat) {
        if beat.worker_instance_key.is_empty() {
            self.nameless.push(Arc::from(beat.worker_identity.as_str()));
            return;
        }
        let stamp = |beat: &WorkerHeartbeat| beat.heartbeat_time.as_ref().and_then(wall);
        let key = Arc::from(beat.worker_instance_key.as_str());
        match self.records.get(&key) {
            Some(Record::Beat(kept)) if stamp(kept) >= stamp(&beat) => {}
            _ => {
                self.records.insert(key, Record::Beat(Box::new(beat)));
            }
        }
    }

    /// Drops a record that turned out to be gone.
    pub(super) fn gone(&mut self, key: &str) {
        self.records.remove(key);
    }

    /// The records of which only the short form is known.
    pub(super) fn short(&self) -> Vec<Arc<str>> {
        self.records
            .iter()
            .filter(|(_, record)| matches!(record, Record::Short(_)))
            .map(|(key, _)| Arc::clone(key))
            .collect()
    }

    /// All records, in an order that depends on nothing but themselves: queue, then key. Names are given in it.
    pub(super) fn finish(self) -> (Vec<Record>, Vec<Arc<str>>) {
        let mut records: Vec<_> = self.records.into_values().collect();
        records.sort_by(|a, b| a.queue().cmp(b.queue()));
        (records, self.nameless)
    }
}

impl Record {
    fn queue(&self) -> &str {
        match self {
            Self::Beat(beat) => &beat.task_queue,
            Self::Short(short) => &short.task_queue,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

    use prost_wkt_types::Timestamp;
    use temporalio_protos::temporal::api::worker::v1::WorkerInfo;

    use super::*;

    fn beat(key: &str, second: i64) -> WorkerHeartbeat {
        WorkerHeartbeat {
            worker_instance_key: key.to_owned(),
            task_queue: "q".to_owned(),
            heartbeat_time: Some(Timestamp { seconds: second, nanos: 0 }),
            ..WorkerHeartbeat::default()
        }
    }

    #[expect(deprecated, reason = "what a server of today sends")]
    fn page(beats: Vec<WorkerHeartbeat>, next: &str) -> ListWorkersResponse {
        ListWorkersResponse {
            workers_info: beats.into_iter().map(|beat| WorkerInfo { worker_heartbeat: Some(beat) }).collect(),
            next_page_token: next.as_bytes().to_vec(),
            ..ListWorkersResponse::default()
        }
    }

    fn seconds(pages: Pages) -> Vec<(String, i64)> {
        let (records, _) = pages.finish();
        records
            .into_iter()
            .map(|record| match record {
                Record::Beat(beat) => (beat.worker_instance_key, beat.heartbeat_time.unwrap().seconds),
                Record::Short(short) => (short.worker_instance_key, 0),
            })
            .collect()
    }

    #[test]
    fn a_worker_on_two_pages_is_one_and_its_newest_beat_counts() {
        for order in [[10, 12], [12, 10]] {
            let mut pages = Pages::default();
            assert_eq!(pages.add(page(vec![beat("a", order[0])], "a")), Ok(Some(b"a".to_vec())));
            assert_eq!(pages.add(page(vec![beat("a", order[1]), beat("b", 5)], "")), Ok(None));
            assert_eq!(seconds(pages), [("a".to_owned(), 12), ("b".to_owned(), 5)]);
        }
    }

    #[test]
    fn a_token_that_comes_back_ends_the_listing() {
        let mut pages = Pages::default();
        pages.add(page(vec![beat("a", 1)], "again")).unwrap();
        assert_eq!(pages.add(page(vec![beat("b", 1)], "again")), Err(Failure::Paging));
    }

    #[test]
    fn pages_that_bring_nobody_new_end_the_listing() {
        let mut pages = Pages::default();
        let all: Vec<_> = (0..10).map(|n| pages.add(page(vec![beat("a", 1)], &n.to_string()))).collect();
        assert!(all.contains(&Err(Failure::Paging)), "{all:?}");
    }

    #[test]
    fn a_short_record_never_hides_a_heartbeat() {
        let short =
            WorkerListInfo { worker_instance_key: "a".into(), task_queue: "q".into(), ..WorkerListInfo::default() };
        let mut both = page(vec![beat("a", 7)], "");
        both.workers = vec![short.clone(), WorkerListInfo { worker_instance_key: "b".into(), ..short }];
        let mut pages = Pages::default();
        pages.add(both).unwrap();
        assert_eq!(pages.short(), [Arc::from("b")]);
        pages.beat(beat("b", 9));
        assert!(pages.short().is_empty());
        assert_eq!(seconds(pages), [("a".to_owned(), 7), ("b".to_owned(), 9)]);
    }

    #[test]
    fn a_record_without_a_key_is_counted_and_the_others_stand() {
        let mut pages = Pages::default();
        let nameless = WorkerHeartbeat { worker_identity: "1@x".into(), ..beat("", 1) };
        pages.add(page(vec![nameless, beat("a", 1)], "")).unwrap();
        let (records, unreadable) = pages.finish();
        assert_eq!((records.len(), unreadable), (1, vec![Arc::from("1@x")]));
    }
}
