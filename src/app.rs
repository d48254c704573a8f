//! The one file that knows all rooms: puts them together and takes them down.
