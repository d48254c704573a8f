//! One file, looked at without ever hanging on what it turns out to be. Blocking: called aside from the runtime.
//!
//! A name in a shared folder may be anything: a link to a device, a pipe that nobody writes to, a log of gigabytes. So it
//! is asked what it is before it is opened (opening a device may set something off), opened without waiting for a
//! writer, asked again (it may have been swapped in between), and read up to a cap.

use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use verdict::read::file::{MAX_CONTENT, Reading, read};
use verdict::time::WallTime;
use verdict::words::Failure;

/// Where a symbolic link may lead.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Links<'a> {
    /// Anywhere: the path was named by the operator.
    Anywhere,
    /// No further than this folder, which has no link in it itself: the name was found, and whoever may write there
    /// chose it.
    Inside(&'a Path),
}

/// Why a file was not read.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// It is not there.
    Absent,
    /// It is there, and is no heartbeat file, or we may not look at it.
    NotAHeartbeat(Failure, String),
    /// The file system or our own machine fails: this says nothing about the file.
    Failed(Failure, String),
}

/// A file, read, and when it was written.
#[derive(Debug)]
pub(crate) struct Sight {
    pub(crate) modified: WallTime,
    pub(crate) reading: Reading,
}

/// Looks at the file at `path`.
///
/// # Errors
/// See [`Trouble`].
pub(crate) fn sight(path: &Path, links: Links<'_>) -> Result<Sight, Trouble> {
    let inside;
    let path = match links {
        Links::Anywhere => path,
        Links::Inside(folder) => {
            inside = fs::canonicalize(path).map_err(|error| trouble(path, &error))?;
            if !inside.starts_with(folder) {
                let why = format!("{} is a link that leads out of {}", path.display(), folder.display());
                return Err(Trouble::NotAHeartbeat(Failure::PermissionDenied, why));
            }
            &inside
        }
    };
    let before = fs::metadata(path).map_err(|error| trouble(path, &error))?;
    regular(path, &before)?;
    let (modified, content) = match content(path, links) {
        Ok((after, content)) => {
            regular(path, &after)?;
            (modified(&after), content.map_err(|error| trouble(path, &error))?)
        }
        // Who may see a file and not read it still sees that it is touched.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            (modified(&before), Err(Failure::PermissionDenied))
        }
        Err(error) => return Err(trouble(path, &error)),
    };
    Ok(Sight { modified, reading: read(modified, content.as_deref().map_err(|failure| *failure)) })
}

type Content = Result<Vec<u8>, Failure>;

fn content(path: &Path, links: Links<'_>) -> io::Result<(Metadata, io::Result<Content>)> {
    let mut flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    if matches!(links, Links::Inside(_)) {
        // Every link was resolved; one that is there now was put there since.
        flags |= OFlags::NOFOLLOW;
    }
    let file = File::from(rustix::fs::open(path, flags, Mode::empty())?);
    let metadata = file.metadata()?;
    let read = if metadata.is_file() { capped(&file) } else { Ok(Ok(Vec::new())) };
    Ok((metadata, read))
}

fn capped(file: &File) -> io::Result<Content> {
    let mut bytes = Vec::new();
    // One byte more than is allowed tells the large from the largest that fits.
    file.take(MAX_CONTENT as u64 + 1).read_to_end(&mut bytes)?;
    Ok(if bytes.len() > MAX_CONTENT { Err(Failure::BodyTooLarge) } else { Ok(bytes) })
}

fn regular(path: &Path, metadata: &Metadata) -> Result<(), Trouble> {
    if metadata.is_file() {
        return Ok(());
    }
    let what = if metadata.is_dir() { "a folder" } else { "a pipe, a socket or a device" };
    Err(Trouble::NotAHeartbeat(Failure::WrongType, format!("{} is {what}, not a file", path.display())))
}

fn modified(metadata: &Metadata) -> WallTime {
    let micros = metadata.mtime().saturating_mul(1_000_000).saturating_add(metadata.mtime_nsec() / 1000);
    WallTime::from_micros(micros)
}

/// Whose trouble an error is.
pub(super) fn trouble(path: &Path, error: &io::Error) -> Trouble {
    let why = || format!("{}: {error}", path.display());
    match (error.kind(), error.raw_os_error().map(Errno::from_raw_os_error)) {
        (io::ErrorKind::NotFound | io::ErrorKind::NotADirectory | io::ErrorKind::InvalidFilename, _) => Trouble::Absent,
        (io::ErrorKind::PermissionDenied, _) => Trouble::NotAHeartbeat(Failure::PermissionDenied, why()),
        (_, Some(Errno::LOOP)) => {
            Trouble::NotAHeartbeat(Failure::WrongType, format!("{}: links without an end", path.display()))
        }
        (io::ErrorKind::OutOfMemory, _) | (_, Some(Errno::MFILE | Errno::NFILE)) => {
            Trouble::Failed(Failure::Local, why())
        }
        _ => Trouble::Failed(Failure::Unavailable, why()),
    }
}
