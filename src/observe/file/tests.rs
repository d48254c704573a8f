//! On a real file system: what may lie where a heartbeat file should.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::time::SystemTime;

use rustix::fs::{FileType, Mode, mknodat};
use tempfile::TempDir;
use verdict::time::WallTime;

use super::sight::trouble;
use super::*;

/// Far more than any of this takes: what hangs runs into it and fails.
const LONG: Duration = Duration::from_secs(20);
const NOON: u64 = 1_764_000_000;

fn source(paths: &[PathBuf], files: Vec<HeartbeatFile>) -> FileSource {
    let detail = config::FileSource { paths: paths.to_vec(), files };
    let source = config::Source {
        name: "beats".into(),
        fleet: None,
        timeout: LONG,
        minimum_interval: Duration::from_secs(2),
        maximum_interval: Duration::from_secs(30),
        match_host_pid: false,
        detail: config::Detail::File(detail.clone()),
    };
    FileSource::new(&source, &detail)
}

fn watching(folder: &TempDir, pattern: &str) -> FileSource {
    source(&[folder.path().join(pattern)], Vec::new())
}

fn named(id: &str, path: PathBuf) -> HeartbeatFile {
    HeartbeatFile { id: id.into(), fleet: "beats".into(), path }
}

async fn list(source: &FileSource) -> Result<Listing, Failure> {
    match source.look(&Scope::Listing).await? {
        Report::Listing(listing) => Ok(listing),
        other => panic!("{other:?}"),
    }
}

/// The beat of each worker.
async fn beats(source: &FileSource) -> BTreeMap<String, Beat> {
    let records = list(source).await.unwrap().records;
    records.into_iter().map(|record| (record.slot.key.worker.to_string(), record.beat.unwrap())).collect()
}

async fn ids(source: &FileSource) -> Vec<String> {
    beats(source).await.into_keys().collect()
}

async fn unreadable(source: &FileSource) -> Vec<Failure> {
    list(source).await.unwrap().unreadable.into_iter().map(|(_, failure)| failure).collect()
}

fn touch(path: &Path, seconds: u64) {
    let file = File::options().append(true).create(true).open(path).unwrap();
    file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)).unwrap();
}

fn pipe(path: &Path) {
    mknodat(rustix::fs::CWD, path, FileType::Fifo, Mode::RWXU, 0).unwrap();
}

#[tokio::test]
async fn a_touched_file_and_a_written_one_beat_and_one_that_stands_still_does_not() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let source = watching(&folder, "{id}.beat");
    for name in ["touched.beat", "written.beat", "still.beat"] {
        touch(&path(name), NOON);
    }
    let before = beats(&source).await;
    touch(&path("touched.beat"), NOON + 1);
    fs::write(path("written.beat"), "1").unwrap();
    touch(&path("written.beat"), NOON);
    let after = beats(&source).await;
    let moved = |id: &str| before[id].mark != after[id].mark;
    assert_eq!((moved("touched"), moved("written"), moved("still")), (true, true, false));
    assert_eq!(after["still"].stamp, Some(WallTime::from_micros(1_764_000_000_000_000)));
}

#[tokio::test]
async fn pipes_folders_devices_and_links_to_them_never_hang_a_look_and_the_others_stand() {
    let folder = tempfile::tempdir().unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    pipe(&path("pipe"));
    pipe(&elsewhere.path().join("pipe"));
    symlink("pipe", path("to-a-pipe")).unwrap();
    symlink(elsewhere.path().join("pipe"), path("to-a-pipe-outside")).unwrap();
    symlink("/dev/zero", path("to-a-device")).unwrap();
    symlink("circle", path("circle")).unwrap();
    symlink("nowhere", path("to-nothing")).unwrap();
    fs::create_dir(path("folder")).unwrap();
    touch(&path("worker"), NOON);
    let source = watching(&folder, "{id}");
    let listing = tokio::time::timeout(LONG / 2, list(&source)).await.unwrap().unwrap();
    let found: Vec<_> = listing.records.iter().map(|record| &*record.slot.key.worker).collect();
    assert_eq!(found, ["worker"]);
    let mut why: Vec<_> =
        listing.unreadable.iter().map(|(path, why)| (path.rsplit('/').next().unwrap(), *why)).collect();
    why.sort_unstable();
    let (wrong, outside) = (Failure::WrongType, Failure::PermissionDenied);
    assert_eq!(
        why,
        [
            ("circle", wrong),
            ("folder", wrong),
            ("pipe", wrong),
            ("to-a-device", outside),
            ("to-a-pipe", wrong),
            ("to-a-pipe-outside", outside)
        ]
    );
}

#[tokio::test]
async fn a_named_file_may_be_a_link_to_anywhere_and_still_no_pipe_and_no_device() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    touch(&path("real"), NOON);
    pipe(&path("pipe"));
    for (link, to) in [("a", "real"), ("b", "pipe"), ("c", "/dev/zero"), ("d", "real")] {
        symlink(to, path(link)).unwrap();
    }
    let files = ["a", "b", "c", "d"].map(|id| named(id, path(id))).to_vec();
    let source = source(&[], files);
    assert_eq!(ids(&source).await, ["a", "d"]);
    assert_eq!(unreadable(&source).await, [Failure::WrongType; 2]);
}

