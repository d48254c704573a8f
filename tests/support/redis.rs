//! A real redis-server for one test: its own process, port and empty memory.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]
#![allow(dead_code, clippy::print_stderr, reason = "each test uses its part; a skip must be seen")]

use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use redis::{ConnectionLike, FromRedisValue, ToRedisArgs};

/// A running server; killed when dropped.
pub(crate) struct RedisServer {
    /// The port on 127.0.0.1.
    pub(crate) port: u16,
    file: Option<String>,
    arguments: Vec<String>,
    child: Option<Child>,
}

impl RedisServer {
    /// Starts one, or says that it cannot. On CI it must be installed.
    pub(crate) fn start(arguments: &[&str]) -> Option<Self> {
        Self::start_with(None, arguments)
    }

    /// The same with a configuration file, which a Sentinel cannot do without.
    pub(crate) fn start_with(file: Option<&str>, arguments: &[&str]) -> Option<Self> {
        if Command::new("redis-server").arg("--version").stdout(Stdio::null()).status().is_err() {
            assert!(std::env::var("CI").as_deref() != Ok("true"), "redis-server must be installed on CI");
            eprintln!("SKIPPED: redis-server is not installed (apt-get install redis-server)");
            return None;
        }
        let arguments = arguments.iter().map(|a| (*a).to_owned()).collect();
        let mut server = Self { port: free_port(), file: file.map(str::to_owned), arguments, child: None };
        server.restart();
        Some(server)
    }

    /// Kills it, as `kill -9` does.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Starts it again on the same port, with nothing in its memory.
    pub(crate) fn restart(&mut self) {
        self.kill();
        let child = Command::new("redis-server")
            .args(&self.file)
            .args(["--bind", "127.0.0.1", "--port", &self.port.to_string()])
            .args(["--save", "", "--appendonly", "no", "--dir", "/tmp", "--dbfilename", "none.rdb"])
            .args(&self.arguments)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("redis-server starts");
        self.child = Some(child);
        let give_up = Instant::now() + Duration::from_secs(20);
        while std::net::TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            assert!(Instant::now() < give_up, "redis-server does not listen on {}", self.port);
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// The address, in this database.
    pub(crate) fn url(&self, db: u8) -> url::Url {
        format!("redis://127.0.0.1:{}/{db}", self.port).parse().unwrap()
    }

    /// Runs one command, as the default user without a password.
    pub(crate) fn run<T: FromRedisValue, A: ToRedisArgs>(&self, command: &str, arguments: &[A]) -> T {
        let client = redis::Client::open(self.url(0).as_str()).unwrap();
        let mut connection = client.get_connection_with_timeout(Duration::from_secs(10)).unwrap();
        assert!(connection.check_connection(), "redis-server answers");
        redis::cmd(command).arg(arguments).query(&mut connection).unwrap()
    }

    /// `SET key value`, with further words such as `EX 30`.
    pub(crate) fn set(&self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>, further: &[&str]) {
        let mut arguments = vec![key.as_ref().to_vec(), value.as_ref().to_vec()];
        arguments.extend(further.iter().map(|word| word.as_bytes().to_vec()));
        self.run::<(), _>("SET", &arguments);
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A port that was free a moment ago. Below those that the system hands out for outgoing connections, and never the
/// same one twice, so that tests that run side by side do not take each other's.
pub(crate) fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let spread = u16::try_from(std::process::id() % 100).unwrap_or(0) * 120;
    loop {
        let port = 20_000 + (spread + NEXT.fetch_add(1, Ordering::Relaxed)) % 12_000;
        if std::net::TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}