#[tokio::test]
async fn the_links_of_a_kubernetes_volume_lead_to_the_file_and_a_swap_of_them_is_a_beat() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    for (version, content) in [("..2026_01", "1764000000"), ("..2026_02", "1764000010")] {
        fs::create_dir(path(version)).unwrap();
        fs::write(path(version).join("mail-7"), content).unwrap();
    }
    symlink("..2026_01", path("..data")).unwrap();
    symlink("..data/mail-7", path("mail-7")).unwrap();
    let source = watching(&folder, "{id}");
    let before = beats(&source).await;
    symlink("..2026_02", path("..next")).unwrap();
    fs::rename(path("..next"), path("..data")).unwrap();
    let after = beats(&source).await;
    assert_eq!(after.keys().collect::<Vec<_>>(), ["mail-7"]);
    assert_ne!(before["mail-7"].mark, after["mail-7"].mark);
    assert_eq!(after["mail-7"].stamp, Some(WallTime::from_micros(1_764_000_010_000_000)));
}

#[tokio::test]
async fn a_huge_file_is_not_read_and_beats_by_its_modification_time() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("worker");
    File::create(&path).unwrap().set_len(1 << 40).unwrap();
    touch(&path, NOON);
    let source = watching(&folder, "{id}");
    let before = list(&source).await.unwrap();
    assert_eq!(before.records[0].says.unreadable, Some(Failure::BodyTooLarge));
    touch(&path, NOON + 1);
    assert_ne!(before.records[0].beat.unwrap().mark, beats(&source).await["worker"].mark);
}

#[tokio::test]
async fn a_file_that_vanishes_leaves_the_list_and_a_named_worker_stays_with_an_empty_place() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    touch(&path("found"), NOON);
    touch(&path("named"), NOON);
    let files = vec![named("named", path("named")), named("never", path("never/there"))];
    let source = source(&[path("{id}")], files);
    assert_eq!(ids(&source).await, ["found", "named", "never"]);
    fs::remove_file(path("found")).unwrap();
    fs::remove_file(path("named")).unwrap();
    let after = beats(&source).await;
    assert_eq!(after.keys().collect::<Vec<_>>(), ["named", "never"]);
    assert!(after.values().all(|beat| beat.mark.is_none()), "{after:?}");
}

#[tokio::test]
async fn a_folder_that_is_not_there_fails_the_look_and_is_no_empty_list() {
    let folder = tempfile::tempdir().unwrap();
    let source = watching(&folder, "volume/{id}");
    assert_eq!(list(&source).await.map(|_| ()), Err(Failure::NotFound));
    fs::create_dir(folder.path().join("volume")).unwrap();
    assert_eq!(ids(&source).await, Vec::<String>::new());
}

#[tokio::test]
async fn a_wildcard_stands_for_one_folder_and_of_two_files_of_one_id_the_later_is_the_worker() {
    let folder = tempfile::tempdir().unwrap();
    for (pod, at) in [("old", NOON), ("new", NOON + 60)] {
        fs::create_dir_all(folder.path().join(pod).join("beats")).unwrap();
        touch(&folder.path().join(pod).join("beats/mail-7.beat"), at);
    }
    touch(&folder.path().join("a-file"), NOON);
    let source = watching(&folder, "*/beats/{id}.beat");
    let records = list(&source).await.unwrap().records;
    let found: Vec<_> =
        records.iter().map(|r| (&*r.slot.key.worker, r.record.ends_with("new/beats/mail-7.beat"))).collect();
    assert_eq!(found, [("mail-7", true)]);
}

#[tokio::test]
async fn a_named_worker_is_no_leftover_however_old_its_file_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("beat");
    touch(&path, NOON);
    let source = source(&[], vec![named("w", path.clone())]);
    assert_eq!((beats(&source).await["w"].stamp, beats(&source).await["w"].stamp), (None, None));
    touch(&path, NOON + 10);
    assert_eq!(beats(&source).await["w"].stamp, Some(WallTime::from_micros(1_764_000_010_000_000)));
    assert!(beats(&source).await["w"].stamp.is_some());
}

#[tokio::test]
async fn files_come_and_go_while_we_look_and_nothing_breaks() {
    let folder = tempfile::tempdir().unwrap();
    touch(&folder.path().join("steady"), NOON);
    let source = watching(&folder, "{id}");
    let (stop, path) = (Arc::new(std::sync::atomic::AtomicBool::new(false)), folder.path().join("fleeting"));
    let over = Arc::clone(&stop);
    let worker = std::thread::spawn(move || {
        while !over.load(std::sync::atomic::Ordering::SeqCst) {
            let _ = fs::write(&path, "1");
            let _ = fs::remove_file(&path);
            let _ = fs::create_dir(&path);
            let _ = fs::remove_dir(&path);
        }
    });
    for _ in 0..300 {
        assert!(ids(&source).await.contains(&"steady".to_owned()));
    }
    stop.store(true, std::sync::atomic::Ordering::SeqCst);
    worker.join().unwrap();
}

#[test]
fn whose_trouble_an_error_is() {
    let of = |code: i32| match trouble(Path::new("/x"), &std::io::Error::from_raw_os_error(code)) {
        Trouble::Absent => "absent",
        Trouble::NotAHeartbeat(failure, _) | Trouble::Failed(failure, _) => failure.word(),
    };
    // ENOENT, ENOTDIR, EACCES, ELOOP (a real one is above), EMFILE, ENFILE, EIO, ESTALE, ENOTCONN of a dead FUSE.
    let codes = [2, 20, 13, 40, 24, 23, 5, 116, 107];
    let words = codes.map(of);
    assert_eq!(
        words,
        [
            "absent",
            "absent",
            "permission_denied",
            "wrong_type",
            "local",
            "local",
            "unavailable",
            "unavailable",
            "unavailable"
        ]
    );
}
